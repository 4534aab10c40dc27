//! 100: what went wrong in subscriptions once. 038: a source that is to stop.

use regraft_testkit::{ClusterOptions, Daemon, StopMode};
use regraft_tests::{Site, SiteOptions};

use crate::support::{Case, Given, ready, stop, until_true};
use crate::{case, follow, is};

/// What drifted is gone on with, and the rows that are stale by it are mended.
async fn accepted(case: &Case, daemon: &mut Daemon) {
    let said = case.regraft(&["resume", "--accept"]).await;
    assert_eq!(said.code(), 0, "{}", said.stderr);
    let heard = "SELECT resume IS NULL AND phase <> 'held' FROM regraft.pipelines";
    until_true(&case.databases.target, "the daemon to go on", heard).await;
    ready(daemon).await;
    case.settled().await;
    let mended = "SELECT count(*) = 0 FROM regraft.verifications WHERE finished_at IS NULL";
    until_true(&case.databases.target, "stale rows to be mended", mended).await;
    case.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_calls_a_function() {
    let tables = "CREATE TABLE tab1 (a int PRIMARY KEY, b int);
        CREATE FUNCTION double(x int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT x * 2';
        CREATE INDEX ON tab1 (b) WHERE a > double(1)";
    let case = case(tables, tables, "INSERT INTO tab1 SELECT a, b FROM tab1;").await;
    let daemon = follow(&case).await;
    case.at_source("INSERT INTO tab1 VALUES (1, 2)").await;
    case.settled().await;
    is(&case.databases.target, "SELECT * FROM tab1", &["1|2"], "a partial index").await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tables_are_published_and_some_are_not_logged() {
    let source =
        "CREATE TABLE tab1 (a int PRIMARY KEY); CREATE UNLOGGED TABLE tu1 AS SELECT 1 AS a;
        CREATE PUBLICATION pub FOR ALL TABLES WITH (publish_via_partition_root = true)";
    let given = Given {
        source,
        target: "CREATE TABLE tab1 (a int PRIMARY KEY)",
        mapping: "INSERT INTO tab1 SELECT a FROM tab1;",
        source_lines: "publication = \"pub\"",
        ..Given::default()
    };
    let case = Case::of(given).await;
    let daemon = follow(&case).await;
    let source = &case.databases.source;
    case.at_source("CREATE TEMPORARY TABLE tt1 AS SELECT 1 AS a").await;
    is(source, "UPDATE tt1 SET a = 2 RETURNING a", &["2"], "a temporary table").await;
    is(source, "UPDATE tu1 SET a = 2 RETURNING a", &["2"], "an unlogged table").await;
    stop(daemon).await;
}

/// A slot and a publication that somebody made before, and rows on both sides of every moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_older_than_the_pipeline() {
    let rows = "INSERT INTO t SELECT generate_series(1, 3000); INSERT INTO t2 SELECT generate_series(1, 3000);";
    let tables = "CREATE TABLE t (f int); CREATE TABLE t2 (f int);";
    let source = format!(
        "{tables} ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE t2 REPLICA IDENTITY FULL; {rows}
         CREATE PUBLICATION testpub FOR TABLE t WITH (publish_via_partition_root = true)"
    );
    let statement =
        |table: &str| format!("-- regraft: counted\nINSERT INTO {table} SELECT f FROM {table};\n");
    // Slots are those of all databases.
    let slot = format!("testslot_{}", std::process::id());
    let given = Given {
        source: &source,
        target: tables,
        mapping: &statement("t"),
        source_lines: &format!("publication = \"testpub\"\nslot = \"{slot}\""),
        ..Given::default()
    };
    let case = Case::of(given).await;
    case.at_source(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"))
        .await;
    let mut daemon = case.installation.run();
    case.at_source(rows).await;
    ready(&mut daemon).await;
    case.settled().await;
    stop(daemon).await;
    case.at_source("ALTER PUBLICATION testpub ADD TABLE t2").await;
    case.installation.write_mapping(&format!("{}{}", statement("t"), statement("t2")));
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    is(target, "SELECT count(f) FROM t", &["6000"], "the first table").await;
    is(target, "SELECT count(f) FROM t2", &["6000"], "a table that comes to the publication").await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_index_becomes_the_replica_identity() {
    let table = "CREATE TABLE t (a int NOT NULL, b int NOT NULL);
        CREATE UNIQUE INDEX by_a ON t (a); CREATE UNIQUE INDEX by_b ON t (b);";
    let source = format!(
        "{table} ALTER TABLE t REPLICA IDENTITY USING INDEX by_a; INSERT INTO t VALUES (1, 1), (2, 2)"
    );
    let case = case(&source, table, "INSERT INTO t SELECT a, b FROM t;").await;
    let mut daemon = follow(&case).await;
    let (target, rows) = (&case.databases.target, "SELECT * FROM t ORDER BY b");
    is(target, rows, &["1|1", "2|2"], "copied").await;
    case.at_source(
        "ALTER TABLE t REPLICA IDENTITY USING INDEX by_b; UPDATE t SET a = -a WHERE a = 1; DELETE FROM t WHERE a = 2",
    )
    .await;
    // It is asked for, and nothing is lost meanwhile.
    case.held(&daemon, "RG3001").await;
    accepted(&case, &mut daemon).await;
    assert_eq!(crate::rows(target, rows).await, ["-1|1"], "by the other index");
    stop(daemon).await;
}

/// A name means the table that it meant: another one behind it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_renamed() {
    let table = "CREATE SCHEMA sch1; CREATE TABLE sch1.t1 (c1 int PRIMARY KEY)";
    let case = case(table, table, "INSERT INTO sch1.t1 SELECT c1 FROM sch1.t1;").await;
    let mut daemon = follow(&case).await;
    case.at_source(
        "BEGIN; INSERT INTO sch1.t1 VALUES (1); ALTER SCHEMA sch1 RENAME TO sch2; CREATE SCHEMA sch1;
         CREATE TABLE sch1.t1 (c1 int PRIMARY KEY); INSERT INTO sch1.t1 VALUES (2); INSERT INTO sch2.t1 VALUES (3); COMMIT",
    )
    .await;
    case.held(&daemon, "RG3018").await;
    accepted(&case, &mut daemon).await;
    let found = crate::rows(&case.databases.target, "SELECT * FROM sch1.t1").await;
    assert_eq!(found, ["2"], "those of the table that it means now");
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_rows_lose_a_column() {
    let table = "CREATE TABLE dropped_cols (a int, b_drop int, c int);";
    let source = format!(
        "{table} ALTER TABLE dropped_cols REPLICA IDENTITY FULL; INSERT INTO dropped_cols VALUES (1, 1, 1)"
    );
    let mapping =
        "-- regraft: counted\nINSERT INTO dropped_cols (a, c) SELECT a, c FROM dropped_cols;";
    let case = case(&source, table, mapping).await;
    let daemon = follow(&case).await;
    let drop = "ALTER TABLE dropped_cols DROP COLUMN b_drop";
    case.at_source(drop).await;
    case.at_target(drop).await;
    case.at_source("UPDATE dropped_cols SET a = 100").await;
    case.settled().await;
    let found = "SELECT count(*) FROM dropped_cols WHERE a = 100";
    is(&case.databases.target, found, &["1"], "a column is dropped at both ends").await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_older_than_a_column_of_theirs() {
    let source = "CREATE TABLE tab_default (a int); ALTER TABLE tab_default REPLICA IDENTITY FULL;
        INSERT INTO tab_default VALUES (1); ALTER TABLE tab_default ADD COLUMN b bool DEFAULT false NOT NULL;
        INSERT INTO tab_default VALUES (2, true)";
    let mapping = "-- regraft: counted\nINSERT INTO tab_default SELECT a, b FROM tab_default;";
    let case = case(source, "CREATE TABLE tab_default (a int, b bool)", mapping).await;
    let daemon = follow(&case).await;
    let (target, rows) = (&case.databases.target, "SELECT a, b FROM tab_default ORDER BY a");
    is(target, rows, &["1|f", "2|t"], "copied").await;
    case.at_source("UPDATE tab_default SET a = a + 1").await;
    case.settled().await;
    is(target, rows, &["2|f", "3|t"], "followed").await;
    stop(daemon).await;
}

/// The server waits with its end for whoever reads its log, and the pipeline waits for a lock of the target.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_stops_while_the_pipeline_is_stuck() {
    // Only the end of the pipeline's sessions may end the wait.
    let settings = vec![("wal_sender_timeout".to_owned(), "1h".to_owned())];
    let source = ClusterOptions { settings, ..ClusterOptions::default() };
    let options = SiteOptions { source, ..SiteOptions::default() };
    let table = "CREATE TABLE test_tab (id int PRIMARY KEY, filler text)";
    let mapping = "INSERT INTO test_tab SELECT id, filler FROM test_tab;";
    let site = Site::with(options, &[table], table, mapping).await;
    let mut daemon = site.run();
    ready(&mut daemon).await;
    site.settled().await;
    let (other, target) = (site.at_target().await, site.at_target().await);
    let few = "INSERT INTO test_tab VALUES (0)";
    let many =
        "INSERT INTO test_tab SELECT i, repeat('x', 2000) FROM generate_series(1, 30000) AS i";
    for (lock, rows, full, wanted, what) in [
        ("INSERT INTO test_tab VALUES (0)", few, false, "1", "with a row that waits"),
        (
            "LOCK TABLE test_tab IN EXCLUSIVE MODE",
            many,
            true,
            "30001",
            "with more than fits between them",
        ),
    ] {
        other.batch_execute(&format!("BEGIN; {lock}")).await.unwrap();
        let source = site.at_source().await;
        source.batch_execute(rows).await.unwrap();
        let waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted";
        until_true(&target, "the pipeline to wait for the lock", waits).await;
        if full {
            let waits =
                "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'WalSenderWriteData'";
            until_true(&source, "the sender to have no room", waits).await;
        }
        assert!(site.source.stop(StopMode::Fast).await.is_ok(), "the source stops {what}");
        other.batch_execute("ROLLBACK").await.unwrap();
        site.source.start_again().await.unwrap();
        site.settled().await;
        is(&target, "SELECT count(*) FROM test_tab", &[wanted], what).await;
    }
    stop(daemon).await;
}
