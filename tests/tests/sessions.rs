//! Batches that are written side by side: a later one waits for an earlier one, whatever holds it.

use regraft_testkit::{Daemon, wait_until};
use regraft_tests::{DEADLINE, Site, number};
use tokio_postgres::Client;

const SOURCE: &str = "
    CREATE TABLE s (id int PRIMARY KEY, v text, tags jsonb);
    INSERT INTO s SELECT n, 'old', '{\"a\": 1}' FROM generate_series(1, 10) AS n";
/// The foreign key is checked; both of its ends come from one source row.
const TARGET: &str = "
    CREATE TABLE t (id int PRIMARY KEY, v text);
    CREATE TABLE tags (id int REFERENCES t, key text, value text, PRIMARY KEY (id, key))";
const MAPPING: &str = "
    INSERT INTO t SELECT id, v FROM s;
    INSERT INTO tags SELECT id, d.key, d.value FROM s CROSS JOIN LATERAL jsonb_each_text(tags) AS d";

/// A site with everything copied, its daemon, a session that locks row 1 of the target, and one that
/// looks.
struct Held {
    site: Site,
    daemon: Daemon,
    holder: Client,
    look: Client,
    /// The source's log ended here between the two changes.
    between: i64,
}

/// Row 1 is changed and cannot be written; then row 2 is changed, and is ready to be committed.
async fn held(name: &str) -> Held {
    // A position at which the source has nothing is recorded in its turn, and takes a session, too.
    let lines = ("", "sessions = 4");
    let site = Site::shared(name, lines, &[SOURCE], TARGET, MAPPING).await;
    site.catch_up().await;
    let daemon = site.run();
    let (holder, look) = (site.at_target().await, site.at_target().await);
    holder.batch_execute("BEGIN; SELECT FROM t WHERE id = 1 FOR UPDATE").await.unwrap();
    let source = site.at_source().await;
    source.batch_execute("UPDATE s SET v = 'new' WHERE id = 1").await.unwrap();
    let end = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";
    let between = number(&source, end).await;
    sessions(&look, "wait_event_type = 'Lock'").await;
    source.batch_execute("UPDATE s SET v = 'new', tags = '{\"b\": 2}' WHERE id = 2").await.unwrap();
    // Other sessions of the daemon are in transactions for moments, too. This one has written the rows.
    sessions(
        &look,
        "state = 'idle in transaction' AND EXISTS (SELECT FROM pg_locks AS l \
                     WHERE l.pid = pg_stat_activity.pid AND l.mode = 'RowExclusiveLock' \
                     AND l.relation = 'tags'::regclass)",
    )
    .await;
    Held { site, daemon, holder, look, between }
}

/// Waits for one session of the daemon in this state.
async fn sessions(look: &Client, state: &str) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name LIKE 'regraft%' AND {state}"
    );
    wait_until(state, DEADLINE, async || match number(look, &sql).await {
        1 => Ok(()),
        count => Err(format!("{count} sessions")),
    })
    .await;
}

async fn changed(look: &Client) -> i64 {
    let sql = "SELECT (SELECT count(*) FROM t WHERE v = 'new') \
               + (SELECT count(*) FROM tags WHERE key = 'b')";
    number(look, sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_written_beside_an_earlier_one_and_commits_after_it() {
    let Held { site, daemon, holder, look, between } = held("sessions_order").await;
    let position =
        "SELECT split_part(position, ':', 2)::pg_lsn - '0/0'::pg_lsn FROM regraft.pipelines";
    let position = format!("SELECT ({position})::bigint");
    // Nothing of the second batch is there for as long as the first one is held.
    for _ in 0..20 {
        assert_eq!(changed(&look).await, 0);
        let position = number(&look, &position).await;
        assert!(position <= between, "{position} is beyond {between}");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    holder.batch_execute("COMMIT").await.unwrap();
    site.settled().await;
    assert_eq!(changed(&look).await, 3);
    site.assert_equal().await;
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_rolled_back_with_the_earlier_one() {
    let Held { site, mut daemon, holder, look, .. } = held("sessions_failure").await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND application_name LIKE 'regraft%' \
                AND wait_event_type = 'Lock'";
    assert_eq!(number(&look, kill).await, 1);
    // The next attempt meets the same lock, with nothing of the second batch in the target.
    wait_until("the session to be gone", DEADLINE, async || {
        let (_, metrics) = daemon.http("/metrics").await?;
        let reconnected = metrics.lines().any(|line| {
            line.starts_with("regraft_reconnects_total") && !line.trim_end().ends_with(" 0")
        });
        if reconnected { Ok(()) } else { Err("no reconnect".to_owned()) }
    })
    .await;
    sessions(&look, "wait_event_type = 'Lock'").await;
    assert_eq!(changed(&look).await, 0);
    holder.batch_execute("COMMIT").await.unwrap();
    site.settled().await;
    assert_eq!(changed(&look).await, 3);
    site.assert_equal().await;
    assert!(daemon.ended().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_one_row_are_written_one_after_the_other() {
    let site = Site::shared("sessions_one_row", ("", ""), &[SOURCE], TARGET, MAPPING).await;
    site.catch_up().await;
    let daemon = site.run();
    let (holder, look) = (site.at_target().await, site.at_target().await);
    holder.batch_execute("BEGIN; SELECT FROM t WHERE id = 1 FOR UPDATE").await.unwrap();
    let source = site.at_source().await;
    source.batch_execute("UPDATE s SET v = 'first' WHERE id = 1").await.unwrap();
    sessions(&look, "wait_event_type = 'Lock'").await;
    // It would wait for the session that waits for it, where the server cannot see it.
    source.batch_execute("UPDATE s SET v = 'second' WHERE id = 1").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    sessions(&look, "wait_event_type = 'Lock'").await;
    holder.batch_execute("COMMIT").await.unwrap();
    site.settled().await;
    site.assert_equal().await;
    drop(daemon);
}
