//! Tables and columns that are others than those that were copied, though their names are the same.

use crate::looked_at;
use crate::support::{Case, Given, assert_says, ready, stop};
use regraft_tests::number;

const SOURCE: &str = "
    CREATE TYPE mood AS ENUM ('ok', 'bad');
    CREATE TABLE items (id bigint PRIMARY KEY, grade int, grade_new int, state mood, note text);
    INSERT INTO items SELECT i, i, -i, 'ok', 'n' FROM generate_series(1, 20) AS i;
    CREATE TABLE new_items (LIKE items INCLUDING ALL);
    INSERT INTO new_items SELECT i, 1000 + i, 0, 'bad', 'new' FROM generate_series(1, 15) AS i";
const TARGET: &str = "CREATE TABLE goods (id bigint PRIMARY KEY, grade int, state text)";
const MAPPING: &str = "INSERT INTO goods SELECT id, grade, state::text FROM items";

async fn case() -> Case {
    let case =
        Case::of(Given { source: SOURCE, target: TARGET, mapping: MAPPING, ..Given::default() })
            .await;
    case.catch_up().await;
    case
}

/// Named at the start and under a running daemon, with a way on that loses nothing.
async fn stale(alter: &str, parts: &[&str]) {
    let stopped = case().await;
    stopped.at_source(alter).await;
    for _ in 0..2 {
        let finished = stopped.run_once().await;
        assert_says(&finished, 3, "RG3018", parts);
        assert_says(&finished, 3, "RG3018", &["--recopy public.items", "source ("]);
    }
    copied_anew(&stopped).await;

    let running = case().await;
    let mut daemon = running.installation.run();
    ready(&mut daemon).await;
    running.at_source(alter).await;
    running.at_source("INSERT INTO items (id, grade, state) VALUES (100, 5, 'bad')").await;
    let error = running.held(&daemon, "RG3018").await;
    let what = error["what"].as_str().unwrap();
    assert!(parts.iter().all(|part| what.contains(part)), "{error:#}");
    stop(daemon).await;
    copied_anew(&running).await;
}

