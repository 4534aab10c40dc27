//! Drains a replication slot up to the log's end and prints the rate: the floor under everything
//! else that regraft does with a change.
//!
//! `cargo run --release -p regraft-postgres --example drain -- URL SLOT PUBLICATION [text] [PAUSE_US]`
//!
//! The slot is copied first and the copy dropped at the end, so that a drain can be repeated.

use std::time::{Duration, Instant};

use regraft_core::contract::ChangeStream;
use regraft_core::{Change, Code, Error, Event, Lsn, Position, Result};
use regraft_postgres::replication::StreamOptions;
use regraft_postgres::{Endpoint, classify};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, slot, publication, rest @ ..] = arguments.as_slice() else {
        let usage = "usage: drain URL SLOT PUBLICATION [text] [PAUSE_US]";
        return Err(Error::new(Code::UsageInvalid, usage));
    };
    let mut options = StreamOptions::default();
    for option in rest {
        match option.parse().map(Duration::from_micros) {
            Ok(pause) => options.pause = pause,
            Err(_) => options.binary = option != "text",
        }
    }
    let endpoint = Endpoint::parse(url)?;
    let client = endpoint.connect("drain").await?;
    let place = endpoint.to_string();
    let copy = format!("{slot}_drain_{}", std::process::id());
    let row = client
        .query_one(
            "SELECT pg_current_wal_flush_lsn()::text
             FROM pg_copy_logical_replication_slot($1, $2)",
            &[slot, &copy],
        )
        .await
        .map_err(|error| classify(&error, &place))?;
    let end: Position = row
        .get::<_, String>(0)
        .parse()
        .map_err(|_| Error::new(Code::Protocol, "the server's LSN cannot be read"))?;

    let started = Instant::now();
    let connection = endpoint.connect_replication("drain").await?;
    let publications = std::slice::from_ref(publication);
    let mut stream = connection.start(&copy, Lsn(0), publications, options).await?;
    let (mut rows, mut bytes, mut transactions, mut chunks) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut position = Position::Lsn(Lsn(0));
    while position < end {
        chunks += 1;
        for event in stream.next().await? {
            match event {
                Event::Change(Change::Insert { new, .. } | Change::Update { new, .. }) => {
                    rows += 1;
                    bytes += new.size() as u64;
                }
                Event::Change(Change::Delete { .. }) => rows += 1,
                Event::Commit { end } => {
                    transactions += 1;
                    position = end;
                }
                Event::Progress { position: at } => position = at,
                _ => {}
            }
        }
        stream.acknowledge(position.clone());
    }
    let seconds = started.elapsed().as_secs_f64();
    stream.close().await?;
    let (cpu, memory) = own_usage();
    println!(
        "{rows} rows, {transactions} transactions, {:.1} MB in {seconds:.2} s: {:.0} rows/s, \
         {chunks} chunks, client {:.2} us/row, {memory} kB peak",
        bytes as f64 / 1e6,
        rows as f64 / seconds,
        cpu * 1e6 / rows.max(1) as f64,
    );
    client
        .execute("SELECT pg_drop_replication_slot($1)", &[&copy])
        .await
        .map_err(|error| classify(&error, &place))?;
    Ok(())
}

/// CPU seconds and peak memory of this process, from `/proc`; zeros elsewhere.
fn own_usage() -> (f64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = |i: usize| after_name.split_whitespace().nth(i)?.parse::<f64>().ok();
    // utime and stime, in ticks of 10 ms.
    let cpu = (field(11).unwrap_or(0.0) + field(12).unwrap_or(0.0)) / 100.0;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.split_whitespace().next()?.parse().ok());
    (cpu, peak.unwrap_or(0))
}
