//! What cannot be followed without a key is told before anything is made, with what can.

use crate::assert_same;
use crate::support::{Case, Given};

async fn refused(source: &str, mapping: &str, status: i32, code: &str, parts: &[&str]) {
    let target = "CREATE TABLE t (id int, v text); CREATE TABLE r (id int, v text)";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    case.refused(status, code, "mapping.sql:", parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_how_a_table_without_a_key_can_be_followed() {
    let plain = "INSERT INTO t SELECT id, v FROM s;";
    let parts =
        ["public.s has no primary key", "-- regraft: append-only", "-- regraft: counted", "FULL"];
    refused("CREATE TABLE s (id int, v text)", plain, 3, "RG3001", &parts).await;
    let full = "CREATE TABLE s (id int, v text); ALTER TABLE s REPLICA IDENTITY FULL";
    refused(full, plain, 3, "RG3001", &parts).await;
    let nothing =
        "CREATE TABLE s (id int PRIMARY KEY, v text); ALTER TABLE s REPLICA IDENTITY NOTHING";
    refused(nothing, plain, 3, "RG3001", &["append-only"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_comment_claims_has_to_be_so() {
    let table = "CREATE TABLE s (id int, v text)";
    let counted = "-- regraft: counted\nINSERT INTO t SELECT id, v FROM s;";
    refused(
        table,
        counted,
        3,
        "RG3001",
        &["whole old rows", "REPLICA IDENTITY FULL", "append-only"],
    )
    .await;
    let twice = "-- regraft: append-only\nINSERT INTO t SELECT id, v FROM s;
        -- regraft: counted\nINSERT INTO r SELECT id, v FROM s;";
    let full = "CREATE TABLE s (id int, v text); ALTER TABLE s REPLICA IDENTITY FULL";
    refused(full, twice, 2, "RG1003", &["in one way", "same comment"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_may_have_a_key_that_is_not_used() {
    for (word, changes) in [("counted", "UPDATE s SET v = 'b' WHERE id = 1"), ("append-only", "")] {
        let source =
            "CREATE TABLE s (id int PRIMARY KEY, v text); ALTER TABLE s REPLICA IDENTITY FULL;
            INSERT INTO s VALUES (1, 'a'), (2, 'a')";
        let mapping = format!("-- regraft: {word}\nINSERT INTO t SELECT v FROM s;");
        let target = "CREATE TABLE t (v text)";
        let case = Case::of(Given { source, target, mapping: &mapping, ..Given::default() }).await;
        let finished = case.regraft(&["check"]).await;
        assert_eq!(finished.code(), 0, "{}", finished.stdout);
        assert!(finished.stdout.contains("has a key (id)"), "{}", finished.stdout);
        case.catch_up().await;
        case.at_source(&format!("INSERT INTO s VALUES (3, 'a'), (4, NULL); {changes}")).await;
        case.catch_up().await;
        let same = [("SELECT v FROM s", "SELECT v FROM t")];
        assert_same(&case.databases.source, &case.databases.target, &same).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_source_can_evaluate_needs_a_key() {
    let table = "CREATE TABLE s (id int, v text); CREATE FUNCTION own(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1'";
    for select in [
        "SELECT id, own(v) FROM s",
        "SELECT id, (SELECT max(v) FROM s) FROM s",
        "SELECT a.id, b.v FROM s AS a JOIN s AS b ON a.id = b.id",
        "SELECT id, max(v) FROM s GROUP BY id",
    ] {
        let mapping = format!("-- regraft: append-only\nINSERT INTO t {select};");
        let target = "CREATE TABLE t (id int, v text)";
        let case =
            Case::of(Given { source: table, target, mapping: &mapping, ..Given::default() }).await;
        let finding = case.only_finding().await;
        assert!(
            finding["remedy"].as_str().unwrap().contains("without a key"),
            "{select}: {finding:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key_are_not_mixed_with_others() {
    let source = "CREATE TABLE s (id int, v text)";
    let target = "CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'theirs')";
    let mapping = "-- regraft: append-only\nINSERT INTO t SELECT id, v FROM s;";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    for arguments in
        [&["run", "--until-caught-up"][..], &["run", "--until-caught-up", "--accept-mapping"]]
    {
        let finished = case.regraft(arguments).await;
        assert_eq!(finished.code(), 4, "{}", finished.stderr);
        assert!(finished.stderr.contains("[RG3013]"), "{}", finished.stderr);
    }
}
