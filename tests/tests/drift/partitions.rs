//! Partitions of a source table come and go with rows of which the stream says nothing.

use crate::support::{Case, Given, ready, stop};
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
