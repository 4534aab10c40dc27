//! The race that watermarks alone lose: a commit that is in the change stream, and not yet visible.
//!
//! A backend first writes its commit record, then waits for synchronous standbys, and only then
//! leaves the list of running transactions. With a standby that never answers, that moment is as
//! long as a test needs it to be.

use std::time::Duration;

use regraft_testkit::{Daemon, wait_until};
use regraft_tests::{DEADLINE, Site, SiteOptions, number};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

/// Two chunks, the second one 20 seconds after the first; it is small, and soon read again.
const TWO_CHUNKS: &str = "[backfill]\nreaders = 1\nchunk_rows = 200\nrows_per_second = 10\n";
/// The row that changes, in the second chunk.
const ROW: i32 = 205;

async fn site(extra: &str, source: &str) -> Site {
    let options = SiteOptions { extra: extra.to_owned(), ..SiteOptions::default() };
    let target = "CREATE TABLE t (id int PRIMARY KEY, v text)";
    Site::with(options, &[source], target, "INSERT INTO t SELECT id, v FROM s").await
}

async fn site_of_two_chunks() -> Site {
    let source = "CREATE TABLE s (id int PRIMARY KEY, v text);
        INSERT INTO s SELECT n, 'old' FROM generate_series(1, 207) AS n";
    site(TWO_CHUNKS, source).await
}

async fn some_chunks_done(target: &Client, least: i64) {
    wait_until("some chunks to be done", DEADLINE, async || {
        let sql = "SELECT count(*) FROM regraft.chunks WHERE done_at IS NOT NULL";
        // At first there is no ledger.
        let row = target.query_one(sql, &[]).await.map_err(|error| error.to_string())?;
        let done: i64 = row.get(0);
        if done >= least { Ok(()) } else { Err(format!("{done} chunks")) }
    })
    .await;
}

