//! Positions are believed only where they can be true.

use std::process::Command;

use regraft_core::contract::ChangeStream;
use regraft_core::{Change, Event, Lsn, Origin, Transaction};
use regraft_postgres::Endpoint;
use regraft_testkit::{Cluster, ClusterOptions, StopMode};
use regraft_tests::number;

use crate::support::{Case, Given, assert_says, ready, servers, stop, until_true};

/// Refused until everything is copied anew, which works as it is printed.
async fn only_recopy_heals(case: &Case, parts: &[&str]) {
    for _ in 0..2 {
        let finished = case.run_once().await;
        assert_says(&finished, 4, "RG2018", parts);
        assert_says(&finished, 4, "RG2018", &["source (127.0.0.1:", "--recopy all"]);
    }
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "all"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
    case.at_source("UPDATE items SET amount = -amount WHERE id BETWEEN 3 AND 9").await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_beyond_the_end_of_the_log_is_refused_and_a_copy_anew_heals() {
    let case = Case::usual().await;
    case.catch_up().await;
    case.at_target("UPDATE regraft.pipelines SET position = 'lsn:FFFF/0'").await;
    case.at_source("UPDATE items SET amount = 7 WHERE id = 3").await;
    only_recopy_heals(&case, &["position"]).await;
}

/// Copies a stopped cluster's folder, and gives the folder of the copy.
fn copy(cluster: &Cluster) -> std::path::PathBuf {
    let to = cluster.data_folder().with_extension("before");
    let copied = Command::new("cp").arg("-a").arg(cluster.data_folder()).arg(&to).status().unwrap();
    assert!(copied.success());
    to
}

fn put_back(cluster: &Cluster, from: &std::path::Path, promoted: bool) {
    let data = cluster.data_folder();
    std::fs::rename(data, data.with_extension("after")).unwrap();
    std::fs::rename(from, data).unwrap();
    if promoted {
        // As its owner would make it.
        let signal = data.join("recovery.signal");
        let made = Command::new("cp").arg("-p").arg(data.join("PG_VERSION")).arg(signal).status();
        assert!(made.unwrap().success());
        cluster.configure_next(&[("restore_command", "false")]).unwrap();
    }
}

/// A source that is put back to an earlier state, with its slot, and has written more than before since.
struct Restored {
    source: Cluster,
    case: Case,
}

impl Restored {
    /// `meanwhile` was in its log, and is not any more.
    async fn after(meanwhile: &str, promoted: bool) -> Self {
        let source = Cluster::start(ClusterOptions::default()).await.unwrap();
        let case = Case::between(&source, &servers().await.1, Given::default()).await;
        case.catch_up().await;
        source.stop(StopMode::Fast).await.unwrap();
        let before = copy(&source);
        let mut restored = Self { source, case };
        restored.start_and(meanwhile).await;
        restored.case.catch_up().await;
        restored.case.assert_equal().await;
        restored.source.stop(StopMode::Fast).await.unwrap();
        put_back(&restored.source, &before, promoted);
        restored
    }

    async fn start_and(&mut self, sql: &str) {
        start_again(&self.source, &mut self.case).await;
        self.case.at_source(sql).await;
    }

    async fn is_refused(&self, says: &str) {
        // What was found is not forgotten.
        for says in [says, "position"] {
            let finished = self.case.run_once().await;
            assert_says(&finished, 4, "RG2018", &["source (127.0.0.1:", "--resync all", says]);
        }
    }

    async fn heals(&self, way: &str) {
        let mut daemon = self.case.installation.start(&["run", way, "all"]);
        ready(&mut daemon).await;
        mended(&self.case).await;
        stop(daemon).await;
        self.case.at_source("UPDATE items SET amount = -amount WHERE id % 3 = 1").await;
        self.case.catch_up().await;
        self.case.assert_equal().await;
    }
}

async fn start_again(source: &Cluster, case: &mut Case) {
    source.start_again().await.unwrap();
    let client = source.client(&format!("{}_legacy", case.name)).await.unwrap();
    until_true(&client, "the end of recovery", "SELECT NOT pg_is_in_recovery()").await;
    case.databases.source = client;
}

const LOST: &str = "INSERT INTO items SELECT i, 'lost', i FROM generate_series(100, 300) AS i";
/// More log than what was lost.
const KEPT: &str = "INSERT INTO items SELECT i, 'kept', i FROM generate_series(700, 900) AS i;
                    CREATE TABLE kept AS SELECT repeat('x', 500) FROM generate_series(1, 20000)";

async fn mended(case: &Case) {
    let sql = "SELECT coalesce(bool_and(finished_at IS NOT NULL), true) \
               AND NOT EXISTS (SELECT FROM regraft.findings WHERE state = 'open') FROM regraft.verifications";
    until_true(&case.databases.target, "everything to be mended", sql).await;
}

/// Rows of a past that the source does not have any more are removed, missing ones come, and readers of the
/// target never see it empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_resync_goes_on_from_now_and_mends_what_differs() {
    let wide = "CREATE TABLE items (id bigint PRIMARY KEY, name text, amount integer, at timestamptz, doc text);
                ALTER TABLE items ALTER doc SET STORAGE EXTERNAL;
                INSERT INTO items SELECT i, 'n' || i, i, NULL, repeat('d', 9000) FROM generate_series(1, 500) AS i";
    let case = Case::of(Given {
        source: wide,
        target: "CREATE TABLE goods (id bigint PRIMARY KEY, name text, amount integer, doc text)",
        mapping: "INSERT INTO goods SELECT id, name, amount, doc FROM items",
        ..Given::default()
    })
    .await;
    case.catch_up().await;
    // The slot is lost with changes of each kind in it.
    case.at_source(&format!("SELECT pg_drop_replication_slot('{}')", case.slot())).await;
    case.at_source(
        "DELETE FROM items WHERE id % 10 = 3; UPDATE items SET amount = -1 WHERE id % 10 = 5;
         INSERT INTO items SELECT i, 'new', i, NULL, repeat('e', 9000) FROM generate_series(501, 600) AS i;
         UPDATE items SET id = id + 5000 WHERE id % 50 = 7",
    )
    .await;
    assert_says(&case.run_once().await, 4, "RG2008", &["--resync all"]);
    let mut daemon = case.installation.start(&["run", "--resync", "all"]);
    ready(&mut daemon).await;
    assert!(number(&case.databases.target, "SELECT count(*) FROM goods").await >= 490);
    // Changes in part of rows that the target lacks must not stop it.
    case.at_source("UPDATE items SET amount = amount + 1 WHERE id > 550").await;
    mended(&case).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
    case.at_source("UPDATE items SET amount = 0 WHERE id = 9").await;
    case.catch_up().await;
    case.assert_equal().await;
}

