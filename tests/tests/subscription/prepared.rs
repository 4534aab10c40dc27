//! 023: prepared transactions that a server would send while they are under way, also through crashes of both.

use regraft_testkit::{ClusterOptions, StopMode};
use regraft_tests::{Site, SiteOptions};

use crate::is;
use crate::support::{ready, stop};

/// What each transaction does: a row that stays, one that is changed, one that goes again.
const CHANGES: &str =
    "INSERT INTO tab SELECT i, sha256(i::text::bytea) FROM generate_series(3, 5) AS i;
    UPDATE tab SET b = sha256(b) WHERE a % 2 = 0; DELETE FROM tab WHERE a % 3 = 0";
const COUNTS: &str = "SELECT count(*), count(c), count(d = 999) FROM tab";

#[tokio::test(flavor = "multi_thread")]
async fn large_prepared_transactions_come_whole_or_not_at_all() {
    // The server would send every transaction while it is under way, if it were asked for that.
    let settings = [("max_prepared_transactions", "10"), ("logical_decoding_work_mem", "64kB")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let source = ClusterOptions { settings: settings.to_vec(), ..ClusterOptions::default() };
    let options = SiteOptions { source, ..SiteOptions::default() };
    let initial = "CREATE TABLE tab (a int PRIMARY KEY, b bytea); INSERT INTO tab VALUES (1, 'foo'), (2, 'bar');
        CREATE TABLE tab_2 (a int)";
    let target = "CREATE TABLE tab (a int PRIMARY KEY, b bytea, c timestamptz DEFAULT now(), d bigint DEFAULT 999);
        CREATE TABLE tab_2 (a int)";
    let mapping = "INSERT INTO tab (a, b) SELECT a, b FROM tab;
        -- regraft: append-only\nINSERT INTO tab_2 SELECT a FROM tab_2;";
    let site = Site::with(options, &[initial], target, mapping).await;
    let mut daemon = site.run();
    ready(&mut daemon).await;
    site.settled().await;
    let at_source = async |sql: &str| {
        site.at_source().await.batch_execute(sql).await.unwrap();
        site.settled().await;
    };
    let has = async |wanted: &str, what: &str| {
        is(&site.at_target().await, COUNTS, &[wanted], what).await;
    };
    let nothing = async |what: &str| {
        let counts = crate::rows(&site.at_target().await, COUNTS).await;
        assert_eq!(counts, ["2|2|2"], "nothing of what is prepared: {what}");
    };
    let prepare = format!("BEGIN; {CHANGES}; PREPARE TRANSACTION 'one'");
    has("2|2|2", "copied").await;
    at_source(&prepare).await;
    nothing("to be committed").await;
    at_source("COMMIT PREPARED 'one'").await;
    has("4|4|4", "committed").await;

    at_source("DELETE FROM tab WHERE a > 2").await;
    at_source(&prepare).await;
    nothing("to be rolled back").await;
    at_source("ROLLBACK PREPARED 'one'").await;
    has("2|2|2", "rolled back").await;

    site.at_source().await.batch_execute(&prepare).await.unwrap();
    site.target.stop(StopMode::Immediate).await.unwrap();
    site.source.stop(StopMode::Immediate).await.unwrap();
    site.source.start_again().await.unwrap();
    site.target.start_again().await.unwrap();
    at_source("COMMIT PREPARED 'one'").await;
    has("4|4|4", "committed after both servers crashed").await;

    at_source("DELETE FROM tab WHERE a > 2").await;
    at_source(&prepare).await;
    at_source("INSERT INTO tab VALUES (99999, 'foobar')").await;
    at_source("ROLLBACK PREPARED 'one'").await;
    has("3|3|3", "rolled back, with a row between").await;
    at_source("DELETE FROM tab WHERE a > 2").await;
    at_source(&prepare).await;
    at_source("INSERT INTO tab VALUES (99999, 'foobar')").await;
    at_source("COMMIT PREPARED 'one'").await;
    has("5|5|5", "committed, with a row between").await;

    at_source("BEGIN; INSERT INTO tab_2 VALUES (1); PREPARE TRANSACTION 'two'").await;
    at_source("COMMIT PREPARED 'two'").await;
    let target = site.at_target().await;
    is(&target, "SELECT count(*) FROM tab_2", &["1"], "rows without a key").await;
    site.assert_equal().await;
    stop(daemon).await;

    let removed =
        site.installation.command(&["teardown", "--apply"], regraft_tests::DEADLINE).await;
    assert_eq!(removed.code(), 0, "{}", removed.stderr);
    is(&target, "SELECT count(*) FROM regraft.pipelines", &["0"], "the pipeline is gone").await;
    let slots = "SELECT count(*) FROM pg_replication_slots";
    is(&site.at_source().await, slots, &["0"], "the slot is gone").await;
    is(&target, "SELECT count(*) FROM regraft.tables", &["0"], "what was known of tables is gone")
        .await;
}