/// Makes the commits of others wait for a standby that there is not.
async fn hold_commits(source: &Client) {
    set_standby(source, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
}

async fn release_commits(source: &Client) {
    set_standby(source, "ALTER SYSTEM RESET synchronous_standby_names").await;
}

async fn set_standby(source: &Client, sql: &str) {
    source.batch_execute(sql).await.unwrap();
    source.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

/// Updates the row in a transaction whose commit hangs, and waits until it does.
async fn stretch_a_commit(site: &Site) -> JoinHandle<()> {
    let look = site.at_source().await;
    for _ in 0..100 {
        let writer = site.at_source().await;
        let pid: i32 = writer.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        let hanging = tokio::spawn(async move {
            let sql = format!("UPDATE s SET v = 'new' WHERE id = {ROW}");
            writer.batch_execute(&sql).await.unwrap();
        });
        let hangs = wait_until("the commit to hang or to end", DEADLINE, async || {
            let sql =
                "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'";
            let row = look.query_one(sql, &[&pid]).await.map_err(|error| error.to_string())?;
            if row.get::<_, i64>(0) == 1 {
                return Ok(true);
            }
            if hanging.is_finished() { Ok(false) } else { Err("neither".to_owned()) }
        })
        .await;
        if hangs {
            return hanging;
        }
        // The server has not taken note of the setting yet: the row has to be as it was.
        hanging.await.unwrap();
        look.batch_execute(&format!(
            "SET synchronous_commit = local; UPDATE s SET v = 'old' WHERE id = {ROW}"
        ))
        .await
        .unwrap();
    }
    panic!("no commit hangs");
}

async fn value(target: &Client) -> Option<String> {
    let sql = format!("SELECT v FROM t WHERE id = {ROW}");
    target.query_opt(&sql, &[]).await.unwrap().map(|row| row.get(0))
}

async fn value_arrives_before_its_chunk(target: &Client) {
    new_value_arrives(target).await;
    let sql = "SELECT count(*) FROM regraft.chunks WHERE done_at IS NOT NULL";
    assert_eq!(number(target, sql).await, 1, "the machine is too slow for this test");
}

/// Whether chunks were read again some times.
async fn read_again(daemon: &Daemon) -> Result<(), String> {
    let (_, metrics) = daemon.http("/metrics").await?;
    let line = metrics.lines().find_map(|l| l.strip_prefix("regraft_chunk_rereads_total "));
    let rereads: u64 = line.ok_or("no such metric")?.trim().parse().unwrap();
    if rereads >= 3 { Ok(()) } else { Err(format!("{rereads} read again")) }
}

/// Waits until chunks were read again some times; meanwhile and afterwards the target has the new
/// value, and the chunk of the row is open.
async fn the_old_value_does_not_come_back(target: &Client, daemon: &Daemon) {
    wait_until("chunks to be read again", DEADLINE, async || {
        assert_eq!(value(target).await.as_deref(), Some("new"), "{}", daemon.log());
        read_again(daemon).await
    })
    .await;
    let open = format!(
        "SELECT count(*) FROM regraft.chunks WHERE done_at IS NULL AND keys IS NULL
         AND coalesce(after[1]::int, 0) < {ROW} AND coalesce(upto[1]::int, 10000) >= {ROW}"
    );
    assert_eq!(number(target, &open).await, 1, "the row's chunk is open");
    assert_eq!(value(target).await.as_deref(), Some("new"));
}

async fn new_value_arrives(target: &Client) {
    wait_until("the stretched commit to be applied", DEADLINE, async || {
        let value = value(target).await;
        if value.as_deref() == Some("new") { Ok(()) } else { Err(format!("{value:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_does_not_see_a_commit_of_the_stream_is_read_again() {
    let site = site_of_two_chunks().await;
    let daemon = site.run();
    let (source, target) = (site.at_source().await, site.at_target().await);
    some_chunks_done(&target, 1).await;
    hold_commits(&source).await;
    let hanging = stretch_a_commit(&site).await;
    value_arrives_before_its_chunk(&target).await;
    the_old_value_does_not_come_back(&target, &daemon).await;
    assert!(!hanging.is_finished(), "the commit hangs to the end");
    release_commits(&source).await;
    hanging.await.unwrap();
    site.settled().await;
    assert_eq!(value(&target).await.as_deref(), Some("new"));
    site.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_waits_for_commits_from_before_its_time() {
    let site = site_of_two_chunks().await;
    let mut daemon = site.run();
    let (source, target) = (site.at_source().await, site.at_target().await);
    some_chunks_done(&target, 1).await;
    hold_commits(&source).await;
    let hanging = stretch_a_commit(&site).await;
    value_arrives_before_its_chunk(&target).await;
    // What the first daemon knew of the commit goes with it.
    daemon.kill9();
    let daemon = site.run();
    the_old_value_does_not_come_back(&target, &daemon).await;
    assert!(!hanging.is_finished(), "the commit hangs to the end");
    release_commits(&source).await;
    hanging.await.unwrap();
    site.settled().await;
    assert_eq!(value(&target).await.as_deref(), Some("new"));
    site.assert_equal().await;
}

/// Rows move from where nothing is copied yet to where everything is, and the stream does not carry
/// their large value. Between two chunks no window is open that could note it.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_move_past_the_copy_are_not_lost() {
    let source = "CREATE TABLE s (id int PRIMARY KEY, v text);
        ALTER TABLE s ALTER v SET STORAGE EXTERNAL;
        INSERT INTO s SELECT n, repeat(md5(n::text), 100) FROM generate_series(1, 2000) AS n";
    let site = site("[backfill]\nchunk_rows = 100\nrows_per_second = 150\n", source).await;
    let daemon = site.run();
    let (source, target) = (site.at_source().await, site.at_target().await);
    some_chunks_done(&target, 2).await;
    for row in 1..=60 {
        // From the end to the beginning, and from the beginning to the end.
        let sql = format!(
            "UPDATE s SET id = -{row} WHERE id = 2000 - {row}; UPDATE s SET id = 3000 + {row} WHERE id = {row}"
        );
        source.batch_execute(&sql).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let open = "SELECT count(*) FROM regraft.tables WHERE NOT fully_planned";
    assert_eq!(number(&target, open).await, 1, "the copy is still under way");
    site.settled().await;
    site.assert_equal().await;
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_copy_goes_on_at_its_pace_after_a_restart() {
    let source = "CREATE TABLE s (id int PRIMARY KEY, v text);
        INSERT INTO s SELECT n, 'row ' || n FROM generate_series(1, 1000) AS n";
    // Two seconds of copying.
    let site = site("[backfill]\nchunk_rows = 50\nrows_per_second = 500\n", source).await;
    let target = site.at_target().await;
    for least in [2, 5, 9] {
        let mut daemon = site.run();
        some_chunks_done(&target, least).await;
        daemon.kill9();
    }
    let daemon = site.run();
    let end = tokio::time::timeout(Duration::from_secs(20), site.settled()).await;
    assert!(end.is_ok(), "the copy stands still\n{}", daemon.log());
    site.assert_equal().await;
}

/// A change of a table that is only joined hangs in its commit: the rows that it touches are read
/// again until they show it.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_join_wait_for_a_commit_that_is_not_visible() {
    let site = Site::new(
        "CREATE TABLE kinds (id int PRIMARY KEY, label text); CREATE TABLE s (id int PRIMARY KEY, kind int);
         INSERT INTO kinds SELECT n, 'old' FROM generate_series(1, 9) AS n;
         INSERT INTO s SELECT n, n % 9 FROM generate_series(1, 90) AS n",
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT s.id, k.label FROM s JOIN kinds AS k ON k.id = s.kind",
    )
    .await;
    site.catch_up().await;
    let daemon = site.run();
    let (source, target) = (site.at_source().await, site.at_target().await);
    hold_commits(&source).await;
    let look = site.at_source().await;
    let writer = site.at_source().await;
    let hanging = tokio::spawn(async move {
        // The setting may take effect only after some commits.
        for n in 0.. {
            let sql = format!("UPDATE kinds SET label = 'new {n}' WHERE id = 5");
            if writer.batch_execute(&sql).await.is_err() {
                break;
            }
        }
    });
    wait_until("a commit to hang", DEADLINE, async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        if number(&look, sql).await == 1 { Ok(()) } else { Err("none".to_owned()) }
    })
    .await;
    wait_until("keys to be read again", DEADLINE, async || read_again(&daemon).await).await;
    hanging.abort();
    release_commits(&source).await;
    site.settled().await;
    site.assert_equal().await;
    assert_eq!(number(&target, "SELECT count(*) FROM t WHERE v LIKE 'new%'").await, 10);
}
