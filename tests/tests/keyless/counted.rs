//! Rows that come and go, and are told by nothing but their values.

use regraft_tests::number;

use crate::log::verified;
use crate::support::{Case, Given, ready, stop};
use crate::{assert_same, harmful};

const SOURCE: &str = "
    CREATE TABLE tags (item int, tag text, note json, big text, amount numeric, box box, mark char(4));
    ALTER TABLE tags REPLICA IDENTITY FULL;
    ALTER TABLE tags ALTER big SET STORAGE EXTERNAL;
    INSERT INTO tags SELECT n % 10, nullif('t' || n % 3, 't0'), json_build_object('n', n % 2),
        CASE WHEN n % 50 = 0 THEN repeat('x', 9000) || n % 100 END, n % 4 * 1.10, box(point(0, 0), point(1, n % 2)), 'm'
        FROM generate_series(1, 300) AS n";
const TARGET: &str = "CREATE TABLE new_tags (item bigint, tag varchar(20), note json, big text,
    amount numeric(8, 1), box box, mark char(6))";
const MAPPING: &str = "-- regraft: counted
INSERT INTO new_tags SELECT item, tag, note, big, amount, box, mark FROM tags;
";
const SAME: &[(&str, &str)] = &[(
    "SELECT item, tag, note, big, amount::numeric(8, 1), box, mark::char(6) FROM tags",
    "TABLE new_tags",
)];

async fn changes(case: &Case) {
    let (source, target) = (&case.databases.source, &case.databases.target);
    for sql in [
        // One of several equal ones, some, all; NULLs; and what no equality operator knows.
        "DELETE FROM tags WHERE ctid IN (SELECT ctid FROM tags WHERE item = 1 LIMIT 1)",
        "DELETE FROM tags WHERE ctid IN (SELECT ctid FROM tags WHERE tag IS NULL LIMIT 30)",
        "DELETE FROM tags WHERE item = 2",
        "UPDATE tags SET tag = 'new' WHERE ctid IN (SELECT ctid FROM tags WHERE item = 3 LIMIT 5)",
        "UPDATE tags SET tag = NULL WHERE item = 3",
        // What stands out of line is not in the new image.
        "UPDATE tags SET item = item + 100 WHERE big IS NOT NULL",
        "UPDATE tags SET amount = amount WHERE item = 4",
        "UPDATE tags SET amount = 3.30, note = '{\"n\":  1}' WHERE item = 4",
        "INSERT INTO tags TABLE tags",
        "BEGIN; INSERT INTO tags SELECT 7, 'brief' FROM generate_series(1, 20); DELETE FROM tags WHERE tag = 'brief';
         INSERT INTO tags SELECT 8, 'stays' FROM generate_series(1, 3);
         DELETE FROM tags WHERE ctid = (SELECT min(ctid) FROM tags WHERE tag = 'stays'); COMMIT",
        "BEGIN; DELETE FROM tags WHERE item = 5; INSERT INTO tags SELECT 5, 'back' FROM generate_series(1, 4); COMMIT",
        "BEGIN; INSERT INTO tags VALUES (9, 'gone'); TRUNCATE tags;
         INSERT INTO tags SELECT 1, 'after' FROM generate_series(1, 3); COMMIT; DELETE FROM tags WHERE ctid = '(0,1)'",
    ] {
        case.at_source(sql).await;
        case.settled().await;
        assert_same(source, target, SAME).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_of_equal_rows_go_as_went_at_the_source() {
    let case =
        Case::of(Given { source: SOURCE, target: TARGET, mapping: MAPPING, ..Given::default() })
            .await;
    case.catch_up().await;
    assert_same(&case.databases.source, &case.databases.target, SAME).await;
    let outcome = verified(&case, "new_tags").await;
    assert_eq!((&outcome["rows"], &outcome["missing"]), (&300.into(), &0.into()), "{outcome:#}");
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    assert_eq!(harmful(&case.databases.source, "tags").await, 1, "the identity is FULL");
    changes(&case).await;
    stop(daemon).await;
}

/// With an index, by which rows are looked for; with partitions, in which places are not unique; and in segments.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_by_index_and_in_partitions() {
    let partitioned = TARGET.to_owned()
        + " PARTITION BY HASH (item);
           CREATE TABLE a PARTITION OF new_tags FOR VALUES WITH (MODULUS 2, REMAINDER 0);
           CREATE TABLE b PARTITION OF new_tags FOR VALUES WITH (MODULUS 2, REMAINDER 1)";
    for target in [format!("{TARGET}; CREATE INDEX ON new_tags (tag, item)"), partitioned] {
        let mapping = format!("{MAPPING}INSERT INTO others SELECT id FROM others;");
        let source = format!("{SOURCE}; CREATE TABLE others (id int PRIMARY KEY)");
        let target = format!("{target}; CREATE TABLE others (id int PRIMARY KEY)");
        let extra = "[limits]\nbatch_rows = 10\n";
        let case = Case::of(Given {
            source: &source,
            target: &target,
            mapping: &mapping,
            extra,
            ..Given::default()
        })
        .await;
        case.catch_up().await;
        let mut daemon = case.installation.run();
        ready(&mut daemon).await;
        changes(&case).await;
        stop(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_else_took_away_is_told() {
    let case =
        Case::of(Given { source: SOURCE, target: TARGET, mapping: MAPPING, ..Given::default() })
            .await;
    case.catch_up().await;
    case.at_target("DELETE FROM new_tags WHERE ctid = '(0,1)'").await;
    let outcome = verified(&case, "new_tags").await;
    assert_eq!((&outcome["rows"], &outcome["missing"]), (&299.into(), &1.into()), "{outcome:#}");
    case.at_source("DELETE FROM tags").await;
    let finished = case.run_once().await;
    assert_eq!(finished.code(), 4, "{}", finished.stderr);
    assert!(
        finished.stderr.contains("[RG4003]") && finished.stderr.contains("--recopy"),
        "{}",
        finished.stderr
    );
    assert_eq!(number(&case.databases.target, "SELECT count(*) FROM new_tags").await, 299);
    let finished = case.regraft(&["run", "--recopy", "tags", "--until-caught-up"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_same(&case.databases.source, &case.databases.target, SAME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_without_a_key_is_taken_apart() {
    let source = "CREATE TABLE docs (d jsonb); ALTER TABLE docs REPLICA IDENTITY FULL;
        INSERT INTO docs SELECT '{\"a\": 1, \"b\": 2}' FROM generate_series(1, 3); INSERT INTO docs VALUES (NULL), ('{}')";
    let target = "CREATE TABLE entries (k text, v text)";
    let mapping = "-- regraft: counted
        INSERT INTO entries SELECT e.key, e.value FROM docs, LATERAL jsonb_each_text(d) AS e WHERE e.value <> '2'";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    case.catch_up().await;
    case.at_source(
        "UPDATE docs SET d = d || '{\"c\": 3}' WHERE ctid = '(0,2)'; DELETE FROM docs WHERE d = '{}';
         DELETE FROM docs WHERE ctid = '(0,1)'; INSERT INTO docs VALUES ('{\"c\": 3}')",
    )
    .await;
    case.catch_up().await;
    let select =
        "SELECT e.key, e.value FROM docs, LATERAL jsonb_each_text(d) AS e WHERE e.value <> '2'";
    assert_same(&case.databases.source, &case.databases.target, &[(select, "TABLE entries")]).await;
}
