//! How the copy of a table joins the stream: each transaction is in the one or in the other.

use regraft_testkit::{ClusterOptions, wait_until};
use regraft_tests::{DEADLINE, Site, SiteOptions, number};
use tokio_postgres::Client;

use crate::assert_same;

const SAME: &[(&str, &str)] =
    &[("SELECT n, v FROM log", "SELECT n, v FROM new_log"), ("TABLE items", "TABLE new_items")];

/// Rows of a kilobyte; `keyed` is the comment of the statement.
async fn site(word: &str, rows: u32, extra: &str, fsync: bool) -> Site {
    let source = format!(
        "CREATE TABLE items (id int PRIMARY KEY, v text);
         INSERT INTO items SELECT n, 'old' FROM generate_series(1, 207) AS n;
         CREATE TABLE log (n int, v text); ALTER TABLE log REPLICA IDENTITY FULL;
         INSERT INTO log SELECT n / 2, repeat('v', 1000) FROM generate_series(1, {rows}) AS n"
    );
    let target =
        "CREATE TABLE new_items (id int PRIMARY KEY, v text); CREATE TABLE new_log (n int, v text);
        CREATE INDEX ON new_log (n)";
    let mapping = format!(
        "INSERT INTO new_items SELECT id, v FROM items;
        -- regraft: {word}\nINSERT INTO new_log SELECT n, v FROM log;"
    );
    let setting = if fsync { "on" } else { "off" };
    let cluster = ClusterOptions {
        settings: vec![("fsync".into(), setting.into())],
        ..ClusterOptions::default()
    };
    let options = SiteOptions {
        source: cluster.clone(),
        target: cluster,
        extra: extra.to_owned(),
        ..SiteOptions::default()
    };
    Site::with(options, &[&source], target, &mapping).await
}