async fn copied_anew(case: &Case) {
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "items"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
    case.at_source("UPDATE items SET grade = grade + 1 WHERE id < 4").await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_took_the_name_of_another() {
    let alter =
        "ALTER TABLE items DROP COLUMN grade; ALTER TABLE items RENAME COLUMN grade_new TO grade";
    stale(alter, &["column grade of public.items", "another column"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_columns_that_exchanged_their_names() {
    let alter =
        "BEGIN; ALTER TABLE items RENAME grade TO x; ALTER TABLE items RENAME grade_new TO grade;
                 ALTER TABLE items RENAME x TO grade_new; COMMIT";
    stale(alter, &["column grade of public.items", "another column"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_was_dropped_and_added_again() {
    let alter =
        "ALTER TABLE items DROP COLUMN grade; ALTER TABLE items ADD COLUMN grade int DEFAULT 3";
    stale(alter, &["column grade of public.items", "another column"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_alter_table_rewrote() {
    let alter = "ALTER TABLE items ALTER COLUMN grade TYPE int USING grade * 100";
    stale(alter, &["column grade", "public.items", "rewritten"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_was_renamed() {
    let alter = "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'";
    stale(alter, &["column state of public.items", "label"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_took_the_name_of_another() {
    let alter =
        "BEGIN; ALTER TABLE items RENAME TO old; ALTER TABLE new_items RENAME TO items; COMMIT";
    stale_table(alter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_dropped_and_made_again() {
    let alter =
        "BEGIN; DROP TABLE items; CREATE TABLE items (LIKE new_items INCLUDING ALL); COMMIT";
    stale_table(alter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_took_the_name_of_another() {
    let alter = "BEGIN; CREATE SCHEMA other; CREATE TABLE other.items (LIKE items INCLUDING ALL);
                 ALTER SCHEMA public RENAME TO before; ALTER SCHEMA other RENAME TO public; COMMIT";
    stale_table(alter).await;
}

/// Another table has another identity: it is published with `--recopy`.
async fn stale_table(alter: &str) {
    let stopped = case().await;
    stopped.at_source(alter).await;
    let finished = stopped.run_once().await;
    assert_says(
        &finished,
        3,
        "RG3018",
        &["public.items", "another table", "--recopy public.items"],
    );
    copied_anew(&stopped).await;

    let running = case().await;
    let mut daemon = running.installation.run();
    ready(&mut daemon).await;
    running.at_source(alter).await;
    let error = running.held(&daemon, "RG3018").await;
    assert!(error["what"].as_str().unwrap().contains("another table"), "{error:#}");
    stop(daemon).await;
    copied_anew(&running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_matter_does_not_hold() {
    let case = case().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    for alter in [
        "ALTER TABLE items ADD COLUMN extra int DEFAULT 5",
        "ALTER TABLE items ALTER COLUMN grade SET STATISTICS 500",
        "VACUUM FULL items",
        "ALTER TABLE items DROP COLUMN note",
        "ALTER TYPE mood ADD VALUE 'worse'",
        "ALTER TABLE items ADD CHECK (grade < 100000)",
        "CREATE INDEX ON items (grade)",
        "CLUSTER items USING items_pkey",
        "ANALYZE items",
    ] {
        case.at_source(alter).await;
    }
    case.at_source(
        "UPDATE items SET grade = grade + 1; INSERT INTO items VALUES (50, 1, 2, 'worse')",
    )
    .await;
    case.settled().await;
    case.assert_equal().await;
    case.at_source("TRUNCATE items; INSERT INTO items VALUES (51, 1, 2, 'ok')").await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
    case.catch_up().await;
    let (status, log) = (case.regraft(&["status", "--json"]).await.json(), ());
    assert_eq!(status["last_error"], serde_json::Value::Null, "{status:#} {log:?}");
}

/// Two names that are exchanged in steps, each of which is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn two_columns_that_exchange_their_names_slowly() {
    let case = case().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("ALTER TABLE items RENAME grade TO x").await;
    looked_at(&case, "items").await;
    case.at_source("ALTER TABLE items RENAME grade_new TO grade").await;
    let error = case.held(&daemon, "RG3018").await;
    assert!(error["what"].as_str().unwrap().contains("another column"), "{error:#}");
    stop(daemon).await;
}

/// What rewrites a table without changing a value.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_the_rows_lacked_are_written_into_them() {
    let case = case().await;
    case.at_source("ALTER TABLE items ADD COLUMN extra int NOT NULL DEFAULT 5").await;
    case.at_target("ALTER TABLE goods ADD COLUMN extra int").await;
    case.installation
        .write_mapping("INSERT INTO goods SELECT id, grade, state::text, extra FROM items");
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "items"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.at_source("VACUUM FULL items").await;
    case.catch_up().await;
    case.at_source("UPDATE items SET extra = 6 WHERE id = 4").await;
    case.catch_up().await;
    let sql = "SELECT count(*) FROM goods WHERE extra = 5";
    assert_eq!(number(&case.databases.target, sql).await, 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_below_domains_and_arrays_that_was_renamed() {
    let given = Given {
        source: "CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE DOMAIN one AS mood; CREATE DOMAIN two AS one;
                 CREATE TABLE items (id bigint PRIMARY KEY, states two[]);
                 INSERT INTO items VALUES (1, ARRAY['ok']::two[])",
        target: "CREATE TABLE goods (id bigint PRIMARY KEY, states text)",
        mapping: "INSERT INTO goods SELECT id, states::text FROM items",
        ..Given::default()
    };
    let case = Case::of(given).await;
    case.catch_up().await;
    case.at_source("ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'").await;
    assert_says(&case.run_once().await, 3, "RG3018", &["column states of public.items", "label"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_took_the_name_of_another() {
    let case = case().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_target("BEGIN; ALTER TABLE goods RENAME TO old_goods; CREATE TABLE goods (LIKE old_goods INCLUDING ALL); COMMIT")
        .await;
    let error = case.held(&daemon, "RG3018").await;
    assert!(error["what"].as_str().unwrap().contains("target public.goods"), "{error:#}");
    stop(daemon).await;
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG3018", &["target public.goods", "--recopy public.items"]);
    copied_anew(&case).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_changes_under_a_running_daemon_holds_it() {
    let case = case().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source(
        "ALTER TABLE items ALTER grade SET NOT NULL; CREATE UNIQUE INDEX other_idx ON items (grade);
         ALTER TABLE items REPLICA IDENTITY USING INDEX other_idx;
         UPDATE items SET id = id + 1000 WHERE id = 3",
    )
    .await;
    let error = case.held(&daemon, "RG3001").await;
    assert!(
        error["what"].as_str().unwrap().contains("replica identity of public.items"),
        "{error:#}"
    );
    stop(daemon).await;
    // The identity of before, or the one of now: both are taken as they are.
    case.at_source("ALTER TABLE items REPLICA IDENTITY DEFAULT; DROP INDEX other_idx").await;
    copied_anew(&case).await;
}

/// The stream has rows from when the column was not there: they have no value for it.
#[tokio::test(flavor = "multi_thread")]
async fn rows_from_between_a_drop_and_an_add() {
    let alter = "ALTER TABLE items DROP COLUMN grade;
        INSERT INTO items (id, state) VALUES (101, 'bad'); UPDATE items SET state = 'bad' WHERE id = 2;
        DELETE FROM items WHERE id = 4; ALTER TABLE items ADD COLUMN grade int;
        INSERT INTO items (id, grade, state) VALUES (102, 7, 'ok'); UPDATE items SET grade = 8 WHERE id = 3";
    let stopped = case().await;
    stopped.at_source(alter).await;
    let finished = stopped.run_once().await;
    let parts = ["column grade of public.items", "another column", "--recopy public.items"];
    assert_says(&finished, 3, "RG3018", &parts);
    mended(&stopped, "--recopy").await;
    // Changes from before are let go of by a comparison, too.
    let compared = self::case().await;
    compared.at_source(alter).await;
    mended(&compared, "--resync").await;

    // The daemon comes to it much later.
    let running = case().await;
    running.at_target("ALTER TABLE goods ADD CONSTRAINT held CHECK (grade < 900)").await;
    let mut daemon = running.installation.run();
    ready(&mut daemon).await;
    running.at_source("INSERT INTO items (id, grade, state) VALUES (99, 999, 'ok')").await;
    running.held(&daemon, "RG4001").await;
    running.at_source(alter).await;
    let error = running.held(&daemon, "RG3018").await;
    let remedy = error["remedy"].as_str().unwrap();
    assert!(remedy.contains("--recopy public.items"), "{error:#}");
    stop(daemon).await;
    running.at_target("ALTER TABLE goods DROP CONSTRAINT held").await;
    mended(&running, "--recopy").await;
}

async fn mended(case: &Case, option: &str) {
    let mut daemon = case.installation.start(&["run", option, "public.items"]);
    ready(&mut daemon).await;
    let (source, target) = (&case.databases.source, &case.databases.target);
    regraft_testkit::wait_until("both sides to be equal", regraft_tests::DEADLINE, async || {
        let rows = "SELECT sum(hashtext(ROW(id, grade, state)::text))::text FROM";
        let of = async |client: &tokio_postgres::Client, table: &str| -> Option<String> {
            client.query_one(&format!("{rows} {table}"), &[]).await.unwrap().get(0)
        };
        let (wanted, found) = (of(source, "items").await, of(target, "goods").await);
        if wanted == found { Ok(()) } else { Err(daemon.log()) }
    })
    .await;
    stop(daemon).await;
    case.assert_equal().await;
    case.at_source("UPDATE items SET grade = grade + 1 WHERE id < 4").await;
    case.catch_up().await;
    case.assert_equal().await;
}

/// A column that is new in the mapping is newer than rows that are still in the stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_not_there_yet_is_not_called_dropped() {
    let case = case().await;
    case.at_source(
        "UPDATE items SET grade = 50 WHERE id = 5; ALTER TABLE items ADD COLUMN extra int DEFAULT 3;
         UPDATE items SET extra = 4 WHERE id = 6",
    )
    .await;
    case.at_target("ALTER TABLE goods ADD COLUMN extra int").await;
    let mapping = MAPPING.replace("state::text", "state::text, extra");
    case.installation.write_mapping(&mapping);
    let finished = case.regraft(&["run", "--until-caught-up", "--accept-mapping"]).await;
    let parts = ["\"extra\"", "public.items", "not there yet", "--recopy public.items"];
    assert_says(&finished, 4, "RG3008", &parts);
    assert!(!finished.stderr.contains("dropped"), "{}", finished.stderr);
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "public.items"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let (source, target) = (&case.databases.source, &case.databases.target);
    regraft_testkit::assert_equal_mapping(source, target, &mapping).await;
}
