//! What drifts beside the rows of a table itself, a joined table, the target, a lock, holds that table only.

use regraft_testkit::{Daemon, wait_until};
use regraft_tests::{DEADLINE, number};

use super::held::{MAPPING, SOURCE, TARGET, accept, equal, goes_on, held, others_go_on, running};
use crate::support::{Case, Given, ready, stop};

const JOINED: &str = "INSERT INTO goods SELECT i.id, i.grade + length(k.label) FROM items i JOIN kinds k ON k.id = i.id;
INSERT INTO remarks SELECT id, body FROM notes;
";

async fn joined() -> (Case, Daemon) {
    let given = Given { source: SOURCE, target: TARGET, mapping: JOINED, ..Given::default() };
    let case = Case::of(given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    (case, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joined_column_that_is_renamed_holds_what_joins_it() {
    let (case, mut daemon) = joined().await;
    case.at_source(
        "ALTER TABLE kinds RENAME label TO title; UPDATE items SET grade = 9 WHERE id = 2",
    )
    .await;
    let shown = held(&case, &daemon, 1).await;
    assert_eq!(
        (&shown[0]["table"], &shown[0]["code"]),
        (&"public.items".into(), &"RG3008".into()),
        "{shown:?}"
    );
    others_go_on(&case).await;
    case.at_source("ALTER TABLE kinds RENAME title TO label").await;
    accept(&case, &[]).await;
    goes_on(&case, &mut daemon, JOINED).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_table_that_is_dropped_holds_its_source() {
    let (case, mut daemon) = running("").await;
    case.at_target("DROP TABLE goods").await;
    case.at_source("UPDATE items SET grade = 9 WHERE id = 2").await;
    let shown = held(&case, &daemon, 1).await;
    assert_eq!(shown[0]["table"], "public.items", "{shown:?}");
    others_go_on(&case).await;
    case.at_target("CREATE TABLE goods (id bigint PRIMARY KEY, grade int)").await;
    accept(&case, &[]).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

async fn target_column(change: &str) {
    let (case, mut daemon) = running("").await;
    case.at_target("ALTER TABLE goods DROP COLUMN grade").await;
    case.at_source(change).await;
    let shown = held(&case, &daemon, 1).await;
    assert_eq!(
        (&shown[0]["table"], &shown[0]["code"]),
        (&"public.items".into(), &"RG3010".into()),
        "{shown:?}"
    );
    others_go_on(&case).await;
    case.at_target("ALTER TABLE goods ADD COLUMN grade int").await;
    accept(&case, &[]).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_column_that_is_dropped_holds_its_source_when_it_is_written() {
    target_column("UPDATE items SET grade = 9 WHERE id = 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_column_that_is_dropped_holds_its_source_when_nothing_is_written() {
    target_column("SELECT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_gone_is_held_though_nothing_is_changed_after_it() {
    let (case, mut daemon) = running("").await;
    case.at_source("ALTER TABLE items RENAME grade TO mark").await;
    let shown = held(&case, &daemon, 1).await;
    assert_eq!(
        (&shown[0]["table"], &shown[0]["code"]),
        (&"public.items".into(), &"RG3008".into()),
        "{shown:?}"
    );
    others_go_on(&case).await;
    case.at_source("ALTER TABLE items RENAME mark TO grade").await;
    accept(&case, &[]).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_is_held_without_the_others() {
    let (case, mut daemon) = running("").await;
    daemon.signal("STOP");
    case.at_source(
        "ALTER TABLE items RENAME grade TO mark; UPDATE items SET mark = 9 WHERE id = 2",
    )
    .await;
    let url = &case.databases.source_url;
    let (other, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    // As VACUUM does, or CREATE INDEX CONCURRENTLY.
    other.batch_execute("BEGIN; LOCK TABLE items IN SHARE UPDATE EXCLUSIVE MODE").await.unwrap();
    daemon.signal("CONT");
    held(&case, &daemon, 1).await;
    others_go_on(&case).await;
    // It is still published, and still looked after: no write of the application is refused.
    let published = "SELECT count(*) FROM pg_publication_tables WHERE tablename = 'items'";
    assert_eq!(number(&case.databases.source, published).await, 1);
    case.at_source("UPDATE items SET mark = 10 WHERE id = 2").await;
    others_go_on(&case).await;
    other.batch_execute("ROLLBACK").await.unwrap();
    case.at_source("ALTER TABLE items REPLICA IDENTITY NOTHING").await;
    wait_until("the application to be able to write", DEADLINE, async || {
        let update = "UPDATE items SET mark = 11 WHERE id = 2";
        case.databases.source.batch_execute(update).await.map_err(|error| error.to_string())
    })
    .await;
    case.at_source("ALTER TABLE items REPLICA IDENTITY DEFAULT").await;
    case.at_source("ALTER TABLE items RENAME mark TO grade").await;
    others_go_on(&case).await;
    accept(&case, &[]).await;
    goes_on(&case, &mut daemon, MAPPING).await;
    stop(daemon).await;
    connection.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_waited_takes_over_what_was_held_meanwhile() {
    let (case, mut daemon) = running("").await;
    let elsewhere = case.another(|_| ());
    let mut second = elsewhere.run();
    wait_until("the second daemon to wait", DEADLINE, async || {
        let (status, body) = case.health(&second).await?;
        if body.contains("RG5002") { Ok(()) } else { Err(format!("{status} {body}")) }
    })
    .await;
    // It must not take over in the moment in which the first one plans again.
    second.signal("STOP");
    case.at_source(
        "ALTER TABLE items RENAME grade TO mark; UPDATE items SET mark = 9 WHERE id = 2",
    )
    .await;
    held(&case, &daemon, 1).await;
    daemon.kill9();
    second.signal("CONT");
    held(&case, &second, 1).await;
    others_go_on(&case).await;
    // And the other way round: what was held goes on.
    let mut third = case.installation.run();
    wait_until("the third daemon to wait", DEADLINE, async || {
        let (status, body) = case.health(&third).await?;
        if body.contains("RG5002") { Ok(()) } else { Err(format!("{status} {body}")) }
    })
    .await;
    third.signal("STOP");
    case.at_source("ALTER TABLE items RENAME mark TO grade").await;
    accept(&case, &[]).await;
    goes_on(&case, &mut second, MAPPING).await;
    second.kill9();
    third.signal("CONT");
    ready(&mut third).await;
    equal(&case, MAPPING).await;
    stop(third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_source_ends_a_daemon_that_plans_again() {
    let (case, mut daemon) = running("").await;
    // What can be mended is waited for.
    case.installation.write_mapping(&MAPPING.replace("SELECT id, body", "SELECT id, upper(body)"));
    case.at_source(
        "ALTER TABLE items RENAME grade TO mark; UPDATE items SET mark = 9 WHERE id = 2",
    )
    .await;
    case.held(&daemon, "RG3009").await;
    case.at_target("UPDATE regraft.pipelines SET source_system = '1'").await;
    let status = daemon.wait(DEADLINE).await;
    assert_eq!(status.code(), Some(4), "{}", daemon.log());
    assert!(daemon.stderr().contains("RG2013"), "{}", daemon.log());
}
