//! 016 and 018: subtransactions. 021: prepared transactions, also through crashes of the source.

use regraft_testkit::ClusterOptions;
use regraft_tests::{Site, SiteOptions};

use crate::support::{ready, stop};
use crate::{case, follow, is};

const SOURCE: &str =
    "CREATE TABLE tab (a int PRIMARY KEY, b bytea); INSERT INTO tab VALUES (1, 'foo'), (2, 'bar');
    CREATE TABLE tab_2 (a int)";

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_are_released() {
    let target = "CREATE TABLE tab (a int PRIMARY KEY, b bytea, c timestamptz DEFAULT now(), d bigint DEFAULT 999)";
    let case = case(SOURCE, target, "INSERT INTO tab (a, b) SELECT a, b FROM tab;").await;
    let daemon = follow(&case).await;
    let counts = "SELECT count(*), count(c), count(d = 999) FROM tab";
    is(&case.databases.target, counts, &["2|2|2"], "copied").await;
    let part = |n: i32| {
        format!(
            "INSERT INTO tab SELECT i, sha256(i::text::bytea) FROM generate_series({n}, {n} + 2) AS s(i);
             UPDATE tab SET b = sha256(b) WHERE mod(a, 2) = 0; DELETE FROM tab WHERE mod(a, 3) = 0;"
        )
    };
    let parts: Vec<_> = [3, 6, 9, 12, 15].map(part).to_vec();
    let sql =
        (1..).zip(&parts).map(|(n, part)| format!("{part} SAVEPOINT s{n};")).collect::<String>();
    case.at_source(&format!("BEGIN; {sql} COMMIT")).await;
    case.settled().await;
    is(&case.databases.target, counts, &["12|12|12"], "what subtransactions wrote").await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_are_rolled_back() {
    let target = "CREATE TABLE tab (a int PRIMARY KEY, b bytea, c int, d int, e int); CREATE TABLE tab_2 (a int)";
    let mapping = "INSERT INTO tab (a, b) SELECT a, b FROM tab;\n-- regraft: append-only\nINSERT INTO tab_2 SELECT a FROM tab_2;";
    let case = case(SOURCE, target, mapping).await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    let counts = "SELECT count(*), count(c) FROM tab";
    is(target, counts, &["2|0"], "copied").await;
    let row = |n: i32| format!("INSERT INTO tab VALUES ({n}, sha256({n}::text::bytea));");
    let sql = [
        row(3),
        "SAVEPOINT s1;".into(),
        row(4),
        "SAVEPOINT s2;".into(),
        row(5),
        "SAVEPOINT s3;".into(),
        row(6),
        "ROLLBACK TO s2;".into(),
        row(7),
        "ROLLBACK TO s1;".into(),
        row(8),
        "SAVEPOINT s4;".into(),
        row(9),
        "SAVEPOINT s5;".into(),
        row(10),
    ];
    case.at_source(&format!("BEGIN; {} COMMIT", sql.concat())).await;
    case.settled().await;
    is(target, counts, &["6|0"], "some of them").await;
    let sql = [
        row(11),
        "SAVEPOINT s1;".into(),
        row(12),
        "SAVEPOINT s2;".into(),
        row(13),
        "SAVEPOINT s3;".into(),
        row(14),
        "RELEASE s2;".into(),
        row(15),
        "ROLLBACK TO s1;".into(),
    ];
    case.at_source(&format!("BEGIN; {} COMMIT", sql.concat())).await;
    case.settled().await;
    is(target, counts, &["7|0"], "released ones, with the one around them").await;
    let sql = [row(16), "SAVEPOINT s1;".into(), row(17), "SAVEPOINT s2;".into(), row(18)];
    case.at_source(&format!("BEGIN; {} ROLLBACK", sql.concat())).await;
    case.settled().await;
    is(target, counts, &["7|0"], "all of them").await;
    case.at_source("BEGIN; INSERT INTO tab_2 VALUES (1); ROLLBACK").await;
    case.settled().await;
    is(target, "SELECT count(*) FROM tab_2", &["0"], "rows without a key").await;
    case.at_source("BEGIN; INSERT INTO tab_2 VALUES (1); SAVEPOINT sp; INSERT INTO tab_2 VALUES (1); ROLLBACK TO sp; COMMIT").await;
    case.settled().await;
    is(target, "SELECT count(*) FROM tab_2", &["1"], "rows without a key, in part").await;
    stop(daemon).await;
}

/// The target has a prepared transaction when it is committed, and nothing of it before.
#[tokio::test(flavor = "multi_thread")]
async fn prepared_transactions_come_with_their_commit() {
    let settings = vec![("max_prepared_transactions".to_owned(), "10".to_owned())];
    let source = ClusterOptions { settings, ..ClusterOptions::default() };
    let tables = "CREATE TABLE tab (a int PRIMARY KEY); CREATE TABLE log (a int)";
    let mapping = "INSERT INTO tab SELECT a FROM tab;\n-- regraft: append-only\nINSERT INTO log SELECT a FROM log;";
    let options = SiteOptions { source, ..SiteOptions::default() };
    let initial =
        "BEGIN; INSERT INTO tab SELECT generate_series(1, 10); PREPARE TRANSACTION 'initial'";
    let site =
        Site::with(options, &[tables, initial, "COMMIT PREPARED 'initial'"], tables, mapping).await;
    let (source, target) = (site.at_source().await, site.at_target().await);
    let mut daemon = site.run();
    ready(&mut daemon).await;
    let run = async |sql: &str| {
        source.batch_execute(sql).await.unwrap();
        site.settled().await;
    };
    run("BEGIN; INSERT INTO tab VALUES (11); INSERT INTO log VALUES (11); PREPARE TRANSACTION 'one'").await;
    is(&target, "SELECT count(*) FROM tab WHERE a = 11", &["0"], "prepared").await;
    run("COMMIT PREPARED 'one'").await;
    is(&target, "SELECT count(*) FROM tab WHERE a = 11", &["1"], "committed").await;
    is(&target, "SELECT a FROM log", &["11"], "committed, without a key").await;
    run("BEGIN; INSERT INTO tab VALUES (12); PREPARE TRANSACTION 'two'").await;
    run("ROLLBACK PREPARED 'two'").await;
    is(&target, "SELECT count(*) FROM tab WHERE a = 12", &["0"], "rolled back").await;
    run("BEGIN; INSERT INTO tab VALUES (21); SAVEPOINT inside; INSERT INTO tab VALUES (22); \
         ROLLBACK TO SAVEPOINT inside; PREPARE TRANSACTION 'outer'")
    .await;
    run("COMMIT PREPARED 'outer'").await;
    is(&target, "SELECT a FROM tab WHERE a IN (21, 22)", &["21"], "with a savepoint").await;
    run("BEGIN; INSERT INTO tab VALUES (51); PREPARE TRANSACTION ''").await;
    run("ROLLBACK PREPARED ''").await;
    is(&target, "SELECT count(*) FROM tab WHERE a = 51", &["0"], "without a name").await;
    run("BEGIN; INSERT INTO tab VALUES (12), (13); INSERT INTO log VALUES (12), (13); PREPARE TRANSACTION 'killed'").await;
    daemon.kill9();
    let daemon = site.run();
    run("COMMIT PREPARED 'killed'").await;
    is(
        &target,
        "SELECT count(*) FROM tab WHERE a IN (12, 13)",
        &["2"],
        "when the daemon was killed meanwhile",
    )
    .await;
    is(&target, "SELECT a FROM log ORDER BY a", &["11", "12", "13"], "the same, without a key")
        .await;
    stop(daemon).await;
}
