//! What drifts is held, and the rest goes on; somebody says how it goes on, and nothing is lost.

use std::time::Duration;

use regraft_testkit::{Daemon, assert_equal_mapping, wait_until};
use regraft_tests::{DEADLINE, number};
use serde_json::Value;

use crate::support::{Case, Given, assert_says, ready, stop, until_true};

pub(crate) const SOURCE: &str = "
    CREATE TABLE items (id bigint PRIMARY KEY, grade int, grade_new int);
    INSERT INTO items SELECT i, i, -i FROM generate_series(1, 20) AS i;
    CREATE TABLE notes (id bigint PRIMARY KEY, body text);
    INSERT INTO notes SELECT i, 'b' || i FROM generate_series(1, 20) AS i;
    CREATE TABLE kinds (id bigint PRIMARY KEY, label text);
    INSERT INTO kinds SELECT i, 'k' || i FROM generate_series(1, 5) AS i";
pub(crate) const TARGET: &str = "
    CREATE TABLE goods (id bigint PRIMARY KEY, grade int);
    CREATE TABLE remarks (id bigint PRIMARY KEY, body text);
    CREATE TABLE sorts (id bigint PRIMARY KEY, label text)";
pub(crate) const MAPPING: &str = "INSERT INTO goods SELECT id, grade FROM items;
INSERT INTO remarks SELECT id, body FROM notes;
INSERT INTO sorts SELECT id, label FROM kinds;
";
/// Another column takes the name.
const EXCHANGED: &str =
    "ALTER TABLE items DROP COLUMN grade; ALTER TABLE items RENAME COLUMN grade_new TO grade";

