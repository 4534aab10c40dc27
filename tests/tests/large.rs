//! What is too large for memory passes through it all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use regraft_testkit::{ClusterOptions, Daemon};
use regraft_tests::{Site, SiteOptions, number};

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

/// The most memory that the process ever had, in KiB.
fn peak_memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
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
    let peak = peak_memory(&daemon);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_a_hundred_megabytes_passes() {
    let site = Site::with(
        fast(),
        &["CREATE TABLE s (id int PRIMARY KEY, n int, big bytea);
           ALTER TABLE s ALTER big SET STORAGE EXTERNAL"],
        "CREATE TABLE t (id int PRIMARY KEY, n int, big bytea)",
        "INSERT INTO t SELECT id, n, big FROM s",
    )
    .await;
    let make = |id: i32| {
        format!(
            "INSERT INTO s SELECT {id}, 0, string_agg(decode(md5(n::text), 'hex'), '')
             FROM generate_series({id}, {id} + 100 * 65536 - 1) AS n"
        )
    };
    let source = site.at_source().await;
    // One is copied, one is followed.
    source.batch_execute(&make(1)).await.unwrap();
    site.catch_up().await;
    let mut daemon = site.run();
    source.batch_execute(&make(2)).await.unwrap();
    source.batch_execute("UPDATE s SET n = n + 1").await.unwrap();
    site.settled().await;
    assert!(daemon.ended().is_none(), "{}", daemon.log());
    let target = site.at_target().await;
    let sql = |table: &str| {
        format!(
            "SELECT string_agg(id || ' ' || n || ' ' || length(big) || md5(big), ' ' ORDER BY id) FROM {table}"
        )
    };
    let at_source: String = source.query_one(&sql("s"), &[]).await.unwrap().get(0);
    let at_target: String = target.query_one(&sql("t"), &[]).await.unwrap().get(0);
    assert_eq!(at_source, at_target);
    assert!(at_target.contains("1 1 104857600"), "{at_target}");
}
