//! Which statements are held, and which come back by what was said.

use regraft_tests::number;

use super::held::{
    EXCHANGED, MAPPING, SOURCE, TARGET, accept, equal, goes_on, held, others_go_on, running,
};
use crate::support::{Case, Given, ready, stop, until_true};

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_table_that_fit_say_nothing_of_another() {
    let (case, mut daemon) = running("[drift]\nheld = \"all\"\n").await;
    daemon.kill9();
    case.at_source(EXCHANGED).await;
    case.at_source(
        "BEGIN; CREATE TABLE other (LIKE kinds INCLUDING ALL); INSERT INTO other TABLE kinds;
         ALTER TABLE kinds RENAME TO before; ALTER TABLE other RENAME TO kinds; COMMIT",
    )
    .await;
    accept(&case, &["--as-is", "kinds"]).await;
    let finished = case.another(|setup| setup.extra = "[drift]\nheld = \"all\"\n".into());
    let finished = finished.command(&["run"], regraft_tests::DEADLINE).await;
    assert_eq!(finished.code(), 3, "{}", finished.stderr);
    assert!(finished.stderr.contains("column grade of public.items"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("public.kinds is another table"), "{}", finished.stderr);
    accept(&case, &["--as-is", "kinds"]).await;
    let told = case.regraft(&["resume", "--accept", "items"]).await;
    assert_eq!(told.code(), 2, "{}", told.stderr);
    let both = ["run", "--resync", "items", "--resync", "kinds"];
    let mut daemon = case.installation.start(&both);
    goes_on(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

/// The rows of the table that was renamed stay what they were until somebody says how it goes on, and then
/// those that are gone go, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_renamed_and_the_mapping_with_it() {
    for option in [&[][..], &["--copy"]] {
        let (case, mut daemon) = running("").await;
        case.at_source("ALTER TABLE items RENAME TO things").await;
        held(&case, &daemon, 1).await;
        case.at_source("DELETE FROM things WHERE id < 10; INSERT INTO things VALUES (77, 7)").await;
        let mapping = MAPPING.replace("FROM items", "FROM things");
        case.installation.write_mapping(&mapping);
        daemon.kill9();
        daemon = case.installation.run();
        held(&case, &daemon, 1).await;
        others_go_on(&case).await;
        let before = "SELECT count(*) FROM goods";
        assert_eq!(number(&case.databases.target, before).await, 20, "nothing was accepted");
        accept(&case, option).await;
        held(&case, &daemon, 0).await;
        ready(&mut daemon).await;
        equal(&case, &mapping).await;
        case.at_source("UPDATE things SET grade = 1").await;
        equal(&case, &mapping).await;
        stop(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_the_same_name_in_another_schema_goes_on() {
    let source = format!(
        "{SOURCE}; CREATE SCHEMA b; CREATE TABLE b.items (LIKE items INCLUDING ALL);
         INSERT INTO b.items SELECT id, 100 + grade, 7 FROM items"
    );
    let target = format!("{TARGET}; CREATE TABLE bgoods (LIKE goods INCLUDING ALL)");
    let mapping = format!("{MAPPING}INSERT INTO bgoods SELECT id, grade FROM b.items;\n");
    let given = Given { source: &source, target: &target, mapping: &mapping, ..Given::default() };
    let case = Case::of(given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source(&EXCHANGED.replace("TABLE items", "TABLE b.items")).await;
    let shown = held(&case, &daemon, 1).await;
    assert_eq!(shown[0]["table"], "b.items");
    case.at_source("UPDATE items SET grade = 55 WHERE id = 3").await;
    let arrived = "SELECT grade = 55 FROM goods WHERE id = 3";
    until_true(&case.databases.target, "the other table's change", arrived).await;
    accept(&case, &["b.items"]).await;
    goes_on(&case, &mut daemon, &mapping).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_in_series_or_while_the_plan_is_made_is_heard() {
    let (case, mut daemon) = running("").await;
    case.at_source(EXCHANGED).await;
    let row = "SELECT count(*) = 1 FROM regraft.held";
    until_true(&case.databases.target, "a table to be held", row).await;
    // The daemon is about to make its plan without the table.
    accept(&case, &["items"]).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    case.at_source(
        "ALTER TABLE items ADD other int; ALTER TABLE items DROP grade;
         ALTER TABLE items RENAME other TO grade; ALTER TABLE kinds ADD other text DEFAULT 'x';
         ALTER TABLE kinds DROP label; ALTER TABLE kinds RENAME other TO label",
    )
    .await;
    held(&case, &daemon, 2).await;
    accept(&case, &["items"]).await;
    accept(&case, &["kinds"]).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

/// What cannot come back yet is held as before, and stops nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_come_back_is_held_again() {
    let given = Given {
        source: &format!("{SOURCE}; CREATE PUBLICATION mine FOR TABLE items, notes, kinds"),
        target: TARGET,
        mapping: MAPPING,
        source_lines: "publication = \"mine\"",
        ..Given::default()
    };
    let case = Case::of(given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("ALTER PUBLICATION mine DROP TABLE items").await;
    let shown = held(&case, &daemon, 1).await;
    assert_eq!(shown[0]["code"], "RG2017", "{shown:?}");
    accept(&case, &[]).await;
    let asked = "SELECT resume IS NULL FROM regraft.pipelines";
    until_true(&case.databases.target, "the daemon to try", asked).await;
    let shown = held(&case, &daemon, 1).await;
    assert_eq!(shown[0]["code"], "RG2010", "{shown:?}");
    others_go_on(&case).await;
    daemon.kill9();
    daemon = case.installation.run();
    others_go_on(&case).await;
    case.at_source("DELETE FROM items WHERE id < 5; ALTER PUBLICATION mine ADD TABLE items").await;
    accept(&case, &[]).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_a_partition_is_connected_by_its_root() {
    let target = "CREATE TABLE goods (id bigint PRIMARY KEY, grade int) PARTITION BY RANGE (id);
        CREATE TABLE goods_1 PARTITION OF goods FOR VALUES FROM (0) TO (100000);
        CREATE TABLE remarks (id bigint PRIMARY KEY, body text);
        CREATE TABLE sorts (id bigint PRIMARY KEY, label text)";
    let mapping = MAPPING.replace("INTO goods", "INTO goods_1");
    let given = Given { source: SOURCE, target, mapping: &mapping, ..Given::default() };
    let case = Case::of(given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_target("ALTER TABLE sorts ADD FOREIGN KEY (id) REFERENCES goods").await;
    case.at_source(EXCHANGED).await;
    let shown = held(&case, &daemon, 2).await;
    assert_eq!(shown[1]["table"], "public.kinds", "{shown:?}");
    others_go_on(&case).await;
    // The parent comes back with the child that is named.
    accept(&case, &["kinds"]).await;
    held(&case, &daemon, 0).await;
    equal(&case, &mapping).await;
    stop(daemon).await;
}
