//! Tables whose changes are not in the stream, in whole or in part: `check` says so before anything is
//! made, and not the first change.

use regraft_tests::number;

use crate::support::{Case, Given};

async fn refused(source: &str, mapping: &str, status: i32, code: &str, parts: &[&str]) {
    let target =
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE r (id int PRIMARY KEY, v text)";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    case.refused(status, code, "mapping.sql:1:1", parts).await;
    // Nothing was made at either side.
    assert_eq!(number(&case.databases.source, "SELECT count(*) FROM pg_publication").await, 0);
    let ledger = "SELECT count(*) FROM pg_namespace WHERE nspname = 'regraft'";
    assert_eq!(number(&case.databases.target, ledger).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_column_is_no_key() {
    let mapping = "INSERT INTO t SELECT id, v FROM s;";
    let parts = ["generated column \"id\"", "public.s", "USING INDEX"];
    let table = "a int NOT NULL, id int GENERATED ALWAYS AS (a * 2) STORED, v text";
    for (key, identity) in [
        ("PRIMARY KEY (id)", ""),
        ("PRIMARY KEY (id)", "ALTER TABLE s REPLICA IDENTITY FULL"),
        ("PRIMARY KEY (a, id)", ""),
        (
            "UNIQUE (id)",
            "ALTER TABLE s ALTER id SET NOT NULL; ALTER TABLE s REPLICA IDENTITY USING INDEX s_id_key",
        ),
    ] {
        let source = format!("CREATE TABLE s ({table}, {key}); {identity}");
        refused(&source, mapping, 3, "RG3001", &parts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_of_a_whole_row_is_taken_in_place_of_a_generated_one() {
    let source = "CREATE TABLE s (a int NOT NULL UNIQUE, id int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY, v text);
        ALTER TABLE s REPLICA IDENTITY FULL;
        INSERT INTO s (a, v) SELECT n, 'row ' || n FROM generate_series(1, 9) AS n";
    let target = "CREATE TABLE t (a int PRIMARY KEY, twice int, v text)";
    let mapping = "INSERT INTO t SELECT a, id, v FROM s;";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    case.catch_up().await;
    case.at_source("UPDATE s SET v = 'new' WHERE a < 4; UPDATE s SET a = a + 100 WHERE a = 5; DELETE FROM s WHERE a = 9").await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_column_leads_to_no_other_table() {
    let tables = "CREATE TABLE s (id int PRIMARY KEY, k int);
        CREATE TABLE kinds (a int PRIMARY KEY, k int GENERATED ALWAYS AS (a * 2) STORED NOT NULL, v text);";
    let mapping = "INSERT INTO t SELECT s.id, kinds.v FROM s LEFT JOIN kinds ON kinds.k = s.k;";
    let parts = ["generated column \"k\"", "public.kinds"];
    for identity in [
        "",
        "ALTER TABLE kinds REPLICA IDENTITY FULL",
        "CREATE UNIQUE INDEX k ON kinds (k); ALTER TABLE kinds REPLICA IDENTITY USING INDEX k",
    ] {
        refused(&format!("{tables} {identity}"), mapping, 3, "RG3001", &parts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_outside_of_the_log_is_refused() {
    let mapping = "INSERT INTO t SELECT id, v FROM s;";
    let table = "TABLE s (id int PRIMARY KEY, v text)";
    let parts = ["unlogged", "SET LOGGED", "public.s"];
    refused(&format!("CREATE UNLOGGED {table}"), mapping, 2, "RG3003", &parts).await;
    // One that is read beside the source table.
    let source = "CREATE TABLE s (id int PRIMARY KEY, k int);
        CREATE UNLOGGED TABLE kinds (k int PRIMARY KEY, v text)";
    let joined = "INSERT INTO t SELECT s.id, kinds.v FROM s LEFT JOIN kinds ON kinds.k = s.k;";
    refused(source, joined, 2, "RG3003", &["unlogged", "public.kinds"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_outside_of_the_log_are_refused() {
    let mapping = "INSERT INTO t SELECT id, v FROM s;";
    let source = "CREATE TABLE s (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF s FOR VALUES FROM (0) TO (100);
        CREATE UNLOGGED TABLE high PARTITION OF s FOR VALUES FROM (100) TO (200)";
    refused(source, mapping, 2, "RG3003", &["public.high", "SET LOGGED"]).await;
    let source = "CREATE TABLE s (id int, v text) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF s (id PRIMARY KEY) FOR VALUES FROM (0) TO (100);
        CREATE FOREIGN DATA WRAPPER away; CREATE SERVER away FOREIGN DATA WRAPPER away;
        CREATE FOREIGN TABLE far PARTITION OF s FOR VALUES FROM (100) TO (200) SERVER away;
        ALTER TABLE s REPLICA IDENTITY FULL";
    refused(source, mapping, 2, "RG3003", &["public.far", "DETACH"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_large_objects_are_warned_of() {
    let source = "CREATE DOMAIN lo AS oid;
        CREATE TABLE s (id int PRIMARY KEY, plain oid, named lo, n int);
        INSERT INTO s VALUES (1, lo_from_bytea(0, 'content'), lo_from_bytea(0, 'content'), 1)";
    let target = "CREATE TABLE t (id int PRIMARY KEY, plain oid, named oid, n int)";
    let mapping = "INSERT INTO t SELECT id, plain, named, n FROM s;";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let finished = case.regraft(&["check", "--json"]).await;
    assert_eq!(finished.code(), 0, "{}\n{}", finished.stdout, finished.stderr);
    let report = finished.json();
    let warned = report["findings"].as_array().unwrap().iter().any(|finding| {
        let what = finding["what"].as_str().unwrap();
        finding["severity"] == "warning"
            && what.contains("\"plain\", \"named\" may name large objects")
    });
    assert!(warned, "{report:#}");
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_server_cannot_send_are_refused() {
    let mapping = "INSERT INTO t SELECT id, v FROM s;";
    for (types, column) in [
        ("", "aclitem[]"),
        ("CREATE TYPE pair AS (a int, b aclitem);", "pair"),
        ("CREATE DOMAIN acls AS aclitem[];", "acls"),
        ("CREATE TYPE pair AS (a int, b aclitem[]);", "pair[]"),
    ] {
        let source = format!("{types} CREATE TABLE s (id int PRIMARY KEY, v text, acl {column})");
        let parts = ["cannot send the column \"acl\" of public.s", column];
        refused(&source, mapping, 2, "RG3003", &parts).await;
    }
    // One that is read beside the source table.
    let source = "CREATE TABLE s (id int PRIMARY KEY, k int);
        CREATE TABLE kinds (k int PRIMARY KEY, v text, acl aclitem[])";
    let joined = "INSERT INTO t SELECT s.id, kinds.v FROM s LEFT JOIN kinds ON kinds.k = s.k;";
    refused(source, joined, 2, "RG3003", &["cannot send the column \"acl\" of public.kinds"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_read_back_is_refused() {
    let source = "CREATE TABLE s (q tsquery PRIMARY KEY, id int, v text)";
    let mapping = "INSERT INTO t SELECT id, v FROM s;";
    refused(source, mapping, 3, "RG3001", &["\"q\"", "tsquery", "USING INDEX"]).await;
}
