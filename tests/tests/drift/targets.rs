//! Columns and indexes of targets that change under a pipeline: which rows are the same, and what is kept of a
//! value.

use regraft_testkit::Daemon;
use regraft_tests::number;

use crate::support::{Case, Given, assert_says, ready, stop, until_true};

const SOURCE: &str = "CREATE TABLE u (id text PRIMARY KEY, a text NOT NULL); INSERT INTO u VALUES ('ann', '1'), ('bob', '2')";
const TARGET: &str = "
    CREATE EXTENSION citext; CREATE DOMAIN folding AS citext;
    CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TABLE t (id text PRIMARY KEY, a text NOT NULL)";
const MAPPING: &str = "INSERT INTO t SELECT id, a FROM u";

async fn running(source: &str, target: &str, mapping: &str) -> (Case, Daemon) {
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.settled().await;
    (case, daemon)
}

/// The row of the owner that was first is as it was, and the target has no other of the key.
async fn keeps_its_owner(case: &Case) {
    let sql = "SELECT count(*) FROM t WHERE lower(id::text) = 'ann' AND id::text COLLATE \"C\" = 'ann' AND a = '1'";
    assert_eq!(number(&case.databases.target, sql).await, 1);
    let sql = "SELECT count(*) FROM t WHERE lower(id::text) = 'ann'";
    assert_eq!(number(&case.databases.target, sql).await, 1);
}

