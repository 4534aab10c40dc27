//! A publication that did not hold all the time what the mapping needs has a gap, whatever it holds now.

use regraft_testkit::{connect, wait_until};
use regraft_tests::DEADLINE;

use crate::support::{Case, Given, assert_says, ready, stop};

fn two() -> Given<'static> {
    Given {
        source: "CREATE TABLE u (id int PRIMARY KEY, a text); CREATE TABLE w (id int PRIMARY KEY, a text);
                 INSERT INTO u SELECT i, 'u' FROM generate_series(1, 30) AS i;
                 INSERT INTO w SELECT i, 'w' FROM generate_series(1, 30) AS i",
        target: "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE TABLE tw (id int PRIMARY KEY, a text)",
        mapping: "INSERT INTO t SELECT id, a FROM u;\nINSERT INTO tw SELECT id, a FROM w;\n",
        ..Given::default()
    }
}

/// Changes of every kind, of rows with low and with high keys, and of both tables, arrive.
async fn all_arrives(case: &Case) {
    for table in ["u", "w"] {
        case.at_source(&format!(
            "INSERT INTO {table} VALUES (100, 'new'); UPDATE {table} SET a = a || '!' WHERE id IN (3, 20);
             DELETE FROM {table} WHERE id IN (4, 21)"
        ))
        .await;
    }
    case.settled().await;
    case.assert_equal().await;
}

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
    let case = Case::of(crate::joined("")).await;
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

/// What is published in part is published whole again by whatever brings the rows in line.
#[tokio::test(flavor = "multi_thread")]
async fn operations_that_are_left_out_come_back_also_where_a_table_is_missing() {
    let case = Case::of(two()).await;
    case.catch_up().await;
    let slot = case.slot();
    for more in [format!("ALTER PUBLICATION {slot} DROP TABLE u"), String::new()] {
        case.at_source(&format!("ALTER PUBLICATION {slot} SET (publish = 'insert'); {more}")).await;
        case.at_source("UPDATE u SET a = 'x' WHERE id = 7; DELETE FROM w WHERE id = 7").await;
        assert_says(&case.run_once().await, 3, "RG2017", &[]);
        let mut daemon = case.installation.start(&["run", "--resync", "all"]);
        ready(&mut daemon).await;
        all_arrives(&case).await;
        stop(daemon).await;
        case.at_source(
            "INSERT INTO w VALUES (7, 'w'), (4, 'w'), (21, 'w'); DELETE FROM w WHERE id = 100",
        )
        .await;
        case.at_source("INSERT INTO u VALUES (4, 'w'), (21, 'w'); DELETE FROM u WHERE id = 100")
            .await;
        case.catch_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_filter_is_taken_off_when_what_it_left_out_is_brought_in_line() {
    let case = Case::of(two()).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let slot = case.slot();
    case.at_source(&format!("ALTER PUBLICATION {slot} SET TABLE w WHERE (id > 10)")).await;
    case.at_source("UPDATE w SET a = 'x' WHERE id = 2").await;
    case.held(&daemon, "RG2017").await;
    let resumed = case.regraft(&["resume", "--accept"]).await;
    assert_eq!(resumed.code(), 0, "{}", resumed.stderr);
    ready(&mut daemon).await;
    all_arrives(&case).await;
    stop(daemon).await;
}

/// A lock keeps the table from being taken out, so that nothing but new rows is carried.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_silenced_for_the_application_is_carried_again() {
    let case = Case::of(two()).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let locker = connect(&case.databases.source_url).await.unwrap();
    let lock = "LOCK TABLE u IN SHARE UPDATE EXCLUSIVE MODE";
    locker
        .batch_execute(&format!(
            "BEGIN; {lock}; ALTER TABLE u REPLICA IDENTITY NOTHING; COMMIT; BEGIN; {lock}"
        ))
        .await
        .unwrap();
    wait_until("the application to be free", DEADLINE, async || {
        let sql = "UPDATE u SET a = 'y' WHERE id = 3";
        case.databases.source.batch_execute(sql).await.map_err(|error| error.to_string())
    })
    .await;
    let error = case.held(&daemon, "RG2016").await;
    assert!(error["what"].as_str().unwrap().contains("new rows only"), "{error:#}");
    assert!(error["remedy"].as_str().unwrap().contains("--resync all"), "{error:#}");
    locker.batch_execute("COMMIT").await.unwrap();
    stop(daemon).await;
    case.at_source("ALTER TABLE u REPLICA IDENTITY DEFAULT; DELETE FROM w WHERE id = 5").await;
    let mut daemon = case.installation.start(&["run", "--resync", "all"]);
    ready(&mut daemon).await;
    all_arrives(&case).await;
    stop(daemon).await;
}

/// Another pipeline of the same name takes neither the publication nor the slot.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_of_the_same_name_into_another_target_is_refused() {
    let case = Case::of(two()).await;
    let other = Case::of(two()).await;
    let second = case.another(|setup| {
        setup.target_url = crate::support::with_user(&other.databases.target_url, "postgres");
        setup.mapping = "INSERT INTO tw SELECT id, a FROM w;\n".to_owned();
    });
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let refused = async || {
        let finished = second.command(&["run", "--until-caught-up"], DEADLINE).await;
        assert_says(&finished, 3, "RG2010", &["made for another one", &case.name, "teardown"]);
        let checked = second.command(&["check"], DEADLINE).await;
        assert_eq!(checked.code(), 1, "{}", checked.stderr);
        assert!(checked.stdout.contains("made for another one"), "{}", checked.stdout);
    };
    refused().await;
    all_arrives(&case).await;
    assert!(daemon.ended().is_none());
    stop(daemon).await;
    refused().await;
    case.at_source("UPDATE u SET a = 'later' WHERE id = 9").await;
    case.catch_up().await;
    case.assert_equal().await;
}
