//! Commits that wait for a synchronous standby which is not there: whoever is behind them learns for what.

use regraft_testkit::{Cluster, ClusterOptions, Daemon, wait_until};
use regraft_tests::DEADLINE;

use crate::support::{Case, Given, ready, servers, stop, until_true};

const NAMES: (&str, &str) = ("synchronous_standby_names", "nobody");
const SAID: &str = "that no synchronous standby confirms: synchronous_standby_names = 'nobody'";
const WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

/// Waits until status and log say all this; gives the status.
async fn says(daemon: &Daemon, parts: &[&str]) -> String {
    wait_until("the standby to be named", DEADLINE, async || {
        let (_, status) = daemon.http("/api/v1/status").await?;
        if parts.iter().all(|part| status.contains(part)) { Ok(status) } else { Err(status) }
    })
    .await
}

/// The session that has the pipeline's lock outlives its daemon, as its commit waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_behind_a_commit_at_the_target_names_the_setting_and_not_another_daemon() {
    let target = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&servers().await.0, &target, Given::default()).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    target.reload_with(&[NAMES]).unwrap();
    until_true(&case.databases.target, "a commit to wait", WAITS).await;
    daemon.kill9();
    let mut daemon = case.installation.run();
    let status = says(&daemon, &["RG4005", "target (", "lock of the pipeline", SAID]).await;
    assert!(status.contains("ALTER SYSTEM SET") && !status.contains("RG5002"), "{status}");
    target.reload_with(&[(NAMES.0, "")]).unwrap();
    ready(&mut daemon).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

/// The second daemon waits for what the first one has begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_behind_a_commit_at_the_source_names_the_setting() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    source.reload_with(&[NAMES]).unwrap();
    let shown = "SELECT current_setting('synchronous_standby_names') = 'nobody'";
    until_true(&case.databases.source, "the setting", shown).await;
    let mut daemon = case.installation.run();
    says(&daemon, &["source (", "waits with a commit", SAID]).await;
    daemon.kill9();
    let mut daemon = case.installation.run();
    says(&daemon, &["source (", "held by process", SAID]).await;
    daemon.kill9();
    source.reload_with(&[(NAMES.0, "")]).unwrap();
    until_true(&case.databases.source, "the commits to end", &WAITS.replace("> 0", "= 0")).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.assert_equal().await;
    stop(daemon).await;
}
