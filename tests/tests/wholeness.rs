//! A reader of the target never sees a part of a source transaction, nor transactions in another
//! order.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use regraft_testkit::wait_until;
use regraft_tests::{DEADLINE, Site, SiteOptions, number};
use tokio_postgres::Client;

/// Small batches: large transactions are many segments, small ones share a batch.
const LIMITS: &str = "[limits]\nbatch_rows = 100\nbatch_age = \"5ms\"\n";
/// Rows of each table.
const ROWS: u64 = 1_000;
/// Transactions that have to be applied.
const TRANSACTIONS: u64 = 4_000;
/// Looks that have to be taken.
const LOOKS: usize = 300;

const SOURCE: &str = "
    CREATE TABLE a (id int PRIMARY KEY, n bigint NOT NULL);
    CREATE TABLE b (id int PRIMARY KEY, n bigint NOT NULL, parts jsonb NOT NULL);
    CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL);
    INSERT INTO a SELECT n, 100 FROM generate_series(1, 1000) AS n;
    INSERT INTO b SELECT n, 100, '{\"x\": 40, \"y\": 60}' FROM generate_series(1, 1000) AS n;
    INSERT INTO counter VALUES (1, 0)";
const TARGET: &str = "
    CREATE TABLE new_a (id int PRIMARY KEY, n bigint NOT NULL);
    CREATE TABLE new_b (id int PRIMARY KEY, n bigint NOT NULL);
    CREATE TABLE parts (id int, key text, n bigint NOT NULL, PRIMARY KEY (id, key));
    CREATE TABLE new_counter (id int PRIMARY KEY, n bigint NOT NULL)";
const MAPPING: &str = "
    INSERT INTO new_a SELECT id, n FROM a;
    INSERT INTO new_b SELECT id, n FROM b;
    INSERT INTO parts SELECT id, p.key, p.value::bigint FROM b CROSS JOIN LATERAL jsonb_each_text(parts) AS p;
    INSERT INTO new_counter SELECT id, n FROM counter";

/// What two statements of one snapshot saw.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Look {
    of_a: i64,
    of_b: i64,
    in_parts: i64,
    rows: (i64, i64),
    counter: i64,
}

async fn look(target: &Client) -> Look {
    target.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    // In several statements on purpose: the snapshot is what keeps them together.
    let of_a = number(target, "SELECT coalesce(sum(n), 0)::bigint FROM new_a").await;
    let counter = number(target, "SELECT n FROM new_counter").await;
    let of_b = number(target, "SELECT coalesce(sum(n), 0)::bigint FROM new_b").await;
    let in_parts = number(target, "SELECT coalesce(sum(n), 0)::bigint FROM parts").await;
    let rows_a = number(target, "SELECT count(*) FROM new_a").await;
    let rows_b = number(target, "SELECT count(*) FROM new_b").await;
    target.batch_execute("COMMIT").await.unwrap();
    Look { of_a, of_b, in_parts, rows: (rows_a, rows_b), counter }
}

/// Moves amounts between single rows.
async fn small_transfers(source: Client, stop: Arc<AtomicBool>, done: Arc<AtomicU64>, seed: u64) {
    let mut n = seed;
    while !stop.load(Ordering::Relaxed) {
        // A linear congruence is random enough for a choice of rows.
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (from, to, amount) = ((n >> 33) % ROWS + 1, (n >> 43) % ROWS + 1, (n >> 53) % 20);
        let sql = format!(
            "BEGIN;
             UPDATE a SET n = n - {amount} WHERE id = {from};
             UPDATE b SET n = n + {amount}, parts = jsonb_build_object('k' || {amount}, n + {amount}) WHERE id = {to};
             COMMIT"
        );
        source.batch_execute(&sql).await.unwrap();
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Moves amounts between all rows at once, and rows between the ends of the key order.
async fn large_transfers(source: Client, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    for round in 1_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let sql = match round % 4 {
            // Over every row of both tables: many segments.
            0 => "BEGIN; UPDATE a SET n = n - 1;
                  UPDATE b SET n = n + 1, parts = jsonb_build_object('one', 1, 'rest', n); COMMIT".to_owned(),
            1 => "BEGIN; UPDATE a SET n = n + 3 WHERE id % 2 = 0; UPDATE a SET n = n - 1 WHERE id % 2 = 0;
                  UPDATE b SET n = n - 2, parts = jsonb_build_object('rest', n - 2) WHERE id % 2 = 0; COMMIT".to_owned(),
            // All rows go and come.
            2 => "BEGIN; CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM a;
                  LOCK TABLE a; DELETE FROM kept; INSERT INTO kept SELECT * FROM a;
                  DELETE FROM a; INSERT INTO a SELECT * FROM kept; COMMIT".to_owned(),
            // One that is begun and given up.
            _ => "BEGIN; UPDATE a SET n = 0; UPDATE b SET n = 1; ROLLBACK".to_owned(),
        };
        source.batch_execute(&sql).await.unwrap();
        source.batch_execute("UPDATE counter SET n = n + 1").await.unwrap();
        done.fetch_add(2, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_target_sees_whole_transactions_only() {
    let options = SiteOptions { extra: LIMITS.to_owned(), ..SiteOptions::default() };
    let site = Site::with(options, &[SOURCE], TARGET, MAPPING).await;
    site.catch_up().await;
    let mut daemon = site.run();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = Vec::new();
    for seed in 1..=2 {
        let source = site.at_source().await;
        writers.push(tokio::spawn(small_transfers(
            source,
            Arc::clone(&stop),
            Arc::clone(&done),
            seed,
        )));
    }
    let source = site.at_source().await;
    writers.push(tokio::spawn(large_transfers(source, Arc::clone(&stop), Arc::clone(&done))));

    let target = site.at_target().await;
    let whole = i64::try_from(ROWS).unwrap() * 200;
    let mut seen = HashSet::new();
    let mut counter = 0;
    let mut looks = 0;
    wait_until("enough looks and transactions", DEADLINE, async || {
        let now = look(&target).await;
        looks += 1;
        assert_eq!(now.of_a + now.of_b, whole, "{now:?} in look {looks}");
        assert_eq!(now.of_b, now.in_parts, "{now:?} in look {looks}");
        assert_eq!(now.rows, (1_000, 1_000), "{now:?} in look {looks}");
        assert!(now.counter >= counter, "{now:?} in look {looks}: back from {counter}");
        counter = now.counter;
        seen.insert(now);
        let (_, metrics) = daemon.http("/metrics").await?;
        let line = metrics.lines().find_map(|l| l.strip_prefix("regraft_transactions_total "));
        let applied: u64 = line.ok_or("no such metric")?.trim().parse().unwrap();
        if looks >= LOOKS && applied >= TRANSACTIONS {
            return Ok(());
        }
        Err(format!("{looks} looks, {applied} applied, {} done", done.load(Ordering::Relaxed)))
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    // The looks were taken while it moved.
    assert!(seen.len() > LOOKS / 3, "{looks} looks saw {} states", seen.len());
    eprintln!(
        "{looks} looks, {} states, {} transactions",
        seen.len(),
        done.load(Ordering::Relaxed)
    );
    site.settled().await;
    site.assert_equal().await;
    assert!(daemon.ended().is_none());
}
