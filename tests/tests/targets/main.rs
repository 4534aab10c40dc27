//! Several targets that one slot feeds.

mod commands;
mod exact;

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use regraft_testkit::{
    Cluster, Daemon, Example, Installation, assert_equal_mapping, connect, wait_until,
};
use regraft_tests::DEADLINE;
use serde_json::Value;
use tokio_postgres::Client;

/// A source, and targets of the same tables: the first one plain, the others called `b`, `c` …
pub(crate) struct Fanned {
    /// Name of the pipeline.
    pub(crate) name: String,
    pub(crate) source: Client,
    pub(crate) source_url: String,
    /// Addresses, in order.
    pub(crate) targets: Vec<String>,
    /// About the first target alone.
    pub(crate) mapping: String,
    pub(crate) installation: Installation,
}

/// What the targets are called; the first one has no name.
const NAMES: [&str; 3] = ["", "b", "c"];

impl Fanned {
    /// Makes databases `NAME`, `NAME_0` … on these servers.
    pub(crate) async fn make(
        name: &str,
        (source, source_sql): (&Cluster, &str),
        (targets, target_sql): (&[&Cluster], &str),
        mapping: &str,
    ) -> Self {
        source.create_database(name).await.unwrap();
        let client = source.client(name).await.unwrap();
        client.batch_execute(source_sql).await.unwrap();
        let mut urls = Vec::new();
        for (at, cluster) in targets.iter().enumerate() {
            let database = format!("{name}_{at}");
            cluster.create_database(&database).await.unwrap();
            let target = cluster.client(&database).await.unwrap();
            target.batch_execute(target_sql).await.unwrap();
            urls.push(cluster.url(&database));
        }
        let fanned = Self {
            name: name.to_owned(),
            source: client,
            source_url: source.url(name),
            targets: urls,
            mapping: mapping.to_owned(),
            installation: Installation::new(&regraft_testkit::Setup::default()),
        };
        fanned.configure(&fanned.targets, "", "");
        fanned
    }

    /// Of an example, with so many rows.
    pub(crate) async fn of_example(
        name: &str,
        example: Example,
        rows: u64,
        source: &Cluster,
        targets: &[&Cluster],
    ) -> Self {
        let sql = format!("{};{}", example.source_sql(), example.seed_sql(rows));
        let targets = (targets, example.target_sql());
        Self::make(name, (source, &sql), targets, example.mapping_sql()).await
    }

    /// Writes configuration and mapping for targets at these addresses; `lines` are of each target but the first.
    pub(crate) fn configure(&self, targets: &[String], lines: &str, extra: &str) {
        let mut config = format!("name = {:?}\n[source]\nurl = {:?}\n", self.name, self.source_url);
        let mut mapping = String::new();
        for (url, name) in targets.iter().zip(NAMES) {
            let (table, lines, into) = match name {
                "" => ("target".to_owned(), "", "INSERT INTO ".to_owned()),
                name => (format!("targets.{name}"), lines, format!("INSERT INTO {name}.")),
            };
            config.push_str(&format!("[{table}]\nurl = {url:?}\n{lines}\n"));
            mapping.push_str(&self.mapping.replace("INSERT INTO ", &into));
        }
        let port = self.installation.http_port();
        config.push_str(&format!(
            "[mapping]\nfile = \"mapping.sql\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n{extra}\n"
        ));
        self.installation.write_config(&config);
        self.installation.write_mapping(&mapping);
    }

    /// What the ledger of a target calls the pipeline.
    pub(crate) fn ledger(&self, target: usize) -> String {
        match NAMES[target] {
            "" => self.name.clone(),
            name => format!("{}.{name}", self.name),
        }
    }

    /// That a target has everything that the source has now, and nothing else.
    pub(crate) async fn assert_exact(&self, target: usize) {
        let client = connect(&self.targets[target]).await.unwrap();
        support::settled(&self.source, &client, &self.ledger(target)).await;
        assert_equal_mapping(&self.source, &client, &self.mapping).await;
    }

    /// Waits until the daemon tells of a target what is looked for.
    pub(crate) async fn until(
        &self,
        daemon: &Daemon,
        target: usize,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) {
        wait_until(what, DEADLINE, async || {
            let told = told(daemon, target).await?;
            if is(&told) { Ok(()) } else { Err(format!("{told:#}\n{}", daemon.log())) }
        })
        .await;
    }

    /// How the daemon gets at the changes for a target.
    pub(crate) async fn until_stream(&self, daemon: &Daemon, target: usize, stream: &str) {
        let what = format!("the target {target} to be {stream}");
        self.until(daemon, target, &what, |told| told["stream"] == stream).await;
    }

    /// What the slot has confirmed, in bytes of log.
    pub(crate) async fn confirmed(&self) -> i64 {
        let sql = "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots \
                   WHERE slot_name = $1";
        let slot = format!("regraft_{}", self.name);
        self.source.query_one(sql, &[&slot]).await.unwrap().get(0)
    }
}

/// What the daemon tells of a target.
pub(crate) async fn told(daemon: &Daemon, target: usize) -> Result<Value, String> {
    let (_, body) = daemon.http("/api/v1/status").await?;
    let told: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
    Ok(told["targets"][target].clone())
}

/// A stop takes as long for several targets as for one.
pub(crate) async fn stop(mut daemon: Daemon) {
    let status = daemon.terminate(Duration::from_secs(8)).await;
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
}
