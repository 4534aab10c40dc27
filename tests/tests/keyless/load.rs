//! Writers that never rest, and a daemon that is killed again and again: while it copies, and while it follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use crate::assert_same;
use crate::support::{Case, Given};

const SOURCE: &str = "
    CREATE TABLE log (who int, what text, at timestamptz DEFAULT now());
    CREATE TABLE tags (item int, tag text, big text);
    ALTER TABLE tags REPLICA IDENTITY FULL;
    ALTER TABLE tags ALTER big SET STORAGE EXTERNAL;
    CREATE TABLE items (id int PRIMARY KEY, v int);
    INSERT INTO log SELECT n % 3, repeat('w', 200), '2026-01-01' FROM generate_series(1, 6000) AS n;
    INSERT INTO tags SELECT n % 50, nullif('t' || n % 3, 't0'), repeat('x', n % 3 * 1500) FROM generate_series(1, 3000) AS n;
    INSERT INTO items SELECT n, 0 FROM generate_series(1, 100) AS n";
const TARGET: &str = "
    CREATE TABLE new_log (who int, what text, at timestamptz);
    CREATE TABLE new_tags (item int, tag text, big text);
    CREATE INDEX ON new_tags (item);
    CREATE TABLE by_tag (tag text, kind text);
    CREATE TABLE new_items (id int PRIMARY KEY, v int)";
const MAPPING: &str = "
    -- regraft: append-only
    INSERT INTO new_log SELECT who, what, at FROM log;
    -- regraft: counted
    INSERT INTO new_tags SELECT item, tag, big FROM tags;
    -- regraft: counted
    INSERT INTO by_tag SELECT tag, CASE WHEN item < 10 THEN 'low' ELSE 'high' END FROM tags WHERE tag IS NOT NULL;
    INSERT INTO new_items SELECT id, v FROM items;";
const SAME: &[(&str, &str)] = &[
    ("TABLE log", "TABLE new_log"),
    ("TABLE tags", "TABLE new_tags"),
    (
        "SELECT tag, CASE WHEN item < 10 THEN 'low' ELSE 'high' END AS kind FROM tags WHERE tag IS NOT NULL",
        "TABLE by_tag",
    ),
    ("TABLE items", "TABLE new_items"),
];
const EXTRA: &str = "[backfill]\nchunk_bytes = \"64KiB\"\nrows_per_second = 6000\n\
    [limits]\nbatch_rows = 200\nbatch_bytes = \"128KiB\"\nbatch_age = \"5ms\"\n";

async fn write(source: Client, seed: u64, stop: Arc<AtomicBool>) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        let (n, item) = (random.random_range(1..6), random.random_range(0..50));
        let one = |random: &mut StdRng| match random.random_range(0..9) {
            0 | 1 => format!("INSERT INTO log SELECT {n}, 'w' FROM generate_series(1, {n});"),
            2 => format!(
                "INSERT INTO log (who, what, at) SELECT NULL, NULL, '2026-02-0{n}' FROM generate_series(1, {n});"
            ),
            3 => format!(
                "INSERT INTO tags SELECT {item}, 't{n}', repeat('y', {n} * 1000) FROM generate_series(1, {n});"
            ),
            4 => format!(
                "INSERT INTO tags SELECT item, tag, big FROM tags WHERE item = {item} LIMIT {n};"
            ),
            5 => format!(
                "DELETE FROM tags WHERE ctid IN (SELECT ctid FROM tags WHERE item = {item} LIMIT {n} FOR UPDATE);"
            ),
            6 => format!(
                "UPDATE tags SET tag = nullif('t{n}', 't1') WHERE ctid IN (SELECT ctid FROM tags WHERE item = {item} LIMIT {n} FOR UPDATE);"
            ),
            7 => format!(
                "SAVEPOINT s; INSERT INTO log VALUES (99, 'never'); DELETE FROM tags WHERE item = {item}; ROLLBACK TO s;"
            ),
            _ => format!("UPDATE items SET v = v + 1 WHERE id = {};", random.random_range(1..101)),
        };
        let statements: String = (0..random.random_range(1..8)).map(|_| one(&mut random)).collect();
        let end = if random.random_range(0..8) == 0 { "ROLLBACK" } else { "COMMIT" };
        let pause = random.random_range(0..4) * random.random_range(0..20);
        let sql = format!("BEGIN; {statements} SELECT pg_sleep({pause} / 1000.0); {end}");
        // Writers may meet in a deadlock.
        if source.batch_execute(&sql).await.is_err() {
            source.batch_execute("ROLLBACK").await.unwrap();
        }
        written += 1;
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_there_as_often_however_often_the_daemon_is_killed() {
    let seed: u64 =
        std::env::var("REGRAFT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(11);
    let rounds: u32 =
        std::env::var("REGRAFT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let given = Given {
        source: SOURCE,
        target: TARGET,
        mapping: MAPPING,
        extra: EXTRA,
        ..Given::default()
    };
    let case = Case::of(given).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for n in 0..4 {
        let source = regraft_testkit::connect(&case.databases.source_url).await.unwrap();
        writers.push(tokio::spawn(write(source, seed * 100 + n, Arc::clone(&stop))));
    }
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..rounds {
        let mut daemon = case.installation.run();
        // Long enough for a copy in some rounds.
        let millis = if round % 3 == 2 { 6_000 } else { random.random_range(300..2_500) };
        tokio::time::sleep(Duration::from_millis(millis)).await;
        assert!(daemon.ended().is_none(), "{}", daemon.log());
        daemon.kill9();
    }
    let daemon = case.installation.run();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    assert!(written > 100, "{written} transactions");
    case.settled().await;
    assert_same(&case.databases.source, &case.databases.target, SAME).await;
    let report = case.regraft(&["verify", "--json"]).await;
    assert_eq!(report.code(), 0, "{}\n{}", report.stdout, report.stderr);
    crate::support::stop(daemon).await;
}
