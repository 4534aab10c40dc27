//! 015, 017, 019: transactions that the source spills to its disk while it decodes them, also with changes of the
//! table in between. 009: materialized views. 020: messages of others.

use regraft_tests::number;

use crate::support::{Case, stop, until_true};
use crate::{case, follow, is};

/// Has the server spill what it decodes after 64 kB, for this database.
const SPILL: &str = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()); END $$;";

const TAB: &str = "CREATE TABLE tab (a int PRIMARY KEY, b varchar); INSERT INTO tab VALUES (1, 'foo'), (2, 'bar')";

fn source(tables: &str) -> String {
    format!("{SPILL} {tables}")
}

/// A second session at the source.
async fn beside(case: &Case) -> tokio_postgres::Client {
    regraft_testkit::connect(&case.databases.source_url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_transactions_come_between_each_other() {
    let target = "CREATE TABLE tab (a int PRIMARY KEY, b text, c timestamptz DEFAULT now(), d bigint DEFAULT 999)";
    let case = case(&source(TAB), target, "INSERT INTO tab (a, b) SELECT a, b FROM tab;").await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    let counts = "SELECT count(*), count(c), count(d = 999) FROM tab";
    is(target, counts, &["2|2|2"], "copied").await;
    let other = beside(&case).await;
    let changes = |from: i32, upto: i32| {
        format!(
            "INSERT INTO tab SELECT i, md5(i::text) FROM generate_series({from}, {upto}) AS i;
             UPDATE tab SET b = md5(b) WHERE a % 2 = 0; DELETE FROM tab WHERE a % 3 = 0;"
        )
    };
    other.batch_execute(&format!("BEGIN; {}", changes(3, 5000))).await.unwrap();
    case.at_source(
        "BEGIN; INSERT INTO tab SELECT i, md5(i::text) FROM generate_series(5001, 9999) AS i;
         DELETE FROM tab WHERE a > 5000; COMMIT",
    )
    .await;
    other.batch_execute("COMMIT").await.unwrap();
    case.settled().await;
    is(target, counts, &["3334|3334|3334"], "one around another").await;
    case.at_source(&format!("BEGIN; {} COMMIT", changes(5001, 10000))).await;
    case.settled().await;
    is(target, counts, &["6667|6667|6667"], "one more").await;
    case.assert_equal().await;
    case.at_target("UPDATE tab SET c = 'epoch'::timestamptz + 987654321 * interval '1 s'").await;
    case.at_source("UPDATE tab SET b = md5(a::text)").await;
    case.settled().await;
    let kept = "SELECT count(*), count(nullif(extract(epoch FROM c) = 987654321, false)), count(d = 999) FROM tab";
    is(target, kept, &["6667|6667|6667"], "what was changed at the target stays").await;
    case.assert_equal().await;
    stop(daemon).await;
}

/// A unique index of the target that equal rows of the source do not fit holds the pipeline until it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn large_transactions_wait_for_the_target() {
    let mapping = "-- regraft: append-only\nINSERT INTO tab_2 SELECT a FROM tab_2;";
    let table = "CREATE TABLE tab_2 (a int)";
    let case = case(&source(table), table, mapping).await;
    let (unique, count) = ("CREATE UNIQUE INDEX idx ON tab_2 (a)", "SELECT count(*) FROM tab_2");
    let many = "INSERT INTO tab_2 SELECT generate_series(1, 5000)";
    case.at_target(unique).await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    let other = beside(&case).await;
    for (small, wanted, what) in [
        ("INSERT INTO tab_2 VALUES (1)", "5001", "a row that is there, after it"),
        (many, "10000", "another one, before it"),
    ] {
        other.batch_execute(&format!("BEGIN; {many}")).await.unwrap();
        case.at_source(small).await;
        other.batch_execute("COMMIT").await.unwrap();
        case.held(&daemon, "RG4001").await;
        case.at_target("DROP INDEX idx").await;
        case.settled().await;
        is(target, count, &[wanted], what).await;
        if wanted == "5001" {
            case.at_source("TRUNCATE tab_2").await;
            case.settled().await;
            case.at_target(unique).await;
        }
    }
    case.at_source(many).await;
    case.settled().await;
    is(target, count, &["15000"], "one more").await;
    stop(daemon).await;
}

/// Columns that come in the middle of transactions. Rows of all shapes are followed; the new columns are in the
/// mapping when it is written anew, and come to the rows that are there.
#[tokio::test(flavor = "multi_thread")]
async fn columns_come_within_transactions() {
    let target = "CREATE TABLE tab (a int PRIMARY KEY, b text, c int, d int, e int, f int)";
    let case = case(&source(TAB), target, "INSERT INTO tab (a, b) SELECT a, b FROM tab;").await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    is(target, "SELECT count(*), count(c), count(d = 999) FROM tab", &["2|0|0"], "copied").await;
    case.at_source(
        "BEGIN; INSERT INTO tab VALUES (3, md5('3')); ALTER TABLE tab ADD COLUMN c int; SAVEPOINT s1;
         INSERT INTO tab VALUES (4, md5('4'), -4); COMMIT;
         BEGIN; INSERT INTO tab SELECT i, md5(i::text), -i FROM generate_series(5, 1000) AS i; ALTER TABLE tab ADD COLUMN d int;
         SAVEPOINT s1; INSERT INTO tab SELECT i, md5(i::text), -i, 2 * i FROM generate_series(1001, 2000) AS i; COMMIT;
         BEGIN; INSERT INTO tab VALUES (2001, md5('2001'), -2001, 4002); ALTER TABLE tab ADD COLUMN e int; SAVEPOINT s1;
         INSERT INTO tab VALUES (2002, md5('2002'), -2002, 4004, -6006); COMMIT",
    )
    .await;
    case.settled().await;
    stop(daemon).await;
    let counts = "SELECT count(*), count(c), count(d), count(e) FROM tab";
    case.installation
        .write_mapping("INSERT INTO tab (a, b, c, d, e) SELECT a, b, c, d, e FROM tab;");
    let daemon = mended(&case).await;
    is(target, counts, &["2002|1999|1002|1"], "columns that came").await;
    case.at_source(
        "BEGIN; INSERT INTO tab SELECT i, md5(i::text), -i, 2 * i, -3 * i FROM generate_series(2003, 5000) AS i;
         ALTER TABLE tab ADD COLUMN f int; COMMIT;
         BEGIN; INSERT INTO tab SELECT i, md5(i::text), -i, 2 * i, -3 * i, 4 * i FROM generate_series(5001, 5005) AS i; COMMIT",
    )
    .await;
    case.settled().await;
    stop(daemon).await;
    let mapping = "INSERT INTO tab (a, b, c, d, e, f) SELECT a, b, c, d, e, f FROM tab;";
    case.installation.write_mapping(mapping);
    let daemon = mended(&case).await;
    let counts = "SELECT count(*), count(c), count(d), count(e), count(f) FROM tab";
    is(target, counts, &["5005|5002|4005|3004|5"], "one more").await;
    stop(daemon).await;
}

/// Goes on with a mapping that was written anew, until all rows were compared and mended.
async fn mended(case: &Case) -> regraft_testkit::Daemon {
    let compared = "SELECT count(*) FROM regraft.verifications";
    let before = number(&case.databases.target, compared).await;
    let daemon = case.installation.start(&["run", "--resync", "tab"]);
    let compared = format!("SELECT ({compared} WHERE finished_at IS NOT NULL) > {before}");
    until_true(&case.databases.target, "all rows to be compared", &compared).await;
    case.settled().await;
    daemon
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_and_are_rolled_back() {
    let target = "CREATE TABLE tab (a int PRIMARY KEY, b text, c int, d int, e int)";
    let case = case(&source(TAB), target, "INSERT INTO tab (a, b) SELECT a, b FROM tab;").await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    let counts = "SELECT count(*), count(c) FROM tab";
    is(target, counts, &["2|0"], "copied").await;
    case.at_source(
        "BEGIN; INSERT INTO tab SELECT i, md5(i::text) FROM generate_series(3, 500) AS i; ALTER TABLE tab ADD COLUMN c int;
         SAVEPOINT s1; INSERT INTO tab SELECT i, md5(i::text), -i FROM generate_series(501, 1000) AS i; ALTER TABLE tab ADD COLUMN d int;
         SAVEPOINT s2; INSERT INTO tab SELECT i, md5(i::text), -i, 2 * i FROM generate_series(1001, 1500) AS i; ALTER TABLE tab ADD COLUMN e int;
         SAVEPOINT s3; INSERT INTO tab SELECT i, md5(i::text), -i, 2 * i, -3 * i FROM generate_series(1501, 2000) AS i;
         ALTER TABLE tab DROP COLUMN c; ROLLBACK TO s1;
         INSERT INTO tab SELECT i, md5(i::text), i FROM generate_series(501, 1000) AS i; COMMIT",
    )
    .await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
    case.installation.write_mapping("INSERT INTO tab (a, b, c) SELECT a, b, c FROM tab;");
    let daemon = mended(&case).await;
    is(target, counts, &["1000|500"], "what was not rolled back").await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn materialized_views_of_the_source_are_nothing() {
    let case = case(
        TAB,
        "CREATE TABLE tab (a int PRIMARY KEY, b text)",
        "INSERT INTO tab SELECT a, b FROM tab;",
    )
    .await;
    let daemon = follow(&case).await;
    case.at_source(
        "CREATE MATERIALIZED VIEW seen AS SELECT * FROM tab; INSERT INTO tab VALUES (3, 'new')",
    )
    .await;
    case.at_source("CREATE UNIQUE INDEX ON seen (a); REFRESH MATERIALIZED VIEW CONCURRENTLY seen; UPDATE tab SET b = 'all'").await;
    case.settled().await;
    is(
        &case.databases.target,
        "SELECT a, b FROM tab ORDER BY a",
        &["1|all", "2|all", "3|all"],
        "rows beside a view",
    )
    .await;
    stop(daemon).await;
}

/// Messages that are not of this pipeline, some of transactions that were rolled back, and some that look alike.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_others_are_passed_over() {
    let case = case(
        TAB,
        "CREATE TABLE tab (a int PRIMARY KEY, b text)",
        "INSERT INTO tab SELECT a, b FROM tab;",
    )
    .await;
    let daemon = follow(&case).await;
    for (at, prefix) in
        ["pgoutput", "", "regraft", &case.name, &case.slot()].into_iter().enumerate()
    {
        let (one, two) = (10 * at + 10, 10 * at + 11);
        let message = |of_transaction: bool| {
            format!(
                "SELECT pg_logical_emit_message({of_transaction}, '{prefix}', 'watermark {one}')"
            )
        };
        let (with, beside) = (message(true), message(false));
        case.at_source(&format!(
            "{with}; {beside}; BEGIN; {beside}; INSERT INTO tab VALUES ({one}); {with}; INSERT INTO tab VALUES ({two}); COMMIT;
             BEGIN; {beside}; INSERT INTO tab VALUES (9); {with}; {beside}; ROLLBACK"
        ))
        .await;
    }
    case.at_source("SELECT pg_logical_emit_message(true, 'regraft', repeat('x', 1000000))").await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}
