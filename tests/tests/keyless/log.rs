//! Logs: rows come and stay.

use regraft_testkit::wait_until;
use regraft_tests::{DEADLINE, number};
use serde_json::Value;

use crate::support::{Case, Given, ready, stop, until_true};
use crate::{assert_same, harmful};

pub(crate) const SOURCE: &str = "
    CREATE TABLE log (at timestamptz, who text, what jsonb, size numeric);
    CREATE TABLE items (id int PRIMARY KEY, v text);
    INSERT INTO log SELECT timestamptz '2026-01-01' + n % 7 * interval '1 s', nullif('w' || n % 3, 'w0'),
        jsonb_build_object('n', n % 5), n % 2 FROM generate_series(1, 500) AS n;
    INSERT INTO items SELECT n, 'v' || n FROM generate_series(1, 50) AS n";
pub(crate) const TARGET: &str = "
    CREATE TABLE new_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz, who text,
        what jsonb, size numeric(12, 1));
    CREATE TABLE new_items (id int PRIMARY KEY, v text)";
pub(crate) const MAPPING: &str = "-- regraft: append-only
INSERT INTO new_log (at, who, what, size) SELECT at, who, what, size FROM log;
INSERT INTO new_items SELECT id, v FROM items;
";
pub(crate) const SAME: &[(&str, &str)] = &[
    (
        "SELECT at, who, what, size::numeric(12, 1) FROM log",
        "SELECT at, who, what, size FROM new_log",
    ),
    ("SELECT id, v FROM items", "SELECT id, v FROM new_items"),
];

pub(crate) fn given<'a>() -> Given<'a> {
    Given { source: SOURCE, target: TARGET, mapping: MAPPING, ..Given::default() }
}

