//! Real clusters: started, stopped, killed, removed.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::path::Path;
use std::time::{Duration, Instant};

use regraft_core::Code;
use regraft_throwaway::{Auth, Cluster, ClusterOptions, StopMode, connect};

async fn one(cluster: &Cluster, sql: &str) -> String {
    cluster.client("postgres").await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
}

async fn show(cluster: &Cluster, setting: &str) -> String {
    one(cluster, &format!("SELECT current_setting('{setting}')")).await
}

fn runs(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[tokio::test]
async fn a_cluster_keeps_its_port_and_data_over_a_stop_a_crash_and_a_kill() {
    let options = ClusterOptions {
        settings: vec![
            ("work_mem".into(), "5MB".into()),
            ("application_name".into(), "it's".into()),
        ],
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let (port, pid) = (cluster.port(), cluster.pid().unwrap());
    assert_eq!(show(&cluster, "wal_level").await, "logical");
    assert_eq!(show(&cluster, "work_mem").await, "5MB");
    cluster.create_database("weird \"name\"").await.unwrap();
    cluster.create_database("plain").await.unwrap();
    let client = connect(&cluster.url("plain")).await.unwrap();
    client.batch_execute("CREATE TABLE t AS SELECT 1 AS a").await.unwrap();
    cluster.stop(StopMode::Fast).await.unwrap();
    assert!(!runs(pid));
    assert!(connect(&cluster.url("plain")).await.is_err());
    cluster.start_again().await.unwrap();
    cluster.restart(StopMode::Immediate).await.unwrap();
    cluster.kill9();
    assert_eq!(cluster.pid(), None);
    cluster.start_again().await.unwrap();
    assert_eq!(cluster.port(), port);
    let client = connect(&cluster.url("plain")).await.unwrap();
    let rows = client.query("SELECT a FROM t", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    cluster.reload_with(&[("work_mem", "6MB")]).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while show(&cluster, "work_mem").await != "6MB" {
        assert!(Instant::now() < until, "the reload does not arrive");
    }
}

#[tokio::test]
async fn dropping_a_cluster_ends_the_server_and_removes_the_folder() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let (pid, data) = (cluster.pid().unwrap(), cluster.data_folder().to_path_buf());
    assert!(runs(pid) && data.exists());
    drop(cluster);
    assert!(!runs(pid));
    assert!(!data.parent().unwrap().exists());
}

#[tokio::test]
async fn a_panicking_test_leaves_nothing_behind() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let ended = tokio::spawn(async move {
        let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
        sender.send((cluster.pid().unwrap(), cluster.data_folder().to_path_buf())).unwrap();
        panic!("on purpose");
    })
    .await;
    assert!(ended.unwrap_err().is_panic());
    let (pid, data) = receiver.recv().unwrap();
    assert!(!runs(pid));
    assert!(!data.parent().unwrap().exists());
}

#[tokio::test]
async fn scram_asks_for_the_random_password() {
    let options = ClusterOptions { auth: Auth::Scram, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await.unwrap();
    connect(&cluster.url("postgres")).await.unwrap();
    let password = cluster.password().unwrap();
    let wrong = cluster.url("postgres").replace(password, "wrong");
    let error = connect(&wrong).await.unwrap_err();
    assert!(error.to_string().contains("password authentication failed"), "{error}");
    assert!(!error.to_string().contains(password));
}

#[tokio::test]
async fn an_own_pg_hba_binds_tcp_but_not_the_administrator() {
    let options = ClusterOptions {
        pg_hba: Some("host all all 127.0.0.1/32 reject".into()),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    assert!(connect(&cluster.url("postgres")).await.is_err());
    assert_eq!(one(&cluster, "SELECT 'in'").await, "in");
}

#[tokio::test]
async fn a_wrong_setting_is_reported_with_the_log() {
    let options = ClusterOptions {
        settings: vec![("no_such_setting".into(), "1".into())],
        ..ClusterOptions::default()
    };
    let error = Cluster::start(options).await.err().unwrap();
    assert_eq!(error.code(), Code::ThrowawayFailed);
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn a_kept_cluster_outlives_its_value() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let (pid, url) = (cluster.pid().unwrap(), cluster.url("postgres"));
    let folder = cluster.keep();
    connect(&url).await.unwrap().batch_execute("SELECT 1").await.unwrap();
    let kill = std::process::Command::new("kill").arg("-QUIT").arg(pid.to_string()).status();
    assert!(kill.unwrap().success());
    let pid_file = folder.join("data/postmaster.pid");
    let until = Instant::now() + Duration::from_secs(10);
    while pid_file.exists() {
        assert!(Instant::now() < until, "the server does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::fs::remove_dir_all(folder).unwrap();
}