/// Rows that are written by the plan of before wait for the lock of what alters the table.
async fn altered_before_a_waiting_write(case: &Case, alter: &str) {
    let target = &case.databases.target;
    target.batch_execute(&format!("BEGIN; {alter}")).await.unwrap();
    case.at_source("INSERT INTO u VALUES ('ANN', '9')").await;
    let waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
    until_true(target, "a write to wait for the table", waits).await;
    target.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_begins_to_take_texts_for_equal_overwrites_no_other_row() {
    for alter in [
        "ALTER TABLE t ALTER id TYPE text COLLATE ci",
        "ALTER TABLE t ALTER id TYPE citext",
        "ALTER TABLE t ALTER id TYPE folding",
        "CREATE UNIQUE INDEX ON t (id COLLATE ci)",
    ] {
        let (case, daemon) = running(SOURCE, TARGET, MAPPING).await;
        altered_before_a_waiting_write(&case, alter).await;
        let error = case.held(&daemon, "RG3018").await;
        let what = error["what"].as_str().unwrap();
        assert!(what.contains("column id of the target public.t"), "{alter}: {error:#}");
        keeps_its_owner(&case).await;
        // Who has seen it goes on, and the guard tells rows of two owners.
        let finished = case.regraft(&["resume", "--accept"]).await;
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        case.held(&daemon, "RG4006").await;
        keeps_its_owner(&case).await;
        case.at_source("DELETE FROM u WHERE id = 'ANN'").await;
        case.settled().await;
        case.assert_equal().await;
        stop(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_began_to_take_texts_for_equal_holds_the_next_start() {
    let case =
        Case::of(Given { source: SOURCE, target: TARGET, mapping: MAPPING, ..Given::default() })
            .await;
    case.catch_up().await;
    case.at_target("ALTER TABLE t ALTER id TYPE citext").await;
    case.at_source("INSERT INTO u VALUES ('ANN', '9')").await;
    let parts = ["column id of the target public.t", "takes texts for equal"];
    assert_says(&case.run_once().await, 3, "RG3018", &parts);
    keeps_its_owner(&case).await;
    // The remedy of before.
    case.at_target("ALTER TABLE t ALTER id TYPE text").await;
    case.catch_up().await;
    case.assert_equal().await;
}

const NUMBERS: &str = "CREATE TABLE u (id bigint PRIMARY KEY, n numeric, f float8, at timestamp);
    INSERT INTO u VALUES (1, 1.25, 0.1, '2026-01-01 10:00:00.123456')";

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_begins_to_round_holds() {
    let target = "CREATE TABLE t (id bigint PRIMARY KEY, n numeric, f float8, at timestamp)";
    let mapping = "INSERT INTO t SELECT id, n, f, at FROM u";
    for (column, is) in [("n", "numeric(10,1)"), ("f", "real"), ("at", "timestamp(0)")] {
        let alter = format!("ALTER TABLE t ALTER {column} TYPE {is}");
        let told = format!("the column {column} of the target public.t has another type");
        let (case, daemon) = running(NUMBERS, target, mapping).await;
        case.at_target(&alter).await;
        case.at_source("INSERT INTO u SELECT 2, n, f, at FROM u").await;
        let error = case.held(&daemon, "RG3018").await;
        assert!(error["what"].as_str().unwrap().contains(&told), "{error:#}");
        assert_eq!(number(&case.databases.target, "SELECT count(*) FROM t").await, 1);
        stop(daemon).await;
        assert_says(&case.run_once().await, 3, "RG3018", &[&told]);
        // It is what the operator wants.
        let finished = case.regraft(&["run", "--until-caught-up", "--accept-mapping"]).await;
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        assert_eq!(number(&case.databases.target, "SELECT count(*) FROM t").await, 2);
    }
}

/// The daemon makes its plan again, and brings in line what was rounded.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_widened_goes_on_by_itself() {
    let target =
        "CREATE TABLE t (id bigint PRIMARY KEY, k int, n numeric(10,1), f real, at timestamp(0))";
    let mapping = "INSERT INTO t SELECT id, id, n, f, at FROM u";
    let (case, mut daemon) = running(NUMBERS, target, mapping).await;
    case.at_target(
        "ALTER TABLE t ALTER k TYPE bigint, ALTER n TYPE numeric, ALTER f TYPE float8, ALTER at TYPE timestamp",
    )
    .await;
    case.at_source("INSERT INTO u SELECT 1099511627776, n, f, at FROM u").await;
    case.settled().await;
    until_true(
        &case.databases.target,
        "the row that was rounded to be mended",
        "SELECT count(*) = 1 FROM t WHERE id = 1 AND n = 1.25 AND f = 0.1 AND at = '2026-01-01 10:00:00.123456'",
    )
    .await;
    ready(&mut daemon).await;
    case.assert_equal().await;
    stop(daemon).await;
    case.catch_up().await;
}

/// Neither what is the same by another name, nor indexes that are made again, nor collations by which nothing
/// else is equal.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_about_rows_of_a_target_holds_nobody() {
    let target = "CREATE TYPE mood AS ENUM ('1', '2', '9'); CREATE TABLE t (id text PRIMARY KEY, a mood NOT NULL)";
    let mapping = "INSERT INTO t SELECT id, a FROM u";
    let source = "CREATE TYPE mood AS ENUM ('1', '2', '9');
        CREATE TABLE u (id text PRIMARY KEY, a mood NOT NULL); INSERT INTO u VALUES ('ann', '1')";
    let (case, mut daemon) = running(source, target, mapping).await;
    for (at, alter) in [
        "REINDEX TABLE t",
        "CREATE UNIQUE INDEX CONCURRENTLY other ON t (id, a)",
        "REINDEX TABLE CONCURRENTLY t",
        "DROP INDEX other",
        "ALTER TABLE t ALTER id TYPE text COLLATE \"C\"",
        "ALTER TABLE t ADD COLUMN extra int",
        "ALTER TABLE t ALTER extra TYPE text",
        "ANALYZE t",
    ]
    .iter()
    .enumerate()
    {
        case.at_target(alter).await;
        case.at_source(&format!("INSERT INTO u VALUES ('row {at}', '9')")).await;
        case.settled().await;
        case.assert_equal().await;
    }
    ready(&mut daemon).await;
    stop(daemon).await;
    let status = case.regraft(&["status", "--json"]).await.json();
    assert_eq!(status["last_error"], serde_json::Value::Null, "{status:#}");
    assert_eq!(number(&case.databases.target, "SELECT count(*) FROM regraft.held").await, 0);
}
