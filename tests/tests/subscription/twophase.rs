//! 021: prepared transactions through crashes of the servers, and without a copy. 022: from a server to the next.

use regraft_testkit::{Cluster, ClusterOptions, Daemon, StopMode, connect};
use regraft_tests::{Site, SiteOptions};

use tokio_postgres::Client;

use crate::support::{Case, Given, ready, stop, until_true};
use crate::{copies, is};

/// A source that lets transactions be prepared, and spills what it decodes after 64 kB.
pub(crate) fn preparing() -> ClusterOptions {
    let settings = [("max_prepared_transactions", "10"), ("logical_decoding_work_mem", "64kB")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    ClusterOptions { settings, ..ClusterOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_transactions_outlive_crashes() {
    let table = "CREATE TABLE tab (a int PRIMARY KEY)";
    let options = SiteOptions { source: preparing(), ..SiteOptions::default() };
    let site = Site::with(options, &[table], table, "INSERT INTO tab SELECT a FROM tab;").await;
    let mut daemon = site.run();
    ready(&mut daemon).await;
    let (source, target) = (&site.source, &site.target);
    let both: &[&Cluster] = &[source, target];
    for (crashed, first, end, rows, what) in [
        (both, 12, "ROLLBACK", "0", "rolled back after a crash of both"),
        (both, 12, "COMMIT", "2", "committed after a crash of both"),
        (&both[1..], 14, "COMMIT", "2", "committed after a crash of the target"),
        (&both[..1], 16, "COMMIT", "2", "committed after a crash of the source"),
    ] {
        let prepare = format!(
            "BEGIN; INSERT INTO tab VALUES ({first}), ({first} + 1); PREPARE TRANSACTION 'held'"
        );
        site.at_source().await.batch_execute(&prepare).await.unwrap();
        for server in crashed.iter().rev() {
            server.stop(StopMode::Immediate).await.unwrap();
        }
        for server in crashed {
            server.start_again().await.unwrap();
        }
        site.at_source().await.batch_execute(&format!("{end} PREPARED 'held'")).await.unwrap();
        site.settled().await;
        let found = format!("SELECT count(*) FROM tab WHERE a IN ({first}, {first} + 1)");
        is(&site.at_target().await, &found, &[rows], what).await;
    }
    // One that changes nothing.
    let source = site.at_source().await;
    for end in ["COMMIT", "ROLLBACK"] {
        source
            .batch_execute(
                "BEGIN; SELECT a FROM tab WHERE a = 12 FOR SHARE; PREPARE TRANSACTION 'nothing'",
            )
            .await
            .unwrap();
        source.batch_execute(&format!("{end} PREPARED 'nothing'")).await.unwrap();
    }
    source.batch_execute("INSERT INTO tab VALUES (31)").await.unwrap();
    site.settled().await;
    let found = "SELECT count(*) FROM tab WHERE a = 31";
    is(&site.at_target().await, found, &["1"], "after one that changes nothing").await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_transactions_come_without_a_copy() {
    let table = "CREATE TABLE tab (a int PRIMARY KEY)";
    let options = SiteOptions {
        source: preparing(),
        extra: "[backfill]\nenabled = false".to_owned(),
        ..SiteOptions::default()
    };
    let rows = "INSERT INTO tab SELECT generate_series(1, 5)";
    let site = Site::with(
        options,
        &[table, rows],
        &format!("{table}; INSERT INTO tab VALUES (88)"),
        "INSERT INTO tab SELECT a FROM tab;",
    )
    .await;
    let (source, target) = (site.at_source().await, site.at_target().await);
    let count = "SELECT count(*) FROM tab";
    is(&target, count, &["1"], "a row of the target's own").await;
    let mut daemon = site.run();
    ready(&mut daemon).await;
    streamed(&source, &target).await;
    is(&target, count, &["1"], "nothing is copied").await;
    source
        .batch_execute("BEGIN; INSERT INTO tab VALUES (99); PREPARE TRANSACTION 'one'")
        .await
        .unwrap();
    streamed(&source, &target).await;
    source.batch_execute("COMMIT PREPARED 'one'").await.unwrap();
    streamed(&source, &target).await;
    is(&target, count, &["2"], "what is committed comes").await;
    stop(daemon).await;
}

/// Waits until what is committed now was streamed; without a copy no table is ever planned.
async fn streamed(source: &Client, target: &Client) {
    let sql =
        "SELECT pg_current_wal_insert_lsn()::text, pg_logical_emit_message(true, 'test', 'end')";
    let end: String = source.query_one(sql, &[]).await.unwrap().get(0);
    let there =
        format!("SELECT split_part(position, ':', 2)::pg_lsn >= '{end}' FROM regraft.pipelines");
    until_true(target, "everything to be streamed", &there).await;
}

/// From A to B, and from there to C.
struct Cascade {
    first: Case,
    second: Case,
    daemons: [Daemon; 2],
}

impl Cascade {
    async fn of(servers: (&Cluster, &Cluster), source: &str, target: &str, mapping: &str) -> Self {
        let given = Given { source, target, mapping, ..Given::default() };
        let first = Case::between(servers.0, servers.1, given).await;
        let given = Given { source: "", target, mapping, ..Given::default() };
        let mut second = Case::between(servers.1, servers.0, given).await;
        let config = std::fs::read_to_string(second.installation.path("regraft.toml")).unwrap();
        let (empty, middle) = (format!("{}_legacy", second.name), format!("{}_modern", first.name));
        second.installation.write_config(&config.replace(&empty, &middle));
        second.databases.source_url = first.databases.target_url.clone();
        second.databases.source = connect(&second.databases.source_url).await.unwrap();
        let mut daemons = [first.installation.run(), second.installation.run()];
        for daemon in &mut daemons {
            ready(daemon).await;
        }
        Self { first, second, daemons }
    }

    async fn at_source(&self, sql: &str) {
        self.first.at_source(sql).await;
        self.first.settled().await;
        self.second.settled().await;
    }

    /// Of both B and C.
    async fn both(&self, query: &str, wanted: &[&str], what: &str) {
        for case in [&self.first, &self.second] {
            is(&case.databases.target, query, wanted, what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_transactions_go_from_server_to_server() {
    let (one, two) = tokio::join!(Cluster::start(preparing()), Cluster::start(preparing()));
    let (one, two) = (one.unwrap(), two.unwrap());
    let source = "CREATE TABLE rep (a int PRIMARY KEY); INSERT INTO rep SELECT generate_series(1, 10);
        CREATE TABLE tab (a int PRIMARY KEY, b bytea); INSERT INTO tab VALUES (1, 'foo'), (2, 'bar')";
    let target = "CREATE TABLE rep (a int PRIMARY KEY);
        CREATE TABLE tab (a int PRIMARY KEY, b bytea, c timestamptz DEFAULT now(), d bigint DEFAULT 999)";
    let mapping = copies(&[("rep", "a"), ("tab", "a, b")]);
    let cascade = Cascade::of((&one, &two), source, target, &mapping).await;
    cascade.at_source("BEGIN; INSERT INTO rep VALUES (11); PREPARE TRANSACTION 'one'").await;
    cascade.at_source("COMMIT PREPARED 'one'").await;
    cascade.both("SELECT count(*) FROM rep WHERE a = 11", &["1"], "committed").await;
    cascade.at_source("BEGIN; INSERT INTO rep VALUES (12); PREPARE TRANSACTION 'two'").await;
    cascade.at_source("ROLLBACK PREPARED 'two'").await;
    cascade.both("SELECT count(*) FROM rep WHERE a = 12", &["0"], "rolled back").await;
    cascade
        .at_source(
            "BEGIN; INSERT INTO rep VALUES (21); SAVEPOINT inner_; INSERT INTO rep VALUES (22);
             ROLLBACK TO SAVEPOINT inner_; PREPARE TRANSACTION 'outer'",
        )
        .await;
    cascade.at_source("COMMIT PREPARED 'outer'").await;
    cascade.both("SELECT a FROM rep WHERE a IN (21, 22)", &["21"], "with a savepoint").await;

    let many =
        "INSERT INTO tab SELECT i, sha256(i::text::bytea) FROM generate_series(3, 5000) AS i;
        UPDATE tab SET b = sha256(b) WHERE a % 2 = 0; DELETE FROM tab WHERE a % 3 = 0;";
    cascade.at_source(&format!("BEGIN; {many} PREPARE TRANSACTION 'many'")).await;
    cascade.at_source("COMMIT PREPARED 'many'").await;
    let counts = "SELECT count(*), count(c), count(d = 999) FROM tab";
    cascade.both(counts, &["3334|3334|3334"], "a large one, and values of the target's own").await;
    cascade.first.assert_equal().await;
    cascade.second.assert_equal().await;
    cascade.at_source("DELETE FROM tab WHERE a > 2").await;
    cascade
        .at_source(&format!(
            "BEGIN; INSERT INTO tab VALUES (9999, 'foobar'); SAVEPOINT inner_; {many} ROLLBACK TO SAVEPOINT inner_;
             PREPARE TRANSACTION 'outer'"
        ))
        .await;
    cascade.at_source("COMMIT PREPARED 'outer'").await;
    cascade.both("SELECT count(*) FROM tab WHERE b = 'foobar'", &["1"], "before a savepoint").await;
    cascade.both("SELECT count(*) FROM tab", &["3"], "nothing after it").await;

    let Cascade { first, second, daemons } = cascade;
    for daemon in daemons {
        stop(daemon).await;
    }
    for case in [&second, &first] {
        assert_eq!(case.regraft(&["teardown", "--apply"]).await.code(), 0);
        let target = &case.databases.target;
        is(target, "SELECT count(*) FROM regraft.pipelines", &["0"], "no pipeline is left").await;
        is(target, "SELECT count(*) FROM regraft.tables", &["0"], "no state of tables is left")
            .await;
        let slots = "SELECT count(*) FROM pg_replication_slots";
        is(&case.databases.source, slots, &["0"], "no slot is left").await;
    }
}