async fn until(client: &Client, what: &str, sql: &str) {
    wait_until(what, DEADLINE, async || {
        // At first there is no ledger.
        let row = client.query_one(sql, &[]).await.map_err(|error| error.to_string())?;
        if row.get::<_, Option<bool>>(0) == Some(true) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
}

async fn standby(source: &Client, sql: &str) {
    source.batch_execute(sql).await.unwrap();
    source.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

/// A commit is in the log, and so in the stream, while no snapshot sees it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_the_snapshot_misses_is_not_passed_over() {
    // The log comes some seconds after the other table.
    let braked = "[backfill]\nreaders = 1\nchunk_rows = 250\nrows_per_second = 40\n";
    let site = site("append-only", 50, braked, true).await;
    let (source, target) = (site.at_source().await, site.at_target().await);
    let daemon = site.run();
    until(
        &target,
        "the first chunk",
        "SELECT count(*) > 0 FROM regraft.chunks WHERE done_at IS NOT NULL",
    )
    .await;
    standby(&source, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    let writer = site.at_source().await;
    let pid = number(&writer, "SELECT pg_backend_pid()::bigint").await;
    let hanging = tokio::spawn(async move {
        // The session may have been there before the setting.
        loop {
            writer
                .batch_execute("INSERT INTO log SELECT n, 'hangs' FROM generate_series(1, 3) AS n")
                .await
                .unwrap();
            let rest = "SELECT current_setting('synchronous_standby_names') = ''";
            if writer.query_one(rest, &[]).await.unwrap().get(0) {
                return;
            }
        }
    });
    let hangs = format!(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'SyncRep'"
    );
    until(&source, "the commit to hang", &hangs).await;
    until(&target, "the copy to be planned", "SELECT bool_and(fully_planned) FROM regraft.tables")
        .await;
    wait_until("a snapshot that misses it", DEADLINE, async || {
        let (_, body) = daemon.http("/metrics").await?;
        let name = "regraft_chunk_rereads_total ";
        let mut counts = body.lines().filter_map(|line| line.strip_prefix(name));
        if counts.any(|count| count != "0") { Ok(()) } else { Err("none yet".to_owned()) }
    })
    .await;
    assert_eq!(
        number(&target, "SELECT count(*) FROM new_log").await,
        0,
        "the snapshot misses a commit"
    );
    standby(&source, "ALTER SYSTEM RESET synchronous_standby_names").await;
    hanging.await.unwrap();
    site.settled().await;
    assert_same(&source, &target, SAME).await;
    drop(daemon);
}

/// TRUNCATE waits for the copy, as it does for a dump; then all rows go, those of the copy too.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_truncated_while_it_is_copied() {
    for word in ["append-only", "counted"] {
        let braked = "[backfill]\nchunk_bytes = \"64KiB\"\nrows_per_second = 400\n[limits]\nbatch_age = \"5ms\"\n";
        let site = site(word, 1_000, braked, false).await;
        let (source, target) = (site.at_source().await, site.at_target().await);
        let mut daemon = site.run();
        until(&target, "some rows", "SELECT count(*) > 0 FROM new_log").await;
        source.batch_execute("INSERT INTO log VALUES (-1, 'before')").await.unwrap();
        source
            .batch_execute("BEGIN; INSERT INTO log VALUES (-2, 'x'); TRUNCATE log; INSERT INTO log VALUES (-3, 'y'), (-3, 'y'); COMMIT")
            .await
            .unwrap();
        source.batch_execute("INSERT INTO log VALUES (-4, 'after')").await.unwrap();
        site.settled().await;
        assert_same(&source, &target, SAME).await;
        assert!(daemon.ended().is_none(), "{}", daemon.log());
    }
}

/// Rows go that the copy has brought, and such that it has not; the daemon is killed in the middle, and more
/// changes come than are held in memory.
#[tokio::test(flavor = "multi_thread")]
async fn rows_go_while_they_are_copied() {
    let braked = "[backfill]\nreaders = 1\nchunk_bytes = \"64KiB\"\nrows_per_second = 1500\n\
        [limits]\nbatch_bytes = \"64KiB\"\nbatch_age = \"5ms\"\nbatch_rows = 50\n";
    let site = site("counted", 4_000, braked, false).await;
    let (source, target) = (site.at_source().await, site.at_target().await);
    for round in 0..3 {
        let mut daemon = site.run();
        let more = format!("SELECT count(*) > {} AND count(*) < 3500 FROM new_log", 200 * round);
        until(&target, "some rows of the copy", &more).await;
        for n in 0..20 {
            let sql = format!(
                "DELETE FROM log WHERE ctid IN (SELECT ctid FROM log WHERE n % 20 = {n} LIMIT 10);
                 UPDATE log SET v = v || 'w' WHERE n = {n};
                 INSERT INTO log SELECT n, v FROM log WHERE n % 20 = {n} LIMIT 12; UPDATE items SET v = '{round}' WHERE id = {n}"
            );
            source.batch_execute(&sql).await.unwrap();
        }
        if round < 2 {
            daemon.kill9();
            continue;
        }
        site.settled().await;
        assert_same(&source, &target, SAME).await;
        assert!(daemon.ended().is_none(), "{}", daemon.log());
    }
}

/// One transaction that alone is more than is held: the stream stops in the middle of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_waits_for_the_copy() {
    let braked = "[backfill]\nchunk_bytes = \"64KiB\"\nrows_per_second = 1000\n\
        [limits]\nbatch_bytes = \"64KiB\"\nbatch_rows = 20\n";
    let site = site("counted", 2_000, braked, false).await;
    let (source, target) = (site.at_source().await, site.at_target().await);
    let mut daemon = site.run();
    until(&target, "some rows of the copy", "SELECT count(*) > 0 FROM new_log").await;
    source
        .batch_execute("BEGIN; UPDATE items SET v = 'with it'; UPDATE log SET n = n + 1; DELETE FROM log WHERE n % 3 = 0; UPDATE items SET v = v || '!'; COMMIT")
        .await
        .unwrap();
    site.settled().await;
    assert_same(&source, &target, SAME).await;
    assert!(daemon.ended().is_none(), "{}", daemon.log());
}
