//! A target that does not answer for a while, and a source that has nothing for us: the link lives,
//! and the source can forget its log.

use std::time::Duration;

use regraft_testkit::{Proxy, connect, wait_until};
use regraft_tests::{DEADLINE, number};
use tokio_postgres::Client;

use crate::support::{Case, ready, servers, stop};

/// Longer than three times the source's patience.
const STALL: Duration = Duration::from_secs(10);

/// The session of the replication connection, which a reconnect changes.
async fn walsender(case: &Case) -> i64 {
    let sql = "SELECT active_pid::bigint FROM pg_replication_slots WHERE slot_name = ";
    number(&case.databases.source, &format!("{sql}'{}'", case.slot())).await
}

/// A source that gives a silent consumer up after three seconds.
async fn impatient() -> Case {
    let case = Case::usual().await;
    let database = format!("{}_legacy", case.name);
    case.at_source(&format!("ALTER DATABASE {database} SET wal_sender_timeout = '3s'")).await;
    case
}

/// Changes rows for a while, with large values, so that buffers fill.
async fn traffic(client: &Client, time: Duration) {
    let end = tokio::time::Instant::now() + time;
    let mut round = 0;
    while tokio::time::Instant::now() < end {
        round += 1;
        let sql = format!(
            "INSERT INTO items SELECT {round} * 1000 + i, repeat(md5(i::text), 100), i
             FROM generate_series(1, 200) AS i; UPDATE items SET amount = {round} WHERE id <= 20"
        );
        client.batch_execute(&sql).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_to_the_source_survives_a_target_that_freezes() {
    let case = impatient().await;
    let (_, target) = servers().await;
    let proxy = Proxy::start(target.port()).await;
    let through = case.another(|setup| setup.target_url = proxy.url(&setup.target_url));
    let mut daemon = through.run();
    ready(&mut daemon).await;
    let before = walsender(&case).await;
    let writer = connect(&case.databases.source_url).await.unwrap();
    proxy.freeze();
    traffic(&writer, STALL).await;
    assert_eq!(walsender(&case).await, before, "{}", daemon.log());
    proxy.thaw();
    case.settled().await;
    assert_eq!(walsender(&case).await, before, "{}", daemon.log());
    case.assert_equal().await;
    stop(daemon).await;
}

/// Verification opens connections when it begins.
#[tokio::test(flavor = "multi_thread")]
async fn the_link_to_the_source_survives_a_target_to_which_verification_cannot_connect() {
    let case = impatient().await;
    let (_, target) = servers().await;
    let proxy = Proxy::start(target.port()).await;
    let through = case.another(|setup| {
        setup.target_url = proxy.url(&setup.target_url);
        setup.extra = "[verify]\nenabled = false\n".to_owned();
    });
    let mut daemon = through.run();
    ready(&mut daemon).await;
    let before = walsender(&case).await;
    proxy.refuse(true);
    let tried = proxy.accepted();
    // Only now it is asked for, so that it has no connections from before.
    let asked = format!(
        "INSERT INTO regraft.verifications (pipeline, request) VALUES ('{}', '{{}}')",
        case.name
    );
    case.at_target(&asked).await;
    wait_until("verification to try again", DEADLINE, async || {
        let now = proxy.accepted() - tried;
        if now > 2 { Ok(()) } else { Err(format!("{now} times")) }
    })
    .await;
    proxy.refuse(false);
    case.at_source("UPDATE items SET amount = 4711 WHERE id = 1").await;
    case.settled().await;
    assert_eq!(walsender(&case).await, before, "{}", daemon.log());
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_to_the_source_survives_a_lock_at_the_target() {
    let case = impatient().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let before = walsender(&case).await;
    let locker = connect(&case.databases.target_url).await.unwrap();
    let writer = connect(&case.databases.source_url).await.unwrap();
    locker.batch_execute("BEGIN; LOCK TABLE goods IN ACCESS EXCLUSIVE MODE").await.unwrap();
    traffic(&writer, STALL).await;
    locker.batch_execute("COMMIT").await.unwrap();
    case.settled().await;
    assert_eq!(walsender(&case).await, before, "{}", daemon.log());
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slot_advances_while_the_source_has_nothing_for_the_pipeline() {
    let case = Case::usual().await;
    case.at_source("CREATE TABLE other (id bigint, filler text)").await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let sql = format!(
        "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{}'",
        case.slot()
    );
    let confirmed = async || {
        let row = case.databases.source.query_one(&format!("SELECT ({sql})::bigint"), &[]).await;
        row.unwrap().get::<_, i64>(0)
    };
    let begin = confirmed().await;
    let mut written = 0;
    for _ in 0..5 {
        let rows = "SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 16000) AS i";
        case.at_source(&format!("INSERT INTO other {rows}")).await;
        written += 16_000 * 900;
        wait_until("the slot to follow", DEADLINE, async || {
            let now = confirmed().await;
            if now - begin > written {
                Ok(())
            } else {
                Err(format!("{} of {written}", now - begin))
            }
        })
        .await;
    }
    // What the slot keeps is not what was written, but what came last.
    case.at_source("CHECKPOINT").await;
    let kept = format!(
        "SELECT (pg_current_wal_lsn() - restart_lsn)::bigint FROM pg_replication_slots
         WHERE slot_name = '{}'",
        case.slot()
    );
    wait_until("the kept log to be short", DEADLINE, async || {
        let kept = number(&case.databases.source, &kept).await;
        if kept < 30_000_000 { Ok(()) } else { Err(format!("{kept} bytes")) }
    })
    .await;
    stop(daemon).await;
}
