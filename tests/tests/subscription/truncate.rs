//! 010: TRUNCATE.

use regraft_tests::{Site, SiteOptions};

use crate::support::{Case, Given, stop};
use crate::{case, follow, is};

const BOUNDS: &str = "SELECT count(*), min(a), max(a) FROM ";

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_truncated_alone_and_together() {
    let tables = "CREATE TABLE tab1 (a int PRIMARY KEY); CREATE TABLE tab2 (a int PRIMARY KEY);
        CREATE TABLE tab3 (a int PRIMARY KEY); CREATE TABLE tab4 (x int PRIMARY KEY, y int REFERENCES tab3);
        CREATE TABLE tab5 (a int)";
    let mapping = "INSERT INTO tab1 SELECT a FROM tab1; INSERT INTO tab3 SELECT a FROM tab3;
        INSERT INTO tab4 SELECT x, y FROM tab4;\n-- regraft: append-only\nINSERT INTO tab5 SELECT a FROM tab5;";
    let given = Given { source: tables, target: tables, mapping, ..Given::default() };
    let case = Case::of(given).await;
    let config = std::fs::read_to_string(case.installation.path("regraft.toml")).unwrap();
    case.installation
        .write_config(&config.replace("[target]\n", "[target]\nforeign_keys = \"trusted\"\n"));
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    // Rows that are at the target alone go, too.
    case.at_target("INSERT INTO tab1 VALUES (1), (2), (3)").await;
    case.at_source("TRUNCATE tab1").await;
    case.settled().await;
    is(target, &format!("{BOUNDS}tab1"), &["0||"], "truncated").await;
    case.at_source("INSERT INTO tab5 VALUES (1), (2), (3)").await;
    case.settled().await;
    is(target, &format!("{BOUNDS}tab5"), &["3|1|3"], "rows of a log").await;
    case.at_source("TRUNCATE tab5").await;
    case.settled().await;
    is(target, &format!("{BOUNDS}tab5"), &["0||"], "a log is truncated").await;
    case.at_target(
        "INSERT INTO tab3 VALUES (1), (2), (3); INSERT INTO tab4 VALUES (11, 1), (111, 1), (22, 2)",
    )
    .await;
    case.at_source("TRUNCATE tab3, tab4").await;
    case.settled().await;
    is(target, &format!("{BOUNDS}tab3"), &["0||"], "with a table that refers to it").await;
    is(target, "SELECT count(*), min(x), max(x) FROM tab4", &["0||"], "that table").await;
    case.at_target("INSERT INTO tab1 VALUES (1), (2), (3); INSERT INTO tab2 VALUES (1), (2), (3)")
        .await;
    case.at_source("TRUNCATE tab1, tab2").await;
    case.settled().await;
    is(target, &format!("{BOUNDS}tab1"), &["0||"], "with one that is not mapped").await;
    is(target, &format!("{BOUNDS}tab2"), &["3|1|3"], "the one that is not mapped").await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    is(target, deadlocks, &["0"], "no deadlock").await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_wait_for_the_pipeline_are_truncated() {
    let table = "CREATE TABLE tab1 (a int PRIMARY KEY)";
    let mapping = "INSERT INTO tab1 SELECT a FROM tab1;";
    let site = Site::with(SiteOptions::default(), &[table], table, mapping).await;
    let (source, target) = (site.at_source().await, site.at_target().await);
    let mut daemon = site.run();
    crate::support::ready(&mut daemon).await;
    source
        .batch_execute("ALTER SYSTEM SET synchronous_standby_names = '\"regraft test\"'")
        .await
        .unwrap();
    source.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let shown = "SELECT current_setting('synchronous_standby_names') <> ''";
    crate::support::until_true(&source, "the setting", shown).await;
    source.batch_execute("INSERT INTO tab1 VALUES (1), (2), (3)").await.unwrap();
    site.settled().await;
    is(&target, &format!("{BOUNDS}tab1"), &["3|1|3"], "rows of a synchronous source").await;
    source.batch_execute("TRUNCATE tab1").await.unwrap();
    site.settled().await;
    is(&target, &format!("{BOUNDS}tab1"), &["0||"], "truncated").await;
    stop(daemon).await;
}

/// Two tables of the source fill one of the target.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_statement_filled_stays() {
    let source = "CREATE TABLE a (n int PRIMARY KEY); CREATE TABLE b (n int PRIMARY KEY);
        INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1), (2), (3)";
    let target = "CREATE TABLE united (kind text, n int, PRIMARY KEY (kind, n))";
    let mapping =
        "INSERT INTO united SELECT 'a', n FROM a; INSERT INTO united SELECT 'b', n FROM b;";
    let case = case(source, target, mapping).await;
    let daemon = follow(&case).await;
    case.at_source("TRUNCATE a").await;
    case.settled().await;
    is(
        &case.databases.target,
        "SELECT kind, count(*) FROM united GROUP BY 1",
        &["b|3"],
        "of one statement",
    )
    .await;
    stop(daemon).await;
}