pub(crate) async fn running(extra: &str) -> (Case, Daemon) {
    let given =
        Given { source: SOURCE, target: TARGET, mapping: MAPPING, extra, ..Given::default() };
    let case = Case::of(given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    (case, daemon)
}

/// Waits until so many tables are held, as the daemon and the ledger tell, and gives what the ledger tells.
pub(crate) async fn held(case: &Case, daemon: &Daemon, count: usize) -> Vec<Value> {
    let count_of = |status: &Value| status["held"].as_array().map_or(0, Vec::len);
    wait_until("tables to be held", DEADLINE, async || {
        let (_, body) = daemon.http("/api/v1/status").await?;
        let shown: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let status = case.regraft(&["status", "--json"]).await.json();
        if count_of(&shown) == count
            && count_of(&status) == count
            && status["healthy"] == (count == 0)
        {
            return Ok(status["held"].as_array().unwrap().clone());
        }
        Err(format!("{body} {status:#}"))
    })
    .await
}

/// The other tables follow.
pub(crate) async fn others_go_on(case: &Case) {
    case.at_source(
        "UPDATE notes SET body = body || '+'; INSERT INTO notes SELECT max(id) + 1 FROM notes",
    )
    .await;
    let wanted =
        number(&case.databases.source, "SELECT sum(length(body))::bigint FROM notes").await;
    let sql = format!("SELECT sum(length(body)) = {wanted} FROM remarks");
    until_true(&case.databases.target, "the others to go on", &sql).await;
}

pub(crate) async fn accept(case: &Case, more: &[&str]) {
    let finished = case.regraft(&[&["resume", "--accept"], more].concat()).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
}

/// It goes on, in the same process, and everything is as the mapping says.
pub(crate) async fn goes_on(case: &Case, daemon: &mut Daemon, mapping: &str) {
    held(case, daemon, 0).await;
    ready(daemon).await;
    equal(case, mapping).await;
    case.at_source(
        "UPDATE kinds SET label = label || '!'; INSERT INTO items (id, grade) SELECT max(id) + 1, 9 FROM items",
    )
    .await;
    equal(case, mapping).await;
}

/// Waits until the targets are equal to their SELECTs, mended rows included.
pub(crate) async fn equal(case: &Case, mapping: &str) {
    case.settled().await;
    let open = "SELECT count(*) = 0 FROM regraft.verifications WHERE finished_at IS NULL";
    until_true(&case.databases.target, "stale rows to be mended", open).await;
    case.settled().await;
    assert_equal_mapping(&case.databases.source, &case.databases.target, mapping).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_table_is_held_and_the_others_go_on() {
    let (case, mut daemon) = running("").await;
    case.at_source(EXCHANGED).await;
    case.at_source("UPDATE items SET grade = 77 WHERE id = 3; DELETE FROM items WHERE id = 4")
        .await;
    let shown = held(&case, &daemon, 1).await;
    assert_eq!(shown[0]["table"], "public.items");
    assert_eq!(shown[0]["code"], "RG3018");
    assert!(
        shown[0]["what"].as_str().unwrap().contains("column grade of public.items"),
        "{shown:?}"
    );
    assert!(shown[0]["remedy"].as_str().unwrap().contains("regraft resume --accept public.items"));
    assert!(shown[0]["position"].as_str().unwrap().contains('/'), "{shown:?}");
    others_go_on(&case).await;
    let (status, body) = daemon.http("/readyz").await.unwrap();
    assert!(status == 503 && body.contains("public.items is held"), "{status} {body}");
    let (_, metrics) = daemon.http("/metrics").await.unwrap();
    assert!(metrics.contains("regraft_held_tables 1"), "{metrics}");

    let said = case.regraft(&["resume"]).await;
    assert_eq!(said.code(), 1, "{}", said.stdout);
    assert!(said.stdout.contains("public.items is held at"), "{}", said.stdout);
    let said = case.regraft(&["resume", "--accept", "--as-is"]).await;
    assert_says(&said, 2, "RG1004", &["went on without public.items"]);
    let said = case.regraft(&["resume", "--accept", "nothing"]).await;
    assert_says(&said, 2, "RG1004", &["nothing", "public.kinds"]);
    // A run that ends by itself would end without the table.
    let finished = case.another(|_| {}).command(&["run", "--until-caught-up"], DEADLINE).await;
    assert_says(&finished, 3, "RG3018", &["public.items", "--recopy"]);

    accept(&case, &["items"]).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    let said = case.regraft(&["resume"]).await;
    assert!(said.code() == 0 && said.stdout.contains("nothing is held"), "{}", said.stdout);
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_gone_waits_for_another_mapping() {
    let (case, mut daemon) = running("").await;
    case.at_source("UPDATE items SET grade = 50 WHERE id = 5").await;
    case.at_source("ALTER TABLE items DROP COLUMN grade").await;
    case.at_source("UPDATE items SET grade_new = 60 WHERE id = 6").await;
    let shown = held(&case, &daemon, 1).await;
    assert_eq!(shown[0]["code"], "RG3008", "{shown:?}");
    others_go_on(&case).await;
    // What came before is in the target.
    assert_eq!(
        number(&case.databases.target, "SELECT grade::bigint FROM goods WHERE id = 5").await,
        50
    );
    // The mapping does not fit: nothing is gained by accepting it, and nothing lost.
    accept(&case, &[]).await;
    let asked = "SELECT resume IS NULL FROM regraft.pipelines";
    until_true(&case.databases.target, "the daemon to try", asked).await;
    others_go_on(&case).await;
    // It is held by a daemon that starts, too.
    daemon.kill9();
    let mut daemon = case.installation.run();
    let shown = held(&case, &daemon, 1).await;
    assert!(shown[0]["what"].as_str().unwrap().contains("grade"), "{shown:?}");
    others_go_on(&case).await;
    case.at_source("DELETE FROM items WHERE id = 7").await;
    let mapping = MAPPING.replace("SELECT id, grade FROM", "SELECT id, grade_new FROM");
    case.installation.write_mapping(&mapping);
    // A changed text is not accepted by itself.
    daemon.kill9();
    daemon = case.installation.run();
    held(&case, &daemon, 1).await;
    others_go_on(&case).await;
    accept(&case, &["--copy"]).await;
    held(&case, &daemon, 0).await;
    ready(&mut daemon).await;
    case.at_source("UPDATE items SET grade_new = 61 WHERE id = 6").await;
    equal(&case, &mapping).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_and_comes_back() {
    let (case, mut daemon) = running("").await;
    case.at_source("DROP TABLE items").await;
    held(&case, &daemon, 1).await;
    others_go_on(&case).await;
    case.at_source(
        "CREATE TABLE items (id bigint PRIMARY KEY, grade int);
         INSERT INTO items SELECT i, 2 * i FROM generate_series(10, 40) AS i",
    )
    .await;
    accept(&case, &[]).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_foreign_keys_connect_are_held_together() {
    let (case, daemon) = running("").await;
    case.at_target("ALTER TABLE goods ADD FOREIGN KEY (id) REFERENCES sorts NOT VALID").await;
    case.at_source(EXCHANGED).await;
    let shown = held(&case, &daemon, 2).await;
    let what = |at: usize| shown[at]["what"].as_str().unwrap();
    assert_eq!(
        (&shown[0]["table"], &shown[1]["table"]),
        (&"public.items".into(), &"public.kinds".into())
    );
    assert!(what(1).starts_with("it is held with public.items, as foreign keys"), "{shown:?}");
    others_go_on(&case).await;
    case.at_source("UPDATE kinds SET label = 'later'").await;
    case.at_target("ALTER TABLE goods DROP CONSTRAINT goods_id_fkey").await;
    accept(&case, &["all"]).await;
    held(&case, &daemon, 0).await;
    equal(&case, MAPPING).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drifted_while_no_daemon_ran_is_held_at_the_start() {
    let (case, daemon) = running("").await;
    stop(daemon).await;
    case.at_source(EXCHANGED).await;
    case.at_source("UPDATE items SET grade = 5 WHERE id = 5").await;
    assert_says(&case.run_once().await, 3, "RG3018", &["public.items", "--recopy public.items"]);
    let mut daemon = case.installation.run();
    held(&case, &daemon, 1).await;
    others_go_on(&case).await;
    // Said to a daemon that does not run.
    daemon.kill9();
    accept(&case, &[]).await;
    daemon = case.installation.run();
    goes_on(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_chooses_what_is_gone_on_with() {
    let (case, mut daemon) = running("[drift]\ncolumns = \"go_on\"\ntables = \"go_on\"\n").await;
    case.at_source(EXCHANGED).await;
    case.at_source("UPDATE items SET grade = 78 WHERE id = 3").await;
    let told = "SELECT count(*) > 0 FROM regraft.events WHERE kind = 'held' OR kind = 'resync'";
    until_true(&case.databases.target, "the drift to be seen", told).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    case.at_source(
        "BEGIN; DROP TABLE kinds; CREATE TABLE kinds (id bigint PRIMARY KEY, label text);
         INSERT INTO kinds VALUES (3, 'new'), (6, 'six'); COMMIT",
    )
    .await;
    let mended = "SELECT string_agg(id || label, ' ' ORDER BY id) = '3new 6six' FROM sorts";
    until_true(&case.databases.target, "the new table to be taken", mended).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_chooses_to_hold_everything() {
    let (case, mut daemon) = running("[drift]\nheld = \"all\"\n").await;
    case.at_source(EXCHANGED).await;
    case.at_source("UPDATE notes SET body = 'waits'").await;
    let error = case.held(&daemon, "RG3018").await;
    assert!(error["what"].as_str().unwrap().contains("public.items"), "{error}");
    held_whole(&case).await;
    accept(&case, &["items"]).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    // The rows fit as they are.
    case.at_source(
        "BEGIN; CREATE TABLE other (LIKE kinds INCLUDING ALL); INSERT INTO other TABLE kinds;
                    ALTER TABLE kinds RENAME TO before; ALTER TABLE other RENAME TO kinds; COMMIT",
    )
    .await;
    case.at_source("UPDATE notes SET body = 'waits again'").await;
    case.held(&daemon, "RG3018").await;
    held_whole(&case).await;
    accept(&case, &["--as-is"]).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_means_something_else_concerns_every_row() {
    let source = format!(
        "{SOURCE}; CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1'"
    );
    let mapping = MAPPING.replace("SELECT id, grade", "SELECT id, twice(grade)");
    let given = Given { source: &source, target: TARGET, mapping: &mapping, ..Given::default() };
    let case = Case::of(given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 20 * $1'")
        .await;
    let error = case.held(&daemon, "RG3018").await;
    assert!(error["what"].as_str().unwrap().contains("twice"), "{error}");
    accept(&case, &[]).await;
    goes_on(&case, &mut daemon, &mapping).await;
    stop(daemon).await;
}

/// Nothing is applied while everything is held.
async fn held_whole(case: &Case) {
    let waiting = "SELECT count(*) FROM remarks WHERE body LIKE 'waits%'";
    let before = number(&case.databases.target, waiting).await;
    case.at_source("UPDATE notes SET body = body || '.' WHERE id = 1").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(number(&case.databases.target, waiting).await, before);
    assert!(
        case.regraft(&["status", "--json"]).await.json()["held"].as_array().unwrap().is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_held_where_the_operator_says_so() {
    let source = format!(
        "{SOURCE}; CREATE TABLE logs (id bigint PRIMARY KEY, body text) PARTITION BY RANGE (id);
         CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (1) TO (100);
         INSERT INTO logs SELECT i, 'l' FROM generate_series(1, 9) AS i;
         CREATE TABLE logs_2 (LIKE logs INCLUDING ALL); INSERT INTO logs_2 VALUES (150, 'attached')"
    );
    let target = format!("{TARGET}; CREATE TABLE lines (id bigint PRIMARY KEY, body text)");
    let mapping = format!("{MAPPING}INSERT INTO lines SELECT id, body FROM logs;\n");
    let extra = "[drift]\npartitions = \"hold\"\n";
    let given =
        Given { source: &source, target: &target, mapping: &mapping, extra, ..Given::default() };
    let case = Case::of(given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("ALTER TABLE logs ATTACH PARTITION logs_2 FOR VALUES FROM (100) TO (200)").await;
    let shown = held(&case, &daemon, 1).await;
    assert!(shown[0]["what"].as_str().unwrap().contains("logs_2 was attached"), "{shown:?}");
    others_go_on(&case).await;
    accept(&case, &["logs"]).await;
    goes_on(&case, &mut daemon, &mapping).await;
    stop(daemon).await;
}

/// Whenever the daemon is killed, before, within and after the plan is made again: nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn kills_around_a_resumption_lose_nothing() {
    let (case, mut daemon) = running("").await;
    for round in 0..6_i64 {
        case.at_source("ALTER TABLE items ADD COLUMN other int; UPDATE items SET other = -grade;
                        ALTER TABLE items DROP COLUMN grade; ALTER TABLE items RENAME COLUMN other TO grade")
            .await;
        case.at_source(&format!("DELETE FROM items WHERE id = {}", 10 + round)).await;
        held(&case, &daemon, 1).await;
        let insert = format!("INSERT INTO items (id, grade) VALUES ({}, {round})", 500 + round);
        case.at_source(&insert).await;
        accept(&case, &[]).await;
        // Any moment will do; the plan takes some tenths of a second.
        tokio::time::sleep(Duration::from_millis(u64::try_from(round * 137 % 700).unwrap())).await;
        daemon.kill9();
        case.at_source("UPDATE items SET grade = grade + 1 WHERE id < 4").await;
        daemon = case.installation.run();
        held(&case, &daemon, 0).await;
        ready(&mut daemon).await;
        equal(&case, MAPPING).await;
    }
    stop(daemon).await;
}
