//! What verification costs: a whole pass over a table that regraft copied, beside COPY of the same rows
//! out of both servers and beside an md5 aggregate in both; and the lag of a running pipeline with the
//! continuous verification, beside the lag without it.
//!
//! Keys are numbers in the order in which rows were written, or random: then rows lie in another order
//! than that of the key, in another one on each server.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use regraft_core::{Code, Error, Result};
use regraft_testkit::{Installation, Setup};
use regraft_throwaway::{Cluster, ClusterOptions, Example, Writer, WriterOptions, mapped_tables};
use serde_json::Value;

use crate::drain::{equal, one, servers, sql};
use crate::report::{Group, Measured, Report, Way};
use crate::used::{REST, Used};

pub(crate) const SOURCE: &str = "legacy";
pub(crate) const TARGET: &str = "modern";
/// Of what verification is compared with, and of the mapping.
const SELECT: &str = "SELECT id, trim(title) AS title, created_at, amount, details FROM documents";
/// What a group is called, the type of its keys, and the key of row `n`.
const KEYS: [(&str, &str, &str); 2] = [
    ("compared at rest, keys in order", "bigint", "n"),
    ("compared at rest, random keys", "uuid", "md5(n::text)::uuid"),
];
/// The other columns.
const TABLE: &str = "title text NOT NULL, created_at timestamptz NOT NULL, \
                     amount numeric(12, 2), details jsonb NOT NULL";
/// Source rows of the pipeline that is written to.
const ROWS_WRITTEN_TO: u64 = 100_000;
const CONNECTIONS: usize = 4;
/// For a command, and for a daemon to end.
pub(crate) const DEADLINE: Duration = Duration::from_secs(3600);

/// Measures.
pub(crate) async fn run(
    (rows, transactions, seconds): (u64, u32, u64),
    rounds: usize,
    pg_bin: Option<&Path>,
) -> Result<Report> {
    let options = servers(pg_bin)?;
    let mut groups = Vec::new();
    for keys in KEYS {
        groups.push(pass(&options, keys, rows, rounds).await?);
    }
    if seconds > 0 {
        let lag = lag(&options, transactions, Duration::from_secs(seconds), rounds);
        groups.push(lag.await?);
    }
    Ok(Report { unit: "rows", count: rows, groups })
}

pub(crate) async fn pair(options: &ClusterOptions) -> Result<(Cluster, Cluster)> {
    let source = Cluster::start(options.clone()).await?;
    let target = Cluster::start(options.clone()).await?;
    source.create_database(SOURCE).await?;
    target.create_database(TARGET).await?;
    Ok((source, target))
}

pub(crate) fn installation(
    (source, target): (&Cluster, &Cluster),
    mapping: &str,
    extra: &str,
) -> Installation {
    let mut made = Installation::new(&Setup {
        name: "bench".to_owned(),
        source_url: source.url(SOURCE),
        target_url: target.url(TARGET),
        mapping: mapping.to_owned(),
        extra: extra.to_owned(),
        ..Setup::default()
    });
    if let Ok(program) = std::env::current_exe() {
        made.use_program(program.with_file_name("regraft"));
    }
    made
}

pub(crate) async fn regraft(installation: &Installation, arguments: &[&str]) -> Result<Value> {
    let done = installation.command(arguments, DEADLINE).await;
    if done.code() == 0 {
        return Ok(done.json());
    }
    Err(Error::new(Code::Internal, format!("regraft: {}{}", done.stdout, done.stderr)))
}

