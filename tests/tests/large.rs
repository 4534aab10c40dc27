//! What is too large for memory passes through it all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use regraft_testkit::{ClusterOptions, Daemon, wait_until};
use regraft_tests::{DEADLINE, Site, SiteOptions, number};

/// Rows of the large transaction.
const ROWS: i64 = 5_000_000;
/// More than the daemon may ever have in memory at once, in KiB.
const MEMORY_KIB: u64 = 256 << 10;

/// Clusters that write as fast as they can: what is tested is what happens between them.
fn fast() -> SiteOptions {
    let settings =
        [("max_wal_size", "8GB"), ("checkpoint_timeout", "1h"), ("wal_compression", "off")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = ClusterOptions {
        fsync: false,
        shared_buffers: "256MB".to_owned(),
        settings,
        ..ClusterOptions::default()
    };
    SiteOptions { source: options.clone(), target: options, ..SiteOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_millions_of_rows_passes_whole_and_in_little_memory() {
    let site = Site::with(
        fast(),
        &["CREATE TABLE s (id bigint PRIMARY KEY, n int, t text)"],
        "CREATE TABLE t (id bigint PRIMARY KEY, n int, t text)",
        "INSERT INTO t SELECT id, n, t FROM s",
    )
    .await;
    site.catch_up().await;
    let mut daemon = site.run();
    // Somebody who looks all the time.
    let stop = Arc::new(AtomicBool::new(false));
    let reader = site.at_target().await;
    let reading = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut looks = 0;
            while !stop.load(Ordering::Relaxed) {
                let rows = number(&reader, "SELECT count(*) FROM t").await;
                assert!(rows == 0 || rows == ROWS, "{rows} rows of {ROWS} are visible");
                looks += 1;
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            looks
        }
    });
    let (source, target) = (site.at_source().await, site.at_target().await);
    let begin = Instant::now();
    let sql = format!(
        "INSERT INTO s SELECT n, n % 1000003, 'text ' || n % 100000 FROM generate_series(1, {ROWS}) AS n"
    );
    source.batch_execute(&sql).await.unwrap();
    eprintln!("inserted after {:?}", begin.elapsed());
    site.settled().await;
    let peak = memory(&daemon, "VmHWM:");
    eprintln!("applied after {:?}, with {peak} KiB at most", begin.elapsed());
    stop.store(true, Ordering::Relaxed);
    let looks = reading.await.unwrap();
    assert!(looks > 20, "{looks} looks");
    let sums = "count(*) + sum(n) + sum(id * (n + 1) % 7919) + sum(length(t))";
    let of = async |client, table| {
        let sql = format!("SELECT ({sums})::bigint FROM {table}");
        number(client, &sql).await
    };
    assert_eq!(number(&target, "SELECT count(*) FROM t").await, ROWS);
    assert_eq!(of(&source, "s").await, of(&target, "t").await);
    assert!(peak < MEMORY_KIB, "{peak} KiB were in use");
    assert!(daemon.ended().is_none());
}

/// Sets the peak of a process's memory to what it has now.
fn forget_peak(daemon: &Daemon) {
    std::fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5").unwrap();
}

/// Of a figure in KiB of the process's status.
fn memory(daemon: &Daemon, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_rows_cost_three_times_their_size_and_give_it_back() {
    const MIB: i32 = 32;
    const BUDGET_KIB: u64 = 64 << 10;
    const MOST_KIB: u64 = 3 * ((MIB as u64) << 10) + BUDGET_KIB;
    let mut options = fast();
    options.extra = "[limits]\nmemory = \"64MiB\"\n\
                     [backfill]\nreaders = 4\nchunk_bytes = \"4MiB\"\n"
        .to_owned();
    let site = Site::with(
        options,
        &["CREATE TABLE s (id int PRIMARY KEY, n int, big bytea);
           ALTER TABLE s ALTER big SET STORAGE EXTERNAL"],
        "CREATE TABLE t (id int PRIMARY KEY, n int, big bytea)",
        "INSERT INTO t SELECT id, n, big FROM s",
    )
    .await;
    let make = |ids: &str| {
        format!(
            "INSERT INTO s SELECT id, 0, (SELECT string_agg(decode(md5((id + n)::text), 'hex'), '') \
             FROM generate_series(1, {MIB} * 65536) AS n) FROM generate_series({ids}) AS id"
        )
    };
    let source = site.at_source().await;
    source.batch_execute(&make("1, 5")).await.unwrap();
    let mut daemon = site.run();
    let steps = [
        "",
        &make("6, 6"),
        // One by one: what they are together is no row.
        &(7..10).map(|id| make(&format!("{id}, {id}"))).collect::<Vec<_>>().join(";\n"),
        "UPDATE s SET n = n + 1",
        "UPDATE s SET big = big || '\\x00' WHERE id < 4",
        "ALTER TABLE s REPLICA IDENTITY FULL; UPDATE s SET n = n + 1",
        "UPDATE s SET id = -id WHERE id < 3",
        "DELETE FROM s WHERE id > 7",
    ];
    for step in steps {
        source.batch_execute(step).await.unwrap();
        site.settled().await;
        let peak = memory(&daemon, "VmHWM:");
        eprintln!("{peak} KiB at most: {}", step.split(' ').take(5).collect::<Vec<_>>().join(" "));
        assert!(peak < MOST_KIB, "{peak} KiB of {MOST_KIB} were in use: {step}");
        // Connections are closed, and what they had read is given back, a moment later.
        wait_until("memory to be given back", DEADLINE, async || {
            let left = memory(&daemon, "VmRSS:");
            if left < BUDGET_KIB { Ok(()) } else { Err(format!("{left} KiB")) }
        })
        .await;
        forget_peak(&daemon);
    }
    assert!(daemon.ended().is_none(), "{}", daemon.log());
    site.assert_equal().await;
}
