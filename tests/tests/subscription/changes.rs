//! 001: changes of tables of many kinds. 004: copies, and tables that come later.

use regraft_tests::number;

use crate::support::stop;
use crate::{case, follow, is};

const COUNTED: &str = "SELECT count(*), min(a), max(a) FROM ";

async fn bounds(client: &tokio_postgres::Client, table: &str, wanted: &str, what: &str) {
    is(client, &format!("{COUNTED}{table}"), &[wanted], what).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_tables_with_and_without_keys() {
    let source = "
        CREATE TABLE notrep AS SELECT generate_series(1, 10) AS a;
        CREATE TABLE ins AS SELECT generate_series(1, 1002) AS a;
        CREATE TABLE whole AS SELECT generate_series(1, 10) AS a; ALTER TABLE whole REPLICA IDENTITY FULL;
        CREATE TABLE whole2 (x text); ALTER TABLE whole2 REPLICA IDENTITY FULL;
        INSERT INTO whole2 VALUES ('a'), ('b'), ('b');
        CREATE TABLE rep (a int PRIMARY KEY);
        CREATE TABLE mixed (a int PRIMARY KEY, b text, c numeric); INSERT INTO mixed VALUES (1, 'foo', 1.1);
        CREATE TABLE include (a int, b text, CONSTRAINT covering PRIMARY KEY (a) INCLUDE (b));
        CREATE TABLE whole_pk (a int PRIMARY KEY, b text); ALTER TABLE whole_pk REPLICA IDENTITY FULL;
        CREATE TABLE nothing (a int); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
        CREATE TABLE unidentified (c1 int); CREATE INDEX ON unidentified (c1)";
    let target = "
        CREATE TABLE notrep (a int); CREATE TABLE ins (a int); CREATE TABLE whole (a int); CREATE TABLE whole2 (x text);
        CREATE TABLE rep (a int PRIMARY KEY); CREATE TABLE whole_pk (a int PRIMARY KEY, b text);
        CREATE TABLE mixed (d text DEFAULT 'local', c numeric, b text, a int PRIMARY KEY);
        CREATE TABLE include (a int, b text, CONSTRAINT covering PRIMARY KEY (a) INCLUDE (b));
        CREATE TABLE nothing (a int); CREATE TABLE unidentified (c1 int); CREATE INDEX ON unidentified (c1)";
    let mapping = "
        -- regraft: append-only
        INSERT INTO ins SELECT a FROM ins;
        -- regraft: counted
        INSERT INTO whole SELECT a FROM whole;
        -- regraft: counted
        INSERT INTO whole2 SELECT x FROM whole2;
        INSERT INTO rep SELECT a FROM rep;
        INSERT INTO mixed (a, b, c) SELECT a, b, c FROM mixed;
        INSERT INTO include SELECT a, b FROM include;
        INSERT INTO whole_pk SELECT a, b FROM whole_pk;
        -- regraft: append-only
        INSERT INTO nothing SELECT a FROM nothing;
        -- regraft: append-only
        INSERT INTO unidentified SELECT c1 FROM unidentified;";
    let case = case(source, target, mapping).await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    is(target, "SELECT count(*) FROM notrep", &["0"], "what is not mapped stays empty").await;
    is(target, "SELECT count(*) FROM ins", &["1002"], "what was there is copied").await;

    case.at_source(
        "INSERT INTO ins SELECT generate_series(1, 50); DELETE FROM ins WHERE a > 20; UPDATE ins SET a = -a;
         INSERT INTO rep SELECT generate_series(1, 50); DELETE FROM rep WHERE a > 20; UPDATE rep SET a = -a;
         INSERT INTO mixed VALUES (2, 'bar', 2.2); INSERT INTO whole_pk VALUES (1, 'foo'), (2, 'baz');
         INSERT INTO nothing SELECT generate_series(1, 20);
         INSERT INTO include SELECT generate_series(1, 50); DELETE FROM include WHERE a > 20; UPDATE include SET a = -a;
         INSERT INTO unidentified VALUES (1)",
    )
    .await;
    case.settled().await;
    bounds(target, "ins", "1052|1|1002", "new rows alone").await;
    bounds(target, "rep", "20|-20|-1", "changes by the primary key").await;
    let mixed = "SELECT * FROM mixed ORDER BY a";
    is(target, mixed, &["local|1.1|foo|1", "local|2.2|bar|2"], "another order of columns").await;
    is(target, "SELECT count(*) FROM nothing", &["20"], "REPLICA IDENTITY NOTHING").await;
    bounds(target, "include", "20|-20|-1", "a key that includes further columns").await;
    is(target, "SELECT c1 FROM unidentified", &["1"], "no replica identity").await;

    case.at_source("INSERT INTO whole SELECT generate_series(1, 10)").await;
    case.at_source(
        "UPDATE whole SET a = a * a; UPDATE whole2 SET x = 'bb' WHERE x = 'b';
         UPDATE mixed SET b = 'baz' WHERE a = 1; UPDATE whole_pk SET b = 'bar' WHERE a = 1",
    )
    .await;
    case.settled().await;
    bounds(target, "whole", "20|1|100", "equal rows under REPLICA IDENTITY FULL").await;
    is(target, "SELECT x FROM whole2 ORDER BY 1", &["a", "bb", "bb"], "texts under FULL").await;
    is(target, mixed, &["local|1.1|baz|1", "local|2.2|bar|2"], "values of the target's own stay")
        .await;
    is(target, "SELECT * FROM whole_pk ORDER BY a", &["1|bar", "2|baz"], "FULL with a primary key")
        .await;

    let lengths = "SELECT a, length(b), c, d FROM mixed ORDER BY a";
    case.at_source("UPDATE mixed SET b = repeat('xyzzy', 100000) WHERE a = 2").await;
    case.settled().await;
    is(target, lengths, &["1|3|1.1|local", "2|500000|2.2|local"], "a large value comes").await;
    case.at_source("UPDATE mixed SET c = 3.3 WHERE a = 2").await;
    case.settled().await;
    is(
        target,
        lengths,
        &["1|3|1.1|local", "2|500000|3.3|local"],
        "a large value that is not sent stays",
    )
    .await;
    case.at_source("UPDATE mixed SET b = 'bar', c = 2.2 WHERE a = 2").await;
    case.at_target("ALTER TABLE mixed DROP COLUMN d").await;
    case.at_source("UPDATE mixed SET c = 22.22 WHERE a = 2").await;
    case.settled().await;
    is(target, mixed, &["1.1|baz|1", "22.22|bar|2"], "a column of the target's own is dropped")
        .await;
    is(target, "SELECT count(*) FROM notrep", &["0"], "what is not mapped is empty still").await;

    stop(daemon).await;
    assert_eq!(case.regraft(&["teardown", "--apply"]).await.code(), 0);
    is(target, "SELECT count(*) FROM regraft.pipelines", &["0"], "nothing is left at the target")
        .await;
    is(
        &case.databases.source,
        "SELECT count(*) FROM pg_publication",
        &["0"],
        "no publication is left",
    )
    .await;
    let slots =
        format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'", case.slot());
    is(&case.databases.source, &slots, &["0"], "no slot is left").await;
    is(target, "SELECT count(*) FROM regraft.tables", &["0"], "no state of tables is left").await;
}

/// A column that the mapping reads is dropped: what came before is applied, and then a person is asked.
#[tokio::test(flavor = "multi_thread")]
async fn changes_before_a_column_is_dropped_are_applied() {
    let source = "CREATE TABLE mixed (a int PRIMARY KEY, b text, c numeric); INSERT INTO mixed VALUES (1, 'foo', 1.1), (2, 'x', 2)";
    let target = "CREATE TABLE mixed (a int PRIMARY KEY, b text, c numeric)";
    let case = case(source, target, "INSERT INTO mixed (a, c) SELECT a, c FROM mixed; ").await;
    let daemon = follow(&case).await;
    case.at_source(
        "UPDATE mixed SET b = 'bar', c = 2.2 WHERE a = 2; ALTER TABLE mixed DROP COLUMN b;
         UPDATE mixed SET c = 11.11 WHERE a = 1",
    )
    .await;
    case.settled().await;
    let rows = "SELECT a, c FROM mixed ORDER BY a";
    is(
        &case.databases.target,
        rows,
        &["1|11.11", "2|2.2"],
        "a column that is not mapped is dropped",
    )
    .await;
    stop(daemon).await;
}

/// Several publications: here a table of new rows, and one of all changes.
#[tokio::test(flavor = "multi_thread")]
async fn two_publications_of_one_pipeline() {
    let tables = "CREATE TABLE temp1 (a int); CREATE TABLE temp2 (a int PRIMARY KEY)";
    let mapping = "-- regraft: append-only\nINSERT INTO temp1 SELECT a FROM temp1; INSERT INTO temp2 SELECT a FROM temp2;";
    let case = case(tables, tables, mapping).await;
    let daemon = follow(&case).await;
    is(&case.databases.target, "SELECT count(*) FROM temp1", &["0"], "no row at first").await;
    case.at_source("INSERT INTO temp1 VALUES (1)").await;
    case.settled().await;
    is(
        &case.databases.target,
        "SELECT count(*) FROM temp1",
        &["1"],
        "a row of the second publication",
    )
    .await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_copied_again_and_later() {
    let source =
        "CREATE TABLE rep (a int PRIMARY KEY); INSERT INTO rep SELECT generate_series(1, 10)";
    let rep = "INSERT INTO rep SELECT a FROM rep;";
    let case = case(source, "CREATE TABLE rep (a int PRIMARY KEY)", rep).await;
    let (at_source, target) = (&case.databases.source, &case.databases.target);
    case.catch_up().await;
    is(target, "SELECT count(*) FROM rep", &["10"], "rows are copied").await;
    // Made again, over rows that are there.
    assert_eq!(case.regraft(&["teardown", "--apply"]).await.code(), 0);
    case.at_source("INSERT INTO rep SELECT generate_series(11, 20)").await;
    let refused = case.run_once().await;
    assert_eq!(refused.code(), 4, "{}", refused.stderr);
    case.at_target("DELETE FROM rep").await;
    case.catch_up().await;
    is(target, "SELECT count(*) FROM rep", &["20"], "rows are copied again").await;
    assert_eq!(case.regraft(&["teardown", "--apply"]).await.code(), 0);
    is(target, "SELECT count(*) FROM regraft.pipelines", &["0"], "the pipeline is gone").await;
    case.at_target("DELETE FROM rep").await;
    case.catch_up().await;
    is(target, "SELECT count(*) FROM rep", &["20"], "and once more").await;

    let daemon = follow(&case).await;
    case.at_target("CREATE TABLE rep_next (a int)").await;
    case.at_source(
        "CREATE TABLE rep_next AS SELECT generate_series(1, 10) AS a; ALTER TABLE rep_next REPLICA IDENTITY FULL",
    )
    .await;
    case.settled().await;
    is(target, "SELECT count(*) FROM rep_next", &["0"], "a table that is not mapped").await;
    stop(daemon).await;
    case.installation.write_mapping(&format!(
        "{rep}\n-- regraft: counted\nINSERT INTO rep_next SELECT a FROM rep_next;"
    ));
    let daemon = follow(&case).await;
    is(target, "SELECT count(*) FROM rep_next", &["10"], "a table that is mapped later is copied")
        .await;
    case.at_source("INSERT INTO rep_next SELECT generate_series(1, 10)").await;
    case.settled().await;
    is(target, "SELECT count(*) FROM rep_next", &["20"], "and followed").await;
    stop(daemon).await;

    // While it is stuck, everything can be removed.
    assert_eq!(case.regraft(&["teardown", "--apply"]).await.code(), 0);
    case.at_target("TRUNCATE rep, rep_next; ALTER TABLE rep ADD CHECK (a < 5)").await;
    let daemon = case.installation.run();
    case.held(&daemon, "RG4001").await;
    stop(daemon).await;
    assert_eq!(case.regraft(&["teardown", "--apply"]).await.code(), 0);
    let slots =
        format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'", case.slot());
    is(at_source, &slots, &["0"], "no slot is left of a pipeline that was held").await;
    assert_eq!(number(target, "SELECT count(*) FROM regraft.pipelines").await, 0);
}
