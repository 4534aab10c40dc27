//! Partitions of a source table come and go with rows of which the stream says nothing.

use crate::support::{Case, Given, ready, stop, until_true};
use regraft_testkit::wait_until;
use regraft_tests::{DEADLINE, number};

const SOURCE: &str = "
    CREATE TABLE items (id bigint PRIMARY KEY, name text) PARTITION BY RANGE (id);
    CREATE TABLE items_1 PARTITION OF items FOR VALUES FROM (0) TO (10);
    CREATE TABLE items_2 PARTITION OF items FOR VALUES FROM (10) TO (20);
    INSERT INTO items SELECT i, 'n' || i FROM generate_series(1, 19) AS i";
const TARGET: &str = "CREATE TABLE goods (id bigint PRIMARY KEY, name text)";
const MAPPING: &str = "INSERT INTO goods SELECT id, name FROM items";

/// What happens to partitions, under a running daemon and while none runs: the rows follow by themselves.
async fn follows(alter: &[&str], what: &str, rows: i64) {
    let given = || Given { source: SOURCE, target: TARGET, mapping: MAPPING, ..Given::default() };
    for running in [true, false] {
        let case = Case::of(given()).await;
        case.catch_up().await;
        let mut before = case.installation.run();
        ready(&mut before).await;
        let before = if running {
            Some(before)
        } else {
            stop(before).await;
            None
        };
        for sql in alter {
            case.at_source(sql).await;
        }
        let daemon = before.unwrap_or_else(|| case.installation.run());
        wait_until("the target to follow", DEADLINE, async || {
            let goods = number(&case.databases.target, "SELECT count(*) FROM goods").await;
            if goods == rows { Ok(()) } else { Err(format!("{goods} rows; {}", daemon.log())) }
        })
        .await;
        case.settled().await;
        case.assert_equal().await;
        assert!(daemon.log().contains(what), "{what}: {}", daemon.log());
        stop(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_truncated() {
    follows(&["TRUNCATE items_2"], "items_2 was truncated", 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filled_table_that_is_attached() {
    let alter = [
        "CREATE TABLE items_3 (LIKE items INCLUDING ALL)",
        "INSERT INTO items_3 SELECT i, 'attached' FROM generate_series(20, 24) AS i",
        "ALTER TABLE items ATTACH PARTITION items_3 FOR VALUES FROM (20) TO (30)",
    ];
    follows(&alter, "items_3 was attached", 24).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_made_filled_and_attached_in_one_transaction() {
    let alter = ["BEGIN; CREATE TABLE items_3 (LIKE items INCLUDING ALL);
                  INSERT INTO items_3 SELECT i, 'attached' FROM generate_series(20, 24) AS i;
                  ALTER TABLE items ATTACH PARTITION items_3 FOR VALUES FROM (20) TO (30); COMMIT"];
    follows(&alter, "items_3 was attached", 24).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_detached_or_dropped() {
    follows(&["ALTER TABLE items DETACH PARTITION items_1"], "items_1 was detached", 10).await;
    follows(&["DROP TABLE items_2"], "items_2 was detached or dropped", 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_made_as_one_needs_no_comparison() {
    let given = Given { source: SOURCE, target: TARGET, mapping: MAPPING, ..Given::default() };
    let case = Case::of(given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source(
        "CREATE TABLE items_3 PARTITION OF items (name DEFAULT 'x') FOR VALUES FROM (20) TO (30);
         INSERT INTO items VALUES (21, 'new')",
    )
    .await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
    case.catch_up().await;
    let sql = "SELECT count(*) FROM regraft.verifications";
    assert_eq!(number(&case.databases.target, sql).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filled_table_of_partitions_that_is_attached() {
    let alter = [
        "CREATE TABLE items_3 (LIKE items INCLUDING ALL) PARTITION BY RANGE (id)",
        "CREATE TABLE items_31 PARTITION OF items_3 FOR VALUES FROM (20) TO (30)",
        "INSERT INTO items_3 SELECT i, 'attached' FROM generate_series(20, 24) AS i",
        "ALTER TABLE items ATTACH PARTITION items_3 FOR VALUES FROM (20) TO (40)",
    ];
    follows(&alter, "items_31 was attached", 24).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_detached_changed_and_attached_again() {
    let alter =
        ["BEGIN; ALTER TABLE items DETACH PARTITION items_1; DELETE FROM items_1 WHERE id < 5;
                  ALTER TABLE items ATTACH PARTITION items_1 FOR VALUES FROM (0) TO (10); COMMIT"];
    follows(&alter, "items_1 was attached", 15).await;
}

/// What is done to old partitions takes locks, and must not have the application wait for the daemon.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_locked_for_long_keeps_nobody_from_the_others() {
    let given = Given { source: SOURCE, target: TARGET, mapping: MAPPING, ..Given::default() };
    let case = Case::of(given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let locker = regraft_testkit::connect(&case.databases.source_url).await.unwrap();
    locker.batch_execute("BEGIN; LOCK TABLE items_1 IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for low in 20..23 {
        let before = number(&case.databases.target, "SELECT count(*) FROM regraft.standing").await;
        case.at_source(&format!(
            "SET lock_timeout = '20s';
             CREATE TABLE items_new{low} PARTITION OF items FOR VALUES FROM ({low}) TO ({low} + 1);
             INSERT INTO items VALUES ({low}, 'new')"
        ))
        .await;
        // A look takes no lock either.
        let sql = format!("SELECT count(*) > {before} FROM regraft.standing");
        until_true(&case.databases.target, "a look", &sql).await;
    }
    locker.batch_execute("COMMIT").await.unwrap();
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlogged_partition_holds_the_pipeline() {
    let given = Given { source: SOURCE, target: TARGET, mapping: MAPPING, ..Given::default() };
    let case = Case::of(given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("CREATE UNLOGGED TABLE items_3 PARTITION OF items FOR VALUES FROM (20) TO (30)")
        .await;
    let error = case.held(&daemon, "RG3018").await;
    assert!(error["what"].as_str().unwrap().contains("items_3 is UNLOGGED"), "{error:#}");
    case.at_source("ALTER TABLE items_3 SET LOGGED").await;
    stop(daemon).await;
}