async fn pass(
    options: &ClusterOptions,
    (title, key_type, key): (&'static str, &str, &str),
    rows: u64,
    rounds: usize,
) -> Result<Group> {
    eprintln!("making {rows} rows");
    let (source, target) = pair(options).await?;
    let (legacy, modern) = (source.client(SOURCE).await?, target.client(TARGET).await?);
    let table = format!("id {key_type} PRIMARY KEY, {TABLE}");
    let fill = format!(
        "CREATE TABLE documents ({table}); INSERT INTO documents SELECT {key}, \
         'Document ' || n || repeat(' of many', 3 + (n % 5)::int), \
         timestamptz '2020-01-01 00:00:00Z' + n * interval '97 seconds', n % 100000 / 100.0, \
         jsonb_build_object('author', md5((n % 1000)::text), 'pages', n % 700, 'draft', n % 3 = 0) \
         FROM generate_series(1::bigint, {rows}) AS n"
    );
    sql(&legacy, &fill).await?;
    sql(&modern, &format!("CREATE TABLE documents ({table})")).await?;
    let mapping = format!("INSERT INTO documents {SELECT}");
    let off = "[verify]\nenabled = false";
    let installation = installation((&source, &target), &mapping, off);
    regraft(&installation, &["run", "--until-caught-up", "--json"]).await?;
    equal(&legacy, &modern, &mapped_tables(&mapping), "the copy").await?;
    for client in [&legacy, &modern] {
        sql(client, "VACUUM ANALYZE").await?;
    }
    let mut daemon = installation.run();
    let mut ways = [
        "COPY out of both servers to /dev/null",
        "md5 aggregate in both servers",
        "regraft verify, the pass",
        "regraft verify, the command",
    ]
    .map(Way::new);
    let sum = "SELECT count(*) || ' ' || sum(('x' || substr(md5(t::text), 1, 16))::bit(64)::bigint::numeric) FROM";
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        let used = Used::by(&source);
        tokio::try_join!(
            copy(&source, SOURCE, SELECT),
            copy(&target, TARGET, "SELECT * FROM documents")
        )?;
        used.until_now(&source, &mut ways[0]).await;
        let used = Used::by(&source);
        let (before, after) = (format!("{sum} ({SELECT}) AS t"), format!("{sum} documents AS t"));
        let (before, after) = tokio::try_join!(one(&legacy, &before), one(&modern, &after))?;
        used.until_now(&source, &mut ways[1]).await;
        let used = Used::by(&source);
        let told = regraft(&installation, &["verify", "--json"]).await?;
        used.until_now(&source, &mut ways[3]).await;
        let table = &told["tables"][0];
        if before != after || table["rows"].as_u64() != Some(rows) {
            let what = format!("not all rows were found equal: {before}, {after}, {told}");
            return Err(Error::new(Code::Internal, what));
        }
        let seconds = table["seconds"].as_f64().unwrap_or(f64::NAN);
        // Before and after the pass, the command waits.
        let busy = ways[3].busy.last().zip(ways[3].seconds.last()).map(|(share, all)| share * all);
        ways[2].busy.extend(busy.map(|busy| busy / seconds));
        ways[2].seconds.push(seconds);
    }
    daemon.terminate(DEADLINE).await;
    Ok(Group { title, measured: Measured::Work, ways: ways.into() })
}

/// The rows of a SELECT in binary form, to /dev/null.
async fn copy(cluster: &Cluster, database: &str, select: &str) -> Result<()> {
    let failed = |error: std::io::Error| Error::new(Code::Internal, "psql").because(error);
    let status = tokio::process::Command::new(cluster.binaries().program("psql"))
        .args(["-X", "-q", "-d", &cluster.url(database)])
        .args(["-c", &format!("COPY ({select}) TO STDOUT (FORMAT binary)")])
        .stdout(Stdio::from(File::create("/dev/null").map_err(failed)?))
        .status()
        .await
        .map_err(failed)?;
    if status.success() { Ok(()) } else { Err(Error::new(Code::Internal, "psql failed")) }
}

async fn lag(
    options: &ClusterOptions,
    transactions: u32,
    time: Duration,
    rounds: usize,
) -> Result<Group> {
    const EXAMPLE: Example = Example::AiWorkloads;
    let (source, target) = pair(options).await?;
    let (legacy, modern) = (source.client(SOURCE).await?, target.client(TARGET).await?);
    sql(&legacy, EXAMPLE.source_sql()).await?;
    sql(&legacy, &EXAMPLE.seed_sql(ROWS_WRITTEN_TO)).await?;
    sql(&modern, EXAMPLE.target_sql()).await?;
    let ways = [
        ("without verification", "[verify]\nenabled = false"),
        ("with verification", "[verify]\nenabled = true"),
    ];
    let installed =
        ways.map(|(_, extra)| installation((&source, &target), EXAMPLE.mapping_sql(), extra));
    regraft(&installed[0], &["run", "--until-caught-up", "--json"]).await?;
    for client in [&legacy, &modern] {
        sql(client, "VACUUM ANALYZE").await?;
    }
    let mut ways = ways.map(|(name, _)| Way::new(name));
    for round in 0..rounds {
        eprintln!("writing, round {} of {rounds}", round + 1);
        for (at, (installation, way)) in installed.iter().zip(&mut ways).enumerate() {
            let mut daemon = installation.start(&["run", "--json"]);
            tokio::time::sleep(REST).await;
            let options = WriterOptions {
                // Others than before, of every connection: the same ones would insert the same keys again.
                seed: ((round * installed.len() + at) * 1_000) as u64,
                connections: CONNECTIONS,
                rate: Some(transactions),
                ..WriterOptions::default()
            };
            let writer = Writer::start(&source.url(SOURCE), EXAMPLE, options);
            tokio::time::sleep(time).await;
            let written = writer.stop().await;
            tokio::time::sleep(REST).await;
            daemon.terminate(DEADLINE).await;
            let told: Value = serde_json::from_str(&daemon.stdout()).unwrap_or_default();
            let lag = told["lag_p99_seconds"].as_f64().filter(|_| written.errors == 0);
            way.seconds.push(lag.ok_or_else(|| {
                Error::new(Code::Internal, format!("no lag: {told} {written:?} {}", daemon.log()))
            })?);
        }
    }
    Ok(Group { title: "lag under a writer, 99 %", measured: Measured::Lag, ways: ways.into() })
}