/// The outcome of a verification for a table.
pub(crate) async fn verified(case: &Case, table: &str) -> Value {
    let report = case.regraft(&["verify", "--json"]).await.json();
    let tables = report["tables"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    let found = tables.iter().find(|one| one["target"].as_str().unwrap().ends_with(table));
    found.unwrap_or_else(|| panic!("{report:#}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_log_come_as_often_as_they_are_written() {
    let case = Case::of(given()).await;
    let (source, target) = (&case.databases.source, &case.databases.target);
    case.catch_up().await;
    assert_same(source, target, SAME).await;

    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    assert_eq!(harmful(source, "log").await, 0);
    // Equal rows, NULL everywhere, values that stand out of line; beside changes of a table with a key.
    case.at_source(
        "BEGIN; INSERT INTO log SELECT * FROM log LIMIT 100;
         INSERT INTO log SELECT NULL, NULL, NULL, NULL FROM generate_series(1, 5);
         INSERT INTO log SELECT now(), (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n), '[1]', 1
             FROM generate_series(1, 3);
         UPDATE items SET v = 'new' WHERE id < 9; DELETE FROM items WHERE id = 20; COMMIT",
    )
    .await;
    case.settled().await;
    assert_same(source, target, SAME).await;
    let outcome = verified(&case, "new_log").await;
    assert_eq!((&outcome["rows"], &outcome["missing"]), (&608.into(), &0.into()), "{outcome:#}");

    // The application changes what it likes; that is not followed, and counted.
    case.at_source("UPDATE log SET who = 'nobody' WHERE size = 1 AND what @> '{\"n\": 1}'").await;
    case.at_source("DELETE FROM log WHERE at IS NULL").await;
    let before = number(target, "SELECT count(*) FROM new_log").await;
    case.settled().await;
    assert_eq!(number(target, "SELECT count(*) FROM new_log").await, before);
    let changed = number(source, "SELECT count(*) FROM log WHERE who = 'nobody'").await;
    let outcome = verified(&case, "new_log").await;
    assert_eq!(outcome["missing"], changed, "{outcome:#}");
    assert_eq!(outcome["surplus"], changed + 5, "{outcome:#}");

    // TRUNCATE is followed.
    case.at_source("BEGIN; TRUNCATE log; INSERT INTO log SELECT now(), 'first', '{}', 1; COMMIT")
        .await;
    case.settled().await;
    assert_same(source, target, SAME).await;
    stop(daemon).await;
    case.at_source("INSERT INTO log TABLE log; INSERT INTO log TABLE log").await;
    case.catch_up().await;
    assert_same(source, target, SAME).await;

    let finished = case.regraft(&["run", "--recopy", "log", "--until-caught-up"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_same(source, target, SAME).await;
    let finished = case.regraft(&["check", "--sample", "100", "--json"]).await.json();
    assert_eq!(finished["sample"]["different"], 0, "{finished:#}");
    let finished = case.regraft(&["teardown", "--apply"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_eq!(number(source, "SELECT count(*) FROM pg_publication").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_of_a_log_need_no_identity() {
    let source = "CREATE TABLE log (n int, v text) PARTITION BY RANGE (n);
        CREATE TABLE low PARTITION OF log FOR VALUES FROM (0) TO (10);
        CREATE TABLE high PARTITION OF log FOR VALUES FROM (10) TO (100);
        INSERT INTO log SELECT n % 20, 'v' FROM generate_series(1, 100) AS n";
    let target = "CREATE TABLE new_log (n int, v text) PARTITION BY HASH (n);
        CREATE TABLE a PARTITION OF new_log FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE b PARTITION OF new_log FOR VALUES WITH (MODULUS 2, REMAINDER 1)";
    let mapping = "-- regraft: append-only\nINSERT INTO new_log SELECT n, v FROM log";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    case.catch_up().await;
    case.at_source("INSERT INTO log VALUES (3, 'w'), (3, 'w'), (13, NULL)").await;
    case.catch_up().await;
    // Another partition, without anything that identifies its rows.
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source(
        "CREATE TABLE more PARTITION OF log FOR VALUES FROM (100) TO (200);
         INSERT INTO log VALUES (150, 'm'), (150, 'm')",
    )
    .await;
    case.settled().await;
    let same = [("SELECT n, v FROM log", "SELECT n, v FROM new_log")];
    assert_same(&case.databases.source, &case.databases.target, &same).await;
    case.at_source("UPDATE log SET v = 'x' WHERE n = 150; DELETE FROM log WHERE n = 3").await;
    // Old partitions go, as those of logs do; what was in them stays.
    case.at_source("DROP TABLE low; TRUNCATE high; ALTER TABLE log DETACH PARTITION more").await;
    case.at_source("INSERT INTO log VALUES (13, 'late')").await;
    case.settled().await;
    stop(daemon).await;
    case.at_source("TRUNCATE high").await;
    case.catch_up().await;
    let late = "SELECT count(*) FROM new_log WHERE v = 'late' OR n = 150";
    assert_eq!(regraft_tests::number(&case.databases.target, late).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_published_any_more_holds_the_pipeline() {
    let extra = "[drift]\nheld = \"all\"\n";
    let case = Case::of(Given { extra, ..given() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let publication = format!("{}_append", case.slot());
    case.at_source(&format!("ALTER PUBLICATION {publication} DROP TABLE log")).await;
    let error = case.held(&daemon, "RG2017").await;
    assert!(error["what"].as_str().unwrap().contains("public.log"), "{error:#}");
    stop(daemon).await;
    let finished = case.regraft(&["run", "--recopy", "log", "--until-caught-up"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.at_source("INSERT INTO log VALUES (NULL, 'again', NULL, NULL)").await;
    case.catch_up().await;
    assert_same(&case.databases.source, &case.databases.target, SAME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_comes_later_starts_the_pipeline_over() {
    let case =
        Case::of(Given { mapping: "INSERT INTO new_items SELECT id, v FROM items", ..given() })
            .await;
    case.catch_up().await;
    case.installation.write_mapping(MAPPING);
    case.at_source("INSERT INTO log VALUES (NULL, 'early', NULL, NULL)").await;
    let finished = case.run_once().await;
    assert_eq!(finished.code(), 3, "{}", finished.stderr);
    assert!(finished.stderr.contains("[RG2010]"), "{}", finished.stderr);
    assert!(finished.stderr.contains("--resync all"), "{}", finished.stderr);
    let mut daemon = case.installation.start(&["run", "--resync", "all", "--recopy", "log"]);
    ready(&mut daemon).await;
    case.settled().await;
    stop(daemon).await;
    case.at_source("INSERT INTO log VALUES (NULL, 'late', NULL, NULL)").await;
    case.catch_up().await;
    assert_same(&case.databases.source, &case.databases.target, SAME).await;

    // A second one is added to the publication that is there.
    case.at_source(
        "CREATE TABLE more (v text); INSERT INTO more SELECT 'm' FROM generate_series(1, 9)",
    )
    .await;
    case.at_target("CREATE TABLE new_more (v text)").await;
    let more =
        format!("{MAPPING}-- regraft: append-only\nINSERT INTO new_more SELECT v FROM more;");
    case.installation.write_mapping(&more);
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("INSERT INTO more TABLE more").await;
    case.settled().await;
    until_true(&case.databases.target, "all rows", "SELECT count(*) = 18 FROM new_more").await;
    assert_same(&case.databases.source, &case.databases.target, SAME).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_of_the_users_has_one_of_its_new_rows_beside_it() {
    let source = format!("{SOURCE}; CREATE PUBLICATION theirs FOR TABLE items");
    let lines = "publication = \"theirs\"\n";
    let case = Case::of(Given { source: &source, source_lines: lines, ..given() }).await;
    case.refused(
        3,
        "RG2010",
        "source",
        &["theirs_append", "CREATE PUBLICATION", "insert, truncate"],
    )
    .await;
    case.at_source("CREATE PUBLICATION theirs_append FOR TABLE log WITH (publish = 'insert')")
        .await;
    case.refused(3, "RG2010", "source", &["theirs_append", "insert, truncate"]).await;
    case.at_source("ALTER PUBLICATION theirs_append SET (publish = 'insert, update, truncate')")
        .await;
    case.refused(3, "RG2016", "source", &["theirs_append", "insert, truncate"]).await;
    case.at_source("ALTER PUBLICATION theirs_append SET (publish = 'insert, truncate')").await;
    case.catch_up().await;
    case.at_source("INSERT INTO log VALUES (NULL, 'late', NULL, NULL)").await;
    case.catch_up().await;
    assert_same(&case.databases.source, &case.databases.target, SAME).await;
}

/// Its tables have no key: a publication of theirs that carries more than new rows has the server refuse the
/// application's writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_of_new_rows_that_comes_to_carry_more_does_not_harm_for_long() {
    let case = Case::of(given()).await;
    let (source, target) = (&case.databases.source, &case.databases.target);
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let alter = format!(
        "ALTER PUBLICATION {}_append SET (publish = 'insert, update, delete, truncate')",
        case.slot()
    );
    case.at_source(&alter).await;
    wait_until("the application to be free", DEADLINE, async || {
        let sql = "UPDATE log SET size = size";
        source.batch_execute(sql).await.map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(harmful(source, "log").await, 0);
    // Its publication is another one by now, which a person has to look at; the rows are all there.
    wait_until("the table to be held", DEADLINE, async || {
        let status = case.regraft(&["status", "--json"]).await.json();
        if status["held"][0]["code"] == "RG2017" { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    case.at_source("INSERT INTO log SELECT * FROM log LIMIT 10").await;
    let resumed = case.regraft(&["resume", "--accept"]).await;
    assert_eq!(resumed.code(), 0, "{}", resumed.stderr);
    ready(&mut daemon).await;
    case.settled().await;
    assert_same(source, target, SAME).await;
    stop(daemon).await;
}
