//! A publication that did not hold all the time what the mapping needs has a gap, whatever it holds now.

use crate::support::{Case, Given, assert_says, ready, stop};

/// Alters the publication while no daemon runs, changes rows, and perhaps brings it back: refused until the
/// table is copied anew.
async fn a_gap(alter: &str, back: &str) {
    let case = Case::usual().await;
    case.catch_up().await;
    let slot = case.slot();
    case.at_source(&alter.replace('%', &slot)).await;
    case.at_source("UPDATE items SET amount = 100 WHERE id < 4; DELETE FROM items WHERE id = 9")
        .await;
    if !back.is_empty() {
        case.at_source(&back.replace('%', &slot)).await;
    }
    for _ in 0..2 {
        let finished = case.run_once().await;
        let code = if finished.stderr.contains("RG2017") { "RG2017" } else { "RG2010" };
        assert_says(&finished, 3, code, &[]);
        assert!(
            !back.is_empty()
                || finished.stderr.contains("items")
                || finished.stderr.contains(&slot)
        );
        assert!(back.is_empty() || code == "RG2017", "{}", finished.stderr);
    }
    if back.is_empty() {
        case.at_source(&format!(
            "DROP PUBLICATION IF EXISTS {slot}; CREATE PUBLICATION {slot} FOR TABLE items \
             WITH (publish_via_partition_root = true)"
        ))
        .await;
    }
    let finished = case.run_once().await;
    // What was written while there was no publication cannot be decoded.
    let made_anew = back.contains("CREATE") || back.is_empty();
    let table = if made_anew { "all" } else { "public.items" };
    assert_says(&finished, 3, "RG2017", &[&format!("--recopy {table}")]);
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", table]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
    case.at_source("UPDATE items SET amount = 7 WHERE id = 3").await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_taken_out_and_added_again_has_a_gap() {
    a_gap("ALTER PUBLICATION % DROP TABLE items", "ALTER PUBLICATION % ADD TABLE items").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_taken_out_has_a_gap() {
    let case = Case::usual().await;
    case.catch_up().await;
    case.at_source(&format!("ALTER PUBLICATION {} DROP TABLE items", case.slot())).await;
    case.at_source("UPDATE items SET amount = 100 WHERE id < 4; DELETE FROM items WHERE id = 9")
        .await;
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG2017", &["public.items", "--recopy public.items"]);
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "items"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_filter_is_a_gap_also_after_it_is_gone() {
    let back = "ALTER PUBLICATION % SET TABLE items";
    a_gap("ALTER PUBLICATION % SET TABLE items WHERE (id > 10)", back).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_list_is_a_gap() {
    a_gap("ALTER PUBLICATION % SET TABLE items (id, name)", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_that_were_left_out_are_a_gap_also_after_they_are_back() {
    let back = "ALTER PUBLICATION % SET (publish = 'insert, update, delete, truncate')";
    a_gap("ALTER PUBLICATION % SET (publish = 'insert')", back).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_for_all_tables_in_its_place_is_a_gap() {
    let made = "CREATE PUBLICATION % FOR ALL TABLES WITH (publish_via_partition_root = true)";
    a_gap("DROP PUBLICATION %", made).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_table_that_is_published_too_is_no_gap() {
    let case = Case::usual().await;
    case.catch_up().await;
    case.at_source("CREATE TABLE other (id int PRIMARY KEY)").await;
    case.at_source(&format!("ALTER PUBLICATION {} ADD TABLE other", case.slot())).await;
    case.at_source("UPDATE items SET amount = 100 WHERE id < 4;").await;
    case.at_source("VACUUM FULL items").await;
    case.catch_up().await;
    case.assert_equal().await;
}

/// The same under a running daemon, for a table that is mapped, and for one that is only joined.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_is_altered_under_a_running_daemon_holds_it() {
    let given = Given {
        source: "CREATE TABLE kinds (id int PRIMARY KEY, name text);
                 CREATE TABLE items (id bigint PRIMARY KEY, kind int, name text);
                 ALTER TABLE kinds REPLICA IDENTITY FULL;
                 INSERT INTO kinds VALUES (1, 'k');
                 INSERT INTO items SELECT i, 1, 'n' FROM generate_series(1, 9) AS i",
        target: "CREATE TABLE goods (id bigint PRIMARY KEY, name text, kind text)",
        mapping: "INSERT INTO goods SELECT i.id, i.name, k.name FROM items i JOIN kinds k ON k.id = i.kind",
        ..Given::default()
    };
    let case = Case::of(given).await;
    for table in ["items", "kinds"] {
        let mut daemon = case.installation.run();
        ready(&mut daemon).await;
        case.at_source(&format!("ALTER PUBLICATION {} DROP TABLE {table}", case.slot())).await;
        let error = case.held(&daemon, "RG2017").await;
        let what = error["what"].as_str().unwrap();
        assert!(what.contains(&format!("public.{table}")), "{error:#}");
        assert!(error["remedy"].as_str().unwrap().contains("--recopy public.items"), "{error:#}");
        case.at_source(&format!("UPDATE {table} SET name = name || '!'")).await;
        stop(daemon).await;
        case.at_source(&format!("ALTER PUBLICATION {} ADD TABLE {table}", case.slot())).await;
        let finished = case.run_once().await;
        assert_says(&finished, 3, "RG2017", &[&format!("public.{table}"), "--recopy public.items"]);
        let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "items"]).await;
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        case.assert_equal().await;
    }
}
