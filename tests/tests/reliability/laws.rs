//! Laws that hold whether or not both sides are equal in the end.

use regraft_core::Lsn;
use regraft_testkit::{StopMode, wait_until};
use regraft_tests::{DEADLINE, Site, number};
use tokio_postgres::Client;

const SOURCE: &str = "
    CREATE TABLE s (id int PRIMARY KEY, v text);
    INSERT INTO s SELECT n, 'old' FROM generate_series(1, 10) AS n";
const TARGET: &str = "CREATE TABLE t (id int PRIMARY KEY, v text)";
const MAPPING: &str = "INSERT INTO t SELECT id, v FROM s";

async fn lsn(client: &Client, sql: &str) -> Lsn {
    client.query_one(sql, &[]).await.unwrap().get::<_, String>(0).parse().unwrap()
}

/// Sends a signal to the server's process that writes the log of commits which nobody waits for.
async fn signal_wal_writer(target: &Client, signal: &str) {
    let sql = "SELECT pid::bigint FROM pg_stat_activity WHERE backend_type = 'walwriter'";
    let pid = number(target, sql).await.to_string();
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args([&format!("-{signal}"), &pid]).status().unwrap().success());
}

/// A commit of the target that is visible and not on its disk goes with a crash. The source must not
/// have forgotten it by then.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_may_forget_is_on_the_disk_of_the_target() {
    let site = Site::new(SOURCE, TARGET, MAPPING).await;
    site.catch_up().await;
    let confirmed = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots";
    let source = site.at_source().await;
    for round in 0..2 {
        let mut daemon = site.run();
        site.settled().await;
        let target = site.at_target().await;
        signal_wal_writer(&target, "STOP").await;
        let before = lsn(&source, "SELECT pg_current_wal_insert_lsn()::text").await;
        let sql = format!("UPDATE s SET v = 'new {round}' WHERE id = 1");
        source.batch_execute(&sql).await.unwrap();
        wait_until("the source to hear of the change", DEADLINE, async || {
            let confirmed = lsn(&source, confirmed).await;
            if confirmed > before { Ok(()) } else { Err(format!("{confirmed}, after {before}")) }
        })
        .await;
        daemon.kill9();
        let confirmed = lsn(&source, confirmed).await;
        site.target.stop(StopMode::Immediate).await.unwrap();
        site.target.start_again().await.unwrap();
        let target = site.at_target().await;
        let position =
            lsn(&target, "SELECT split_part(position, ':', 2) FROM regraft.pipelines").await;
        assert!(position >= confirmed, "the target has {position}, the source kept {confirmed}");
    }
    site.catch_up().await;
    site.assert_equal().await;
}

/// A daemon may lose the pipeline's lock without noticing, and another one take over. Here only the number
/// is raised by which the other one would be known.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_replaced_commits_nothing() {
    let site = Site::shared("replaced", ("", ""), &[SOURCE], TARGET, MAPPING).await;
    let daemon = site.run();
    site.settled().await;
    let (source, target) = (site.at_source().await, site.at_target().await);
    target.batch_execute("UPDATE regraft.pipelines SET epoch = epoch + 1").await.unwrap();
    source.batch_execute("UPDATE s SET v = 'new' WHERE id = 1").await.unwrap();
    let says = || daemon.stderr().contains("another daemon took over the pipeline");
    wait_until("the daemon to find itself replaced", DEADLINE, async || {
        let written = number(&target, "SELECT count(*) FROM t WHERE v = 'new'").await == 1;
        if says() {
            return Ok(());
        }
        assert!(!written, "it has written, as if nothing were\n{}", daemon.log());
        Err(daemon.log())
    })
    .await;
    // It takes the pipeline over in turn.
    site.settled().await;
    site.assert_equal().await;
}

/// Where a row should be and is not, the change of a part of it cannot be applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_part_of_a_row_that_is_missing_is_no_success() {
    let source = "CREATE TABLE s (id int PRIMARY KEY, n int, v text);
        ALTER TABLE s ALTER v SET STORAGE EXTERNAL;
        INSERT INTO s SELECT n, n, repeat(md5(n::text), 100) FROM generate_series(1, 10) AS n";
    let target = "CREATE TABLE t (id int PRIMARY KEY, n int, v text)";
    let mapping = "INSERT INTO t SELECT id, n, v FROM s";
    let site = Site::shared("missing_row", ("", ""), &[source], target, mapping).await;
    site.catch_up().await;
    site.at_target().await.batch_execute("DELETE FROM t WHERE id = 5").await.unwrap();
    site.at_source().await.batch_execute("UPDATE s SET n = 0 WHERE id = 5").await.unwrap();
    let finished = site.installation.command(&["run", "--until-caught-up"], DEADLINE).await;
    assert_eq!(finished.code(), 4, "{}", finished.stderr);
    assert!(finished.stderr.contains("RG4003"), "{}", finished.stderr);
}

/// The address is read anew for each attempt, and may lead to another server by then.
#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_under_the_address_of_the_source_is_refused_while_the_daemon_runs() {
    let site = Site::new(SOURCE, TARGET, MAPPING).await;
    let (url, config) = (&site.databases.source_url, site.installation.path("regraft.toml"));
    let config = std::fs::read_to_string(config).unwrap();
    let line =
        |config: &str| config.lines().find(|line| line.starts_with("url = ")).map(str::to_owned);
    let named = config.replacen(&line(&config).unwrap(), "url_file = \"source.url\"", 1);
    site.installation.write_config(&named);
    std::fs::write(site.installation.path("source.url"), url).unwrap();
    let mut daemon = site.run();
    site.settled().await;
    std::fs::write(site.installation.path("source.url"), &site.databases.target_url).unwrap();
    let sql = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
               WHERE database = current_database()";
    site.at_source().await.batch_execute(sql).await.unwrap();
    let status = daemon.wait(DEADLINE).await;
    assert_eq!(status.code(), Some(4), "{}", daemon.log());
    assert!(daemon.stderr().contains("RG2013"), "{}", daemon.log());
}
