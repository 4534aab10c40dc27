//! A start that waits says so, and one that fails leaves nothing behind.

use regraft_testkit::{Cluster, ClusterOptions, StopMode, connect, wait_until};
use regraft_tests::{DEADLINE, number};

use crate::support::{Case, Given, assert_says, ready, servers, stop};

/// What a start makes at the source.
async fn made(case: &Case) -> i64 {
    let sql = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'regraft%') \
               + (SELECT count(*) FROM pg_publication)";
    let own = format!("regraft_{}'", case.name);
    number(&case.databases.source, &sql.replace("regraft%'", &own)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_at_the_start_is_waited_for() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    source.stop(StopMode::Fast).await.unwrap();
    let mut daemon = case.installation.run();
    wait_until("the daemon to say that it waits", DEADLINE, async || {
        let answers = [daemon.http("/healthz").await?, daemon.http("/readyz").await?];
        let told = |(status, body): &(u16, String)| *status == 503 && body.contains("RG2001");
        let (_, status) = daemon.http("/api/v1/status").await?;
        let starting = status.contains("\"phase\":\"starting\"") && status.contains("RG2001");
        if answers.iter().all(told) && starting { Ok(()) } else { Err(format!("{answers:?}")) }
    })
    .await;
    source.start_again().await.unwrap();
    ready(&mut daemon).await;
    assert_eq!(case.health(&daemon).await.unwrap().0, 200);
    stop(daemon).await;
    let target = connect(&case.databases.target_url).await.unwrap();
    assert_eq!(number(&target, "SELECT count(*) FROM goods").await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_source_that_shuts_down_is_unreachable() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    for _ in 0..3 {
        ready(&mut daemon).await;
        source.stop(StopMode::Fast).await.unwrap();
        wait_until("the daemon to notice", DEADLINE, async || {
            let (status, body) = case.health(&daemon).await?;
            if status == 503 && body.contains("RG2001") { Ok(()) } else { Err(body) }
        })
        .await;
        source.start_again().await.unwrap();
    }
    ready(&mut daemon).await;
    assert!(!daemon.stderr().contains("RG9001"), "{}", daemon.log());
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_found_before_anything_is_made() {
    let case = Case::usual().await;
    let taken = tokio::net::TcpListener::bind(("127.0.0.1", case.installation.http_port())).await;
    let finished = case.regraft(&["run"]).await;
    assert_says(&finished, 2, "RG1005", &["http.listen"]);
    assert_eq!(made(&case).await, 0);
    let ledger = "SELECT count(*) FROM pg_namespace WHERE nspname = 'regraft'";
    assert_eq!(number(&case.databases.target, ledger).await, 0);
    drop(taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_fails_removes_what_it_made() {
    let settings = vec![("max_replication_slots".to_owned(), "1".to_owned())];
    let source = Cluster::start(ClusterOptions { settings, ..ClusterOptions::default() });
    let source = source.await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    // The publication is made before the slot.
    case.at_source("SELECT pg_create_physical_replication_slot('other')").await;
    assert_says(&case.run_once().await, 3, "RG2012", &["max_replication_slots"]);
    assert_eq!(made(&case).await, 0);
    // And the slot before it is registered.
    case.at_source("SELECT pg_drop_replication_slot('other')").await;
    case.catch_up().await;
    case.regraft(&["teardown", "--apply"]).await;
    case.at_target(
        "TRUNCATE goods; CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
         CREATE TRIGGER no BEFORE INSERT ON regraft.pipelines EXECUTE FUNCTION no()",
    )
    .await;
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG4001", &["SQLSTATE P0001"]);
    assert_eq!(made(&case).await, 0);
    case.at_target("DROP TRIGGER no ON regraft.pipelines").await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_the_slot_from_being_made_is_named() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    let writer = connect(&case.databases.source_url).await.unwrap();
    writer
        .batch_execute(
            "SET application_name = 'long job'; BEGIN; UPDATE items SET amount = 4711 WHERE id = 1",
        )
        .await
        .unwrap();
    let pid = number(&writer, "SELECT pg_backend_pid()::bigint").await;
    let mut daemon = case.installation.run();
    let holder =
        format!("held by process {pid} (long job, idle in transaction, in a transaction since");
    wait_until("the holder to be named", DEADLINE, async || {
        let (ready, why) = daemon.http("/readyz").await?;
        let log = daemon.stderr();
        let parts = ["starting", "source (", "pg_create_logical_replication_slot", &holder];
        let named = parts.iter().all(|part| why.contains(part)) && log.contains(&holder);
        if ready == 503 && named { Ok(()) } else { Err(format!("{ready} {why}\n{log}")) }
    })
    .await;
    // What it did is nobody's business.
    assert!(!daemon.stderr().contains("4711"), "{}", daemon.log());
    writer.batch_execute("COMMIT").await.unwrap();
    ready(&mut daemon).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}