/// However many they are; and nobody is told that they are there before they are.
#[tokio::test(flavor = "multi_thread")]
async fn all_rows_are_mended_when_it_says_ready() {
    let case = Case::of(Given {
        source: "CREATE TABLE items (id bigint PRIMARY KEY, name text);
                 INSERT INTO items SELECT i, 'n' || i FROM generate_series(1, 20000) AS i",
        target: "CREATE TABLE goods (id bigint PRIMARY KEY, name text)",
        mapping: "INSERT INTO goods SELECT id, name FROM items",
        ..Given::default()
    })
    .await;
    case.catch_up().await;
    case.at_target("DELETE FROM goods WHERE id > 5; INSERT INTO goods SELECT -i, 's' FROM generate_series(1, 99) AS i")
        .await;
    let mut daemon = case.installation.start(&["run", "--resync", "all"]);
    ready(&mut daemon).await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_restored_on_another_timeline_is_refused() {
    let mut restored = Restored::after(LOST, true).await;
    restored.start_and(KEPT).await;
    restored.is_refused("position").await;
    restored.heals("--recopy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_disk_was_put_back_is_refused_also_when_its_log_has_grown() {
    let mut restored = Restored::after(LOST, false).await;
    restored.start_and("").await;
    // Before its log has grown again.
    restored.is_refused("position").await;
    restored.source.stop(StopMode::Fast).await.unwrap();
    restored.start_and(KEPT).await;
    restored.is_refused("position").await;
    restored.heals("--recopy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_disk_was_put_back_is_refused_also_when_nobody_saw_it_before_its_log_had_grown()
 {
    let mut restored = Restored::after(LOST, false).await;
    restored.start_and(KEPT).await;
    restored.is_refused("the last commit that the target has").await;
    restored.heals("--resync").await;
}

/// Nothing of the mapping's tables was lost with the past that the target knows; but what the source has
/// written since, before it got to the position, would never come.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_disk_was_put_back_is_refused_also_when_it_has_lost_other_tables_only() {
    let other = "CREATE TABLE other AS SELECT repeat('x', 500) FROM generate_series(1, 10000)";
    let mut restored = Restored::after(other, false).await;
    restored.start_and(KEPT).await;
    restored.is_refused("the last commit that the target has").await;
    restored.heals("--resync").await;
}

/// A slot that is behind the target sends again what the target has, in whatever shape it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_may_have_had_a_shape_that_the_mapping_does_not_fit() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let mut case = Case::between(&source, &servers().await.1, Given::default()).await;
    case.catch_up().await;
    case.at_source("UPDATE items SET amount = 7 WHERE id = 3").await;
    case.catch_up().await;
    // A server that crashes forgets what was confirmed since the last checkpoint.
    source.stop(StopMode::Immediate).await.unwrap();
    start_again(&source, &mut case).await;
    let sql = "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots";
    let confirmed = number(&case.databases.source, sql).await;
    let sql =
        "SELECT (split_part(commit_at, ':', 2)::pg_lsn - '0/0')::bigint FROM regraft.pipelines";
    assert!(confirmed <= number(&case.databases.target, sql).await);
    case.at_source("ALTER TABLE items ADD COLUMN extra text DEFAULT 'e'").await;
    case.at_target("ALTER TABLE goods ADD COLUMN extra text DEFAULT 'e'").await;
    case.mapping = "INSERT INTO goods SELECT id, name, amount, extra FROM items".to_owned();
    case.installation.write_mapping(&case.mapping);
    case.at_source("UPDATE items SET extra = 'f' WHERE id = 3").await;
    let finished = case.regraft(&["run", "--until-caught-up", "--accept-mapping"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
}

/// What is asked for again was written before there was the publication that is used now.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_is_not_asked_of_another_publication() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let given = Given { extra: "[verify]\nenabled = false\n", ..Given::default() };
    let mut case = Case::between(&source, &servers().await.1, given).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("CHECKPOINT; UPDATE items SET amount = 7 WHERE id = 3").await;
    until_true(&case.databases.target, "the change", "SELECT amount = 7 FROM goods WHERE id = 3")
        .await;
    source.stop(StopMode::Immediate).await.unwrap();
    daemon.kill9();
    drop(daemon);
    start_again(&source, &mut case).await;
    case.at_source(
        "CREATE PUBLICATION theirs FOR TABLE items WITH (publish_via_partition_root = true)",
    )
    .await;
    let other = case.another(|setup| {
        setup.source = "publication = \"theirs\"\n".to_owned();
        setup.extra = "[verify]\nenabled = false\n".to_owned();
    });
    let run = &["run", "--until-caught-up", "--accept-mapping"];
    let finished = other.command(run, regraft_tests::DEADLINE).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.at_source("UPDATE items SET amount = 8 WHERE id = 4").await;
    let finished = other.command(&["run", "--until-caught-up"], regraft_tests::DEADLINE).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
}

/// A promotion that lost nothing is no reason to stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_that_was_left_behind_the_position_is_followed() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    case.catch_up().await;
    source.stop(StopMode::Fast).await.unwrap();
    let same = copy(&source);
    put_back(&source, &same, true);
    source.start_again().await.unwrap();
    let client = source.client(&format!("{}_legacy", case.name)).await.unwrap();
    until_true(&client, "the end of recovery", "SELECT NOT pg_is_in_recovery()").await;
    client.batch_execute("UPDATE items SET amount = 99 WHERE id = 4").await.unwrap();
    case.catch_up().await;
    let sql = "SELECT count(*) FROM goods WHERE amount = 99";
    assert_eq!(number(&case.databases.target, sql).await, 1);
    let sql = "SELECT source_timeline::bigint FROM regraft.pipelines";
    assert_eq!(number(&case.databases.target, sql).await, 2);
}

/// Where a transaction was committed first is known before its first change.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_tell_their_origin() {
    let case = Case::usual().await;
    case.at_source("CREATE PUBLICATION p FOR TABLE items").await;
    case.at_source("SELECT pg_create_logical_replication_slot('origins', 'pgoutput')").await;
    case.at_source(
        "SELECT pg_replication_origin_create('elsewhere');
         SELECT pg_replication_origin_session_setup('elsewhere');
         BEGIN; SELECT pg_replication_origin_xact_setup('0/AB', now()); DELETE FROM items WHERE id = 1; COMMIT;
         SELECT pg_replication_origin_session_reset();
         DELETE FROM items WHERE id = 2",
    )
    .await;
    let endpoint = Endpoint::parse(&case.databases.source_url).unwrap();
    let wire = endpoint.connect_replication("test").await.unwrap();
    let mut stream =
        wire.start("origins", Lsn(0), &["p".to_owned()], Default::default()).await.unwrap();
    let (mut origins, mut deleted) = (Vec::new(), 0);
    while deleted < 2 {
        for event in stream.next().await.unwrap() {
            match event {
                Event::Begin(Transaction { origin, .. }) => {
                    origins.push(origin.map(|Origin { name, at }| (name.to_string(), at)));
                }
                Event::Change(Change::Delete { .. }) => deleted += 1,
                _ => {}
            }
        }
    }
    assert_eq!(origins, [Some(("elsewhere".to_owned(), Lsn(0xAB).into())), None]);
    stream.close().await.unwrap();
    case.at_source("SELECT pg_replication_origin_drop('elsewhere')").await;
}
