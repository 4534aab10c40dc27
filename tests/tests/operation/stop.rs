//! SIGTERM ends the daemon within five seconds, whatever it is doing, and the next one goes on.

use regraft_testkit::{Cluster, ClusterOptions, connect, wait_until};
use regraft_tests::{DEADLINE, number};

use crate::support::{Case, Given, ready, servers, stop};

const SOURCE: &str = "CREATE TABLE items (id bigint PRIMARY KEY, name text, amount integer);
    INSERT INTO items SELECT i, repeat(md5(i::text), 8), i FROM generate_series(1, 60000) AS i";

#[tokio::test(flavor = "multi_thread")]
async fn while_the_slot_waits_for_open_transactions_of_the_source() {
    // A server of its own: the transaction holds up every slot that is made there.
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    case.at_source("BEGIN; UPDATE items SET amount = 100 WHERE id = 1").await;
    let daemon = case.installation.run();
    wait_until("the slot to be made", DEADLINE, async || {
        let log = daemon.stderr();
        if log.contains("making the slot") { Ok(()) } else { Err(log) }
    })
    .await;
    stop(daemon).await;
    case.at_source("COMMIT").await;
    // The server ends what it was asked for before.
    let idle = "SELECT coalesce(bool_and(NOT active), true) FROM pg_replication_slots";
    crate::support::until_true(&case.databases.source, "the slot to be free", idle).await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_a_killed_daemon_was_making_is_waited_for() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    case.at_source("BEGIN; UPDATE items SET amount = 100 WHERE id = 1").await;
    let mut daemon = case.installation.run();
    let active = "SELECT count(*) = 1 FROM pg_replication_slots WHERE active";
    crate::support::until_true(&case.databases.source, "the slot to be in the making", active)
        .await;
    daemon.kill9();
    let daemon = case.installation.run();
    wait_until("the next daemon to wait for it", DEADLINE, async || {
        let log = daemon.stderr();
        if log.contains("is used by process") { Ok(()) } else { Err(log) }
    })
    .await;
    case.at_source("COMMIT").await;
    let copied = "SELECT count(*) > 0 FROM regraft.chunks WHERE done_at IS NOT NULL";
    let ledger = "SELECT to_regclass('regraft.chunks') IS NOT NULL";
    crate::support::until_true(&case.databases.target, "the ledger", ledger).await;
    crate::support::until_true(&case.databases.target, "the copy", copied).await;
    stop(daemon).await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_backfill() {
    let extra = "[backfill]\nchunk_rows = 300\n";
    let case = Case::of(Given { source: SOURCE, extra, ..Given::default() }).await;
    let mut copied = 0;
    for round in 1..=4_i64 {
        let daemon = case.installation.run();
        let sql = "SELECT count(*) FILTER (WHERE done_at IS NOT NULL) FROM regraft.chunks";
        wait_until("a part of the copy", DEADLINE, async || {
            let row = case.databases.target.query_one(sql, &[]).await;
            let done: i64 = row.map_err(|error| error.to_string())?.get(0);
            if done >= copied + 15 { Ok(()) } else { Err(format!("{done} chunks")) }
        })
        .await;
        stop(daemon).await;
        let now = number(&case.databases.target, sql).await;
        assert!(now > copied && now < 200, "stopped in the middle: {copied}, then {now} chunks");
        copied = now;
        case.at_source(&format!("UPDATE items SET amount = -{round} WHERE id % 1000 = {round}"))
            .await;
    }
    case.catch_up().await;
    case.assert_equal().await;
    let rows = number(&case.databases.target, "SELECT sum(rows)::bigint FROM regraft.chunks").await;
    assert!((59_000..=60_000).contains(&rows), "each row is copied once: {rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_large_transaction() {
    let case = Case::of(Given { source: SOURCE, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let seen = "SELECT count(*) FROM goods WHERE amount < 0";
    let target = &case.databases.target;
    // However fast it is, it does not come to its end.
    let locker = connect(&case.databases.target_url).await.unwrap();
    let lock = "BEGIN; SELECT FROM goods WHERE id = (SELECT max(id) FROM goods) FOR UPDATE";
    locker.batch_execute(lock).await.unwrap();
    case.at_source("UPDATE items SET amount = -1").await;
    // Its session has written, and not committed.
    let writing = format!(
        "SELECT coalesce(bool_or(backend_xid IS NOT NULL
             AND xact_start < now() - interval '300 ms'), false)
         FROM pg_stat_activity WHERE application_name = 'regraft {}'",
        case.name
    );
    crate::support::until_true(target, "the transaction to be under way", &writing).await;
    assert_eq!(number(target, seen).await, 0);
    stop(daemon).await;
    locker.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(number(target, seen).await, 0, "nothing of it is seen");
    case.at_source("UPDATE items SET amount = -2 WHERE id <= 5").await;
    case.catch_up().await;
    case.assert_equal().await;
    assert_eq!(number(target, seen).await, 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_waits_for_a_lock_at_the_target() {
    let case = Case::usual().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let locker = regraft_testkit::connect(&case.databases.target_url).await.unwrap();
    locker.batch_execute("BEGIN; LOCK TABLE goods IN ACCESS EXCLUSIVE MODE").await.unwrap();
    case.at_source("UPDATE items SET amount = 0").await;
    let waits = format!(
        "SELECT coalesce(bool_or(wait_event_type = 'Lock'), false) FROM pg_stat_activity
         WHERE application_name = 'regraft {}'",
        case.name
    );
    crate::support::until_true(&case.databases.target, "the daemon to wait", &waits).await;
    stop(daemon).await;
    locker.batch_execute("COMMIT").await.unwrap();
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_server_is_away_or_the_pipeline_is_held() {
    let target = "CREATE TABLE goods (id bigint PRIMARY KEY, name varchar(3), amount integer)";
    let case = Case::of(Given { target, ..Given::default() }).await;
    let daemon = case.installation.run();
    case.held(&daemon, "RG4001").await;
    stop(daemon).await;
    // An error that was not mended stays to be seen.
    let status = case.regraft(&["status", "--json"]).await.json();
    assert_eq!(
        (&status["phase"], &status["last_error"]["code"]),
        (&"stopped".into(), &"RG4001".into())
    );
}
