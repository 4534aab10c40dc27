//! 003: constraints and triggers of the target. 006: tables that are altered. 031: some of the columns.

use regraft_tests::DEADLINE;

use crate::support::stop;
use crate::{case, follow, is};

#[tokio::test(flavor = "multi_thread")]
async fn constraints_of_the_target_do_not_hold_it_up_where_it_is_trusted() {
    let source = "CREATE TABLE fk (bid int PRIMARY KEY);
        CREATE TABLE fk_ref (id int PRIMARY KEY, junk text, bid int REFERENCES fk (bid))";
    let target = "CREATE TABLE fk (bid int PRIMARY KEY);
        CREATE TABLE fk_ref (id int PRIMARY KEY, bid int REFERENCES fk (bid), junk text)";
    let mapping = "INSERT INTO fk SELECT bid FROM fk; INSERT INTO fk_ref (id, junk, bid) SELECT id, junk, bid FROM fk_ref;";
    let case = case(source, target, mapping).await;
    let config = std::fs::read_to_string(case.installation.path("regraft.toml")).unwrap();
    let trusted = config.replace("[target]\n", "[target]\nforeign_keys = \"trusted\"\n");
    case.installation.write_config(&trusted);
    let mut daemon = follow(&case).await;
    let target = &case.databases.target;
    let references = "SELECT count(*), min(bid), max(bid) FROM fk_ref";
    case.at_source("INSERT INTO fk VALUES (1); INSERT INTO fk_ref (id, bid, junk) VALUES (1, 1, repeat(pi()::text, 20000))").await;
    case.settled().await;
    is(target, "SELECT count(*), min(bid), max(bid) FROM fk", &["1|1|1"], "the referenced row")
        .await;
    is(target, references, &["1|1|1"], "the row that refers to it").await;
    case.at_source("ALTER TABLE fk_ref DROP CONSTRAINT fk_ref_bid_fkey; INSERT INTO fk_ref (id, bid) VALUES (2, 2)").await;
    case.settled().await;
    is(target, references, &["2|1|2"], "a reference to nothing").await;
    case.at_target(
        "CREATE FUNCTION filter() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF TG_OP = 'INSERT' AND NEW.id < 10 THEN RETURN NEW; END IF; RETURN NULL; END $$;
         CREATE TRIGGER filter BEFORE INSERT OR UPDATE OF bid ON fk_ref FOR EACH ROW EXECUTE FUNCTION filter();
         ALTER TABLE fk_ref ENABLE REPLICA TRIGGER filter",
    )
    .await;
    case.at_source("INSERT INTO fk_ref (id, bid) VALUES (10, 10)").await;
    case.settled().await;
    is(target, references, &["2|1|2"], "a trigger leaves out a row").await;
    // The stream carries this change without the large value: the row has to be there, and to take it.
    case.at_source("UPDATE fk_ref SET bid = 2 WHERE bid = 1").await;
    let ended = daemon.wait(DEADLINE).await;
    assert_eq!(ended.code(), Some(4), "{}", daemon.log());
    assert!(daemon.log().contains("[RG4003]"), "{}", daemon.log());
    is(target, references, &["2|1|2"], "a trigger leaves out a change").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_comes_to_both_sides() {
    let table = "CREATE TABLE test1 (a int, b text)";
    let case = case(
        table,
        table,
        "-- regraft: append-only\nINSERT INTO test1 (a, b) SELECT a, b FROM test1;",
    )
    .await;
    let daemon = follow(&case).await;
    case.at_source("INSERT INTO test1 VALUES (1, 'one'), (2, 'two')").await;
    case.settled().await;
    is(&case.databases.target, "SELECT a, b FROM test1 ORDER BY a", &["1|one", "2|two"], "before")
        .await;
    let alter = "ALTER TABLE test1 ADD c int NOT NULL DEFAULT 0";
    case.at_target(alter).await;
    case.at_source(alter).await;
    case.at_source("INSERT INTO test1 (a, b, c) VALUES (3, 'three', 33)").await;
    case.settled().await;
    let rows = "SELECT a, b FROM test1 ORDER BY a";
    is(&case.databases.target, rows, &["1|one", "2|two", "3|three"], "after").await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn some_of_the_columns_are_followed() {
    let source = "CREATE TABLE tab1 (a int PRIMARY KEY, \"B\" int, c int); CREATE TABLE tab2 (a int PRIMARY KEY, b varchar, c int);
        CREATE TABLE tab3 (\"a'\" int PRIMARY KEY, \"B\" varchar, \"c'\" int);
        CREATE TYPE kind AS ENUM ('blue', 'red'); CREATE TABLE tab4 (a int PRIMARY KEY, b kind, c int, d text);
        CREATE TABLE part (a int PRIMARY KEY, b text, c timestamptz) PARTITION BY LIST (a);
        CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1, 2, 3, 4, 5, 6);
        CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (7, 8, 9, 10, 11, 12) PARTITION BY LIST (a);
        CREATE TABLE part_2_2 PARTITION OF part_2 FOR VALUES IN (7, 8, 9, 10);
        CREATE TABLE tab6 (a int PRIMARY KEY, b int, c int, d int); INSERT INTO tab6 VALUES (1, 22, 333, 4444);
        INSERT INTO tab1 VALUES (1, 2, 3), (4, 5, 6); INSERT INTO tab3 VALUES (1, 2, 3), (4, 5, 6);
        INSERT INTO tab4 VALUES (1, 'red', 3, 'oh my'), (2, 'blue', 4, 'hello'); INSERT INTO tab2 VALUES (1, 'abc', 3);
        INSERT INTO part VALUES (1, 'abc', '2021-07-04'), (2, 'bcd', '2021-07-03'), (7, 'abc', '2021-07-04'), (8, 'bcd', '2021-07-03')";
    let target = "CREATE TABLE tab1 (a int PRIMARY KEY, \"B\" int, c int); CREATE TABLE tab2 (a int PRIMARY KEY, b varchar);
        CREATE TABLE tab3 (\"a'\" int PRIMARY KEY, \"c'\" int);
        CREATE TYPE kind AS ENUM ('blue', 'red'); CREATE TABLE tab4 (a int PRIMARY KEY, b kind, d text);
        CREATE TABLE part (a int PRIMARY KEY, b text) PARTITION BY LIST (a);
        CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1, 2, 3, 4, 5, 6);
        CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (7, 8, 9, 10, 11, 12) PARTITION BY LIST (a);
        CREATE TABLE part_2_2 PARTITION OF part_2 FOR VALUES IN (7, 8, 9, 10);
        CREATE TABLE tab6 (a int PRIMARY KEY, b int, c int, d int)";
    let mapping = "INSERT INTO tab1 (a, \"B\") SELECT a, \"B\" FROM tab1; INSERT INTO tab3 SELECT \"a'\", \"c'\" FROM tab3;
        INSERT INTO tab4 SELECT a, b, d FROM tab4; INSERT INTO part SELECT a, b FROM part;
        INSERT INTO tab6 (a, b) SELECT a, b FROM tab6;";
    let case = case(source, target, mapping).await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    let (tab1, tab4) = ("SELECT * FROM tab1 ORDER BY a", "SELECT * FROM tab4 ORDER BY a");
    let (tab3, part) = ("SELECT * FROM tab3 ORDER BY \"a'\"", "SELECT * FROM part ORDER BY a");
    is(target, tab1, &["1|2|", "4|5|"], "tab1, copied").await;
    is(target, tab3, &["1|3", "4|6"], "tab3, copied").await;
    is(target, tab4, &["1|red|oh my", "2|blue|hello"], "tab4, copied").await;
    is(target, part, &["1|abc", "2|bcd", "7|abc", "8|bcd"], "part, copied").await;
    case.at_source(
        "INSERT INTO tab1 VALUES (2, 3, 4), (5, 6, 7); INSERT INTO tab3 VALUES (2, 3, 4), (5, 6, 7);
         INSERT INTO tab4 VALUES (3, 'red', 5, 'foo'), (4, 'blue', 6, 'bar');
         INSERT INTO part VALUES (3, 'xxx', '2022-02-01'), (4, 'yyy', '2022-03-02'), (9, 'zzz', '2022-04-03'), (10, 'qqq', '2022-05-04')",
    )
    .await;
    case.settled().await;
    is(target, tab1, &["1|2|", "2|3|", "4|5|", "5|6|"], "tab1, inserted").await;
    is(target, tab3, &["1|3", "2|4", "4|6", "5|7"], "tab3, inserted").await;
    is(target, tab4, &["1|red|oh my", "2|blue|hello", "3|red|foo", "4|blue|bar"], "tab4, inserted")
        .await;
    is(
        target,
        part,
        &["1|abc", "2|bcd", "3|xxx", "4|yyy", "7|abc", "8|bcd", "9|zzz", "10|qqq"],
        "part, inserted",
    )
    .await;
    case.at_source(
        "UPDATE tab1 SET \"B\" = 2 * \"B\" WHERE a = 1; UPDATE tab1 SET c = 2 * c WHERE a = 4;
         UPDATE tab3 SET \"B\" = \"B\" || ' updated' WHERE \"a'\" = 4; UPDATE tab3 SET \"c'\" = 2 * \"c'\" WHERE \"a'\" = 1;
         UPDATE tab4 SET b = 'blue', c = c * 2, d = d || ' updated' WHERE a = 1;
         UPDATE tab4 SET b = 'red', c = c * 2, d = d || ' updated' WHERE a = 2",
    )
    .await;
    case.settled().await;
    is(target, tab1, &["1|4|", "2|3|", "4|5|", "5|6|"], "tab1, updated").await;
    is(target, tab3, &["1|6", "2|4", "4|6", "5|7"], "tab3, updated").await;
    is(
        target,
        tab4,
        &["1|blue|oh my updated", "2|red|hello updated", "3|red|foo", "4|blue|bar"],
        "tab4, updated",
    )
    .await;
    case.at_source("INSERT INTO tab6 VALUES (2, 33, 444, 5555); UPDATE tab6 SET b = b * 2, c = c * 3, d = d * 4").await;
    case.settled().await;
    is(target, "SELECT * FROM tab6 ORDER BY a", &["1|44||", "2|66||"], "tab6").await;
    stop(daemon).await;

    // A table that comes later.
    case.installation.write_mapping(&format!("{mapping} INSERT INTO tab2 SELECT a, b FROM tab2;"));
    let daemon = follow(&case).await;
    case.at_source("INSERT INTO tab2 VALUES (2, 'def', 6)").await;
    case.settled().await;
    is(target, "SELECT * FROM tab2 ORDER BY a", &["1|abc", "2|def"], "tab2, copied and inserted")
        .await;
    case.at_source("UPDATE tab2 SET c = 5 WHERE a = 1; UPDATE tab2 SET b = 'xyz' WHERE a = 2")
        .await;
    case.settled().await;
    is(target, "SELECT * FROM tab2 ORDER BY a", &["1|abc", "2|xyz"], "tab2, updated").await;
    stop(daemon).await;
}
