//! 026, 029 and 035: rows that the target has already, or does not take. 030: rows that others wrote there.

use crate::support::{Case, stop};
use crate::{case, fails_again, failures, follow, is};

const BOUNDS: &str = "SELECT count(*), min(a), max(a) FROM ";

/// Why the pipeline is held, as the ledger has it.
async fn held_by(case: &Case, daemon: &regraft_testkit::Daemon, constraint: &str, what: &str) {
    let error = case.held(daemon, "RG4004").await;
    assert!(error["what"].as_str().unwrap().contains(constraint), "{error:#}");
    let held = format!(
        "SELECT phase, last_error ->> 'code' FROM regraft.pipelines WHERE name = '{}'",
        case.name
    );
    is(&case.databases.target, &held, &["held|RG4004"], what).await;
}

/// A log whose rows the target keeps apart by a key.
async fn log(table: &str) -> Case {
    let source = format!("CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1)");
    let target =
        format!("CREATE TABLE {table} (a int PRIMARY KEY); INSERT INTO {table} VALUES (1)");
    let mapping = format!("-- regraft: append-only\nINSERT INTO {table} SELECT a FROM {table};");
    let case = case(&source, &target, &mapping).await;
    // Rows that others wrote are not mixed with those of a log.
    let refused = case.run_once().await;
    assert_eq!(refused.code(), 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("[RG3013]"), "{}", refused.stderr);
    case.at_target(&format!("TRUNCATE {table}")).await;
    case
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_counted_for_each_pipeline() {
    let (one, two) = (log("test_tab1").await, log("test_tab2").await);
    let daemons = [follow(&one).await, follow(&two).await];
    let [first, second] = &daemons;
    let (target1, target2) = (&one.databases.target, &two.databases.target);
    let errors = |case: &Case| {
        format!(
            "SELECT count(*) > 0 FROM regraft.events WHERE pipeline = '{}' AND kind = 'error'",
            case.name
        )
    };
    is(target1, &errors(&one), &["f"], "no error at first").await;
    is(target1, "SELECT a FROM test_tab1", &["1"], "copied").await;
    one.at_source("INSERT INTO test_tab1 VALUES (1)").await;
    one.held(first, "RG4001").await;
    is(target1, &errors(&one), &["t"], "errors are noted").await;
    assert!(failures(first, "RG4001").await.unwrap() > 0, "and counted");
    is(target2, "SELECT a FROM test_tab2", &["1"], "another pipeline copies").await;
    assert_eq!(failures(second, "RG4001").await, Ok(0), "of one pipeline");
    two.at_source("INSERT INTO test_tab2 VALUES (1)").await;
    two.held(second, "RG4001").await;
    is(target2, &errors(&two), &["t"], "errors of the other pipeline").await;
    assert!(failures(second, "RG4001").await.unwrap() > 0, "of the other one, too");
    for (case, table) in [(&one, "test_tab1"), (&two, "test_tab2")] {
        case.at_target(&format!("TRUNCATE {table}")).await;
        case.settled().await;
        let rows = format!("{BOUNDS}{table}");
        assert_eq!(crate::rows(&case.databases.target, &rows).await, ["1|1|1"], "it goes on");
    }
    for daemon in daemons {
        stop(daemon).await;
    }
    assert_eq!(one.regraft(&["teardown", "--apply"]).await.code(), 0);
    let kept = format!("SELECT count(*) FROM regraft.pipelines WHERE name = '{}'", one.name);
    is(target1, &kept, &["0"], "nothing is kept of a pipeline that is gone").await;
}

/// No transaction is skipped: where the target does not take a row, it waits until it does.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_does_not_take_is_waited_for_and_not_skipped() {
    let case = log("tbl").await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    is(target, "SELECT count(*) FROM tbl", &["1"], "copied once nothing is in the way").await;
    let prepare = format!("PREPARE TRANSACTION '{}'", case.name);
    let commit = format!("COMMIT PREPARED '{}'", case.name);
    let one = ["INSERT INTO tbl VALUES (1)"];
    let prepared = ["BEGIN", one[0], prepare.as_str(), commit.as_str()];
    let large = ["INSERT INTO tbl SELECT generate_series(1, 10000)"];
    for (transaction, mend, next, wanted) in [
        (&one[..], "DELETE FROM tbl WHERE a = 1", 2, "2|1|2"),
        (&prepared, "DELETE FROM tbl WHERE a = 1", 3, "3|1|3"),
        (&large, "TRUNCATE tbl", 10_001, "10001|1|10001"),
    ] {
        // One by one: such statements cannot be among several.
        for statement in transaction {
            case.at_source(statement).await;
        }
        case.held(&daemon, "RG4001").await;
        case.at_source(&format!("INSERT INTO tbl VALUES ({next})")).await;
        fails_again(&daemon, "RG4001").await;
        let later = format!("SELECT count(*) FROM tbl WHERE a = {next}");
        assert_eq!(crate::rows(target, &later).await, ["0"], "nothing overtakes it");
        case.at_target(mend).await;
        case.settled().await;
        let rows = crate::rows(target, &format!("{BOUNDS}tbl")).await;
        assert_eq!(rows, [wanted], "all of it comes: {transaction:?}");
    }
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_constraints_are_in_the_way_of_a_row() {
    let source = "CREATE TABLE conf_tab (a int PRIMARY KEY, b int UNIQUE, c int UNIQUE);
        CREATE TABLE conf_tab_2 (a int PRIMARY KEY, b int UNIQUE, c int UNIQUE);
        CREATE TABLE tab (a int PRIMARY KEY, b int)";
    let target = "CREATE TABLE conf_tab (a int PRIMARY KEY, b int UNIQUE, c int UNIQUE);
        CREATE TABLE conf_tab_2 (a int PRIMARY KEY, b int, c int, UNIQUE (a, b)) PARTITION BY RANGE (a);
        CREATE TABLE conf_tab_2_p1 PARTITION OF conf_tab_2 FOR VALUES FROM (MINVALUE) TO (100);
        CREATE TABLE tab (a int PRIMARY KEY, b int)";
    let mapping = "INSERT INTO conf_tab SELECT a, b, c FROM conf_tab; INSERT INTO conf_tab_2 SELECT a, b, c FROM conf_tab_2;
        INSERT INTO tab SELECT a, b FROM tab;";
    let case = case(source, target, mapping).await;
    let daemon = follow(&case).await;
    case.at_source("INSERT INTO conf_tab VALUES (1, 1, 1)").await;
    case.settled().await;
    case.at_target("INSERT INTO conf_tab VALUES (2, 2, 2), (3, 3, 3), (4, 4, 4)").await;
    case.at_source("INSERT INTO conf_tab VALUES (2, 3, 4)").await;
    held_by(&case, &daemon, "unique values of conf_tab_", "an insertion").await;
    case.at_target("TRUNCATE conf_tab").await;
    case.settled().await;
    let target = &case.databases.target;
    let rows = "SELECT * FROM conf_tab ORDER BY a";
    assert_eq!(crate::rows(target, rows).await, ["2|3|4"], "it goes on");

    case.at_source("INSERT INTO conf_tab VALUES (5, 5, 5)").await;
    case.settled().await;
    case.at_target("INSERT INTO conf_tab VALUES (6, 6, 6), (7, 7, 7), (8, 8, 8)").await;
    case.at_source("UPDATE conf_tab SET a = 6, b = 7, c = 8 WHERE a = 5").await;
    held_by(&case, &daemon, "unique values of conf_tab_", "an update").await;
    case.at_target("TRUNCATE conf_tab").await;
    case.settled().await;
    assert_eq!(crate::rows(target, rows).await, ["6|7|8"], "it goes on");

    // The very row is no conflict: it is the one of this key.
    case.at_target("INSERT INTO conf_tab_2 VALUES (55, 2, 3)").await;
    case.at_source("INSERT INTO conf_tab_2 VALUES (55, 2, 3)").await;
    case.settled().await;
    let rows = crate::rows(target, "SELECT * FROM conf_tab_2").await;
    assert_eq!(rows, ["55|2|3"], "a row that is there already");
    case.at_source("INSERT INTO tab VALUES (1, 1), (2, 2)").await;
    case.settled().await;
    is(target, "SELECT * FROM tab ORDER BY a", &["1|1", "2|2"], "another table").await;
    stop(daemon).await;
}

/// What another wrote under a key of the source is overwritten, and goes, with the row of that key.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_others_are_those_of_their_key() {
    let table = "CREATE TABLE tab (a int PRIMARY KEY)";
    let case = case(table, table, "INSERT INTO tab SELECT a FROM tab;").await;
    let daemon = follow(&case).await;
    let (target, rows) = (&case.databases.target, "SELECT * FROM tab ORDER BY 1");
    case.at_source("INSERT INTO tab VALUES (32)").await;
    case.settled().await;
    is(target, rows, &["32"], "a row of the source").await;
    case.at_target("DELETE FROM tab; INSERT INTO tab VALUES (32)").await;
    case.at_source("UPDATE tab SET a = 33 WHERE a = 32").await;
    case.settled().await;
    is(target, rows, &["33"], "an update of a row that another wrote").await;
    case.at_target("DELETE FROM tab; INSERT INTO tab VALUES (33)").await;
    case.at_source("DELETE FROM tab WHERE a = 33").await;
    case.settled().await;
    is(target, rows, &[], "a deletion of a row that another wrote").await;
    stop(daemon).await;
}
