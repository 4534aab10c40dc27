//! 032: rows without a key are found by an index of the target where it has one, and rightly where it has none.

use crate::support::{Case, stop};
use crate::{case, follow, is};

/// A table whose rows are counted, with an index of the target's own.
async fn counted(columns: &str, names: &str, rows: &str, index: &str) -> Case {
    let source = format!("CREATE TABLE t ({columns}); ALTER TABLE t REPLICA IDENTITY FULL; {rows}");
    let target = format!("CREATE TABLE t ({columns}); {index}");
    case(&source, &target, &format!("-- regraft: counted\nINSERT INTO t SELECT {names} FROM t;"))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_by_an_index_of_any_kind() {
    let ways = [
        ("i % 10", "CREATE INDEX ON t (x, y)", "of several columns"),
        ("i", "CREATE INDEX ON t USING hash (x)", "a hash index"),
    ];
    for (x, index, what) in ways {
        let rows =
            format!("INSERT INTO t SELECT {x}, (i % 10)::text FROM generate_series(0, 10) AS i");
        let case = counted("x int, y text", "x, y", &rows, index).await;
        let daemon = follow(&case).await;
        case.at_source(
            "DELETE FROM t WHERE x IN (5, 6); UPDATE t SET x = 100, y = '200' WHERE x IN (1, 2)",
        )
        .await;
        case.settled().await;
        let target = &case.databases.target;
        let updated = "SELECT count(*) FROM t WHERE x = 100 AND y = '200'";
        is(target, updated, &["2"], &format!("{what}: updates")).await;
        let deleted = "SELECT count(*) FROM t WHERE x IN (5, 6)";
        is(target, deleted, &["0"], &format!("{what}: deletes")).await;
        case.assert_equal().await;
        stop(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_in_partitions() {
    let tables = "CREATE TABLE users (user_id bigint, value_1 int, value_2 int) PARTITION BY RANGE (value_1);
        CREATE TABLE users_0 PARTITION OF users FOR VALUES FROM (0) TO (10);
        CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (10) TO (20);";
    let source = format!(
        "{tables} ALTER TABLE users REPLICA IDENTITY FULL; ALTER TABLE users_0 REPLICA IDENTITY FULL;
         ALTER TABLE users_1 REPLICA IDENTITY FULL;
         INSERT INTO users SELECT i % 100, i % 20, i FROM generate_series(0, 100) AS i"
    );
    let target = format!("{tables} CREATE INDEX ON users (user_id, value_1)");
    let mapping =
        "-- regraft: counted\nINSERT INTO users SELECT user_id, value_1, value_2 FROM users;";
    let case = case(&source, &target, mapping).await;
    let daemon = follow(&case).await;
    case.at_source("UPDATE users SET value_1 = 0 WHERE user_id = 4").await;
    case.at_source("DELETE FROM users WHERE user_id = 1 AND value_1 = 1").await;
    case.at_source("DELETE FROM users WHERE user_id = 12 AND value_1 = 12").await;
    case.settled().await;
    let target = &case.databases.target;
    let sum = "SELECT sum(user_id + value_1 + value_2) FROM users";
    is(target, sum, &["10907"], "values after rows moved between partitions, and went").await;
    let rows = "SELECT count(DISTINCT (user_id, value_1, value_2)) FROM users";
    is(target, rows, &["99"], "rows after that").await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_that_do_not_fit_do_not_mislead() {
    let people = |last: i32| {
        format!(
            "INSERT INTO t SELECT 'first ' || i, 'last ' || i FROM generate_series(0, {last}) AS i"
        )
    };
    let columns = "firstname text, lastname text";
    let unfit = "CREATE INDEX ON t ((firstname || ' ' || lastname));
        CREATE INDEX ON t (firstname) WHERE firstname = 'first 1'";
    let case = counted(columns, "firstname, lastname", &people(200), unfit).await;
    let daemon = follow(&case).await;
    case.at_source(
        "UPDATE t SET firstname = 'no-name' WHERE firstname = 'first 1';
         UPDATE t SET firstname = 'no-name' WHERE firstname = 'first 2' AND lastname = 'last 2';
         DELETE FROM t WHERE firstname = 'first 3'; DELETE FROM t WHERE firstname = 'first 4' AND lastname = 'last 4'",
    )
    .await;
    case.settled().await;
    let count = "SELECT count(*) FROM t";
    is(&case.databases.target, count, &["199"], "an expression alone, and a part of the rows")
        .await;
    case.assert_equal().await;
    stop(daemon).await;

    let mixed =
        "CREATE INDEX people_names ON t (firstname, lastname, (firstname || ' ' || lastname))";
    let case = counted(columns, "firstname, lastname", &people(20), mixed).await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    case.at_source("UPDATE t SET firstname = 'no-name' WHERE firstname = 'first 1'").await;
    case.settled().await;
    case.at_source("DELETE FROM t WHERE firstname = 'no-name'").await;
    case.settled().await;
    is(target, count, &["20"], "columns and an expression").await;
    let unnamed = "SELECT count(*) FROM t WHERE firstname = 'no-name'";
    is(target, unnamed, &["0"], "a row that was updated and deleted").await;
    case.at_target("DROP INDEX people_names").await;
    case.at_source("DELETE FROM t WHERE lastname = 'last 18'").await;
    case.settled().await;
    let dropped = "SELECT count(*) FROM t WHERE lastname = 'last 18'";
    is(target, dropped, &["0"], "the index is dropped under the daemon").await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_the_targets_own_is_in_the_index() {
    let source = "CREATE TABLE t (x int); ALTER TABLE t REPLICA IDENTITY FULL";
    let target = "CREATE TABLE t (x int, y int); CREATE INDEX ON t (x, y)";
    let mapping = "-- regraft: counted\nINSERT INTO t (x) SELECT x FROM t;";
    let case = case(source, target, mapping).await;
    let daemon = follow(&case).await;
    case.at_source("INSERT INTO t VALUES (1), (2), (3)").await;
    case.settled().await;
    case.at_source("UPDATE t SET x = x + 1 WHERE x = 1").await;
    case.settled().await;
    let target = &case.databases.target;
    is(target, "SELECT sum(x) FROM t WHERE y IS NULL", &["7"], "values beside NULL").await;
    is(target, "SELECT count(*) FROM t WHERE y IS NULL", &["3"], "rows beside NULL").await;
    stop(daemon).await;
}

/// The target has rows of its own that are like those of the source but for one column.
#[tokio::test(flavor = "multi_thread")]
async fn one_row_is_updated_where_the_target_has_more() {
    let rows = "INSERT INTO t SELECT i, i FROM generate_series(0, 21) AS i";
    let case = counted("x int, y int", "x, y", rows, "CREATE UNIQUE INDEX ON t (x, y)").await;
    let daemon = follow(&case).await;
    case.at_target("INSERT INTO t SELECT i + 100, i FROM generate_series(0, 21) AS i").await;
    case.at_source("UPDATE t SET x = 2000 WHERE y = 15").await;
    case.settled().await;
    let target = &case.databases.target;
    is(target, "SELECT count(*) FROM t WHERE x = 2000", &["1"], "one row").await;
    let left = "SELECT x FROM t WHERE y = 15 ORDER BY 1";
    assert_eq!(
        crate::rows(target, left).await,
        ["115", "2000"],
        "the row of the target's own stays"
    );
    stop(daemon).await;
}
