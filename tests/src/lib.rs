//! What the end-to-end tests share: a source and a target of their own, and the real daemon between
//! them.

pub mod fuzz;
mod layout;
pub mod mutants;
pub mod page;
pub mod regress;
pub mod soak;
pub mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use regraft_core::Lsn;
use regraft_testkit::{
    Binaries, Cluster, ClusterOptions, Daemon, Databases, Example, Finished, Installation,
    MappedTable, Setup, assert_equal_tables, mapped_tables, wait_until,
};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

/// Longer than anything takes on a loaded machine; a test that waits this long has failed.
pub const DEADLINE: Duration = Duration::from_secs(180);
/// The newest major version of PostgreSQL, which `./setup 18` fetches where it is not installed.
pub const NEWEST: u32 = 18;
/// An error that stays this long in the ledger holds the pipeline.
const HELD: Duration = Duration::from_secs(3);

/// A source, a target and an installation of regraft.
pub struct Site {
    /// Cluster of the source.
    pub source: Arc<Cluster>,
    /// Cluster of the target.
    pub target: Arc<Cluster>,
    /// The two databases in them.
    pub databases: Databases,
    /// Folder with configuration and mapping.
    pub installation: Installation,
    /// Text of the mapping.
    pub mapping: String,
}

/// How a site is made.
#[derive(Clone, Default)]
pub struct SiteOptions {
    /// Of the source's cluster.
    pub source: ClusterOptions,
    /// Of the target's cluster.
    pub target: ClusterOptions,
    /// Further tables of `regraft.toml`.
    pub extra: String,
    /// Further lines of its `[target]`.
    pub target_lines: String,
}

impl Site {
    /// Two clusters with the given SQL, and an installation.
    pub async fn new(source_sql: &str, target_sql: &str, mapping: &str) -> Site {
        Self::with(SiteOptions::default(), &[source_sql], target_sql, mapping).await
    }

    /// The same for an example with this many rows.
    pub async fn of_example(example: Example, rows: u64, options: SiteOptions) -> Site {
        let source_sql = [example.source_sql(), &example.seed_sql(rows)];
        Self::with(options, &source_sql, example.target_sql(), example.mapping_sql()).await
    }

    /// The same with options.
    pub async fn with(
        options: SiteOptions,
        source_sql: &[&str],
        target_sql: &str,
        mapping: &str,
    ) -> Site {
        let source = Arc::new(Cluster::start(options.source).await.unwrap());
        let target = Arc::new(Cluster::start(options.target).await.unwrap());
        let lines = (options.extra.as_str(), options.target_lines.as_str());
        Self::on((source, target), "test", lines, source_sql, target_sql, mapping).await
    }

    /// Two databases in clusters that all sites of this process made so share. `name` is of the
    /// pipeline, and tells this site's databases and slot from those of the others; `lines` are
    /// further tables of `regraft.toml`, and further lines of its `[target]`.
    pub async fn shared(
        name: &str,
        lines: (&str, &str),
        source_sql: &[&str],
        target_sql: &str,
        mapping: &str,
    ) -> Site {
        let servers = (Server::Usual, Server::Usual);
        Self::between(servers, name, lines, source_sql, target_sql, mapping).await
    }

    /// The same with a choice of servers.
    pub async fn between(
        (source, target): (Server, Server),
        name: &str,
        lines: (&str, &str),
        source_sql: &[&str],
        target_sql: &str,
        mapping: &str,
    ) -> Site {
        let clusters = (source.cluster().await, target.cluster().await);
        Self::on(clusters, name, lines, source_sql, target_sql, mapping).await
    }

    /// Two databases in these clusters.
    pub async fn on(
        (source, target): (Arc<Cluster>, Arc<Cluster>),
        name: &str,
        (extra, target_lines): (&str, &str),
        source_sql: &[&str],
        target_sql: &str,
        mapping: &str,
    ) -> Site {
        let databases = Databases::make((&source, &target), name, source_sql, target_sql).await;
        let installation = Installation::new(&Setup {
            name: name.to_owned(),
            source_url: databases.source_url.clone(),
            target_url: databases.target_url.clone(),
            mapping: mapping.to_owned(),
            target: target_lines.to_owned(),
            extra: extra.to_owned(),
            ..Setup::default()
        });
        Site { source, target, databases, installation, mapping: mapping.to_owned() }
    }

    /// A connection to the source.
    pub async fn at_source(&self) -> Client {
        regraft_testkit::connect(&self.databases.source_url).await.unwrap()
    }

    /// A connection to the target.
    pub async fn at_target(&self) -> Client {
        regraft_testkit::connect(&self.databases.target_url).await.unwrap()
    }

    /// Starts the daemon.
    pub fn run(&self) -> Daemon {
        self.installation.run()
    }

    /// Runs the daemon until it is caught up.
    pub async fn catch_up(&self) -> Finished {
        let finished = self.installation.command(&["run", "--until-caught-up"], DEADLINE).await;
        assert_eq!(finished.code(), 0, "{}\n{}", finished.stdout, finished.stderr);
        finished
    }

    /// `regraft status --json`.
    pub async fn status(&self) -> Value {
        self.installation.command(&["status", "--json"], DEADLINE).await.json()
    }

    /// Waits until a running daemon has applied everything that is committed at the source now.
    pub async fn settled(&self) {
        self.settled_within(DEADLINE).await;
    }

    /// The same for a pipeline of which much is asked.
    pub async fn settled_within(&self, deadline: Duration) {
        let source = self.at_source().await;
        let target = self.at_target().await;
        // A commit that the stream carries, after all others.
        let sql = "SELECT pg_current_wal_insert_lsn()::text, \
                   pg_logical_emit_message(true, 'test', 'end')";
        let end: Lsn =
            source.query_one(sql, &[]).await.unwrap().get::<_, String>(0).parse().unwrap();
        wait_until("everything to be applied", deadline, async || {
            let sql = "SELECT split_part(position, ':', 2), last_error::text, \
                       (SELECT count(*) FROM regraft.chunks WHERE done_at IS NULL), \
                       (SELECT bool_and(fully_planned) FROM regraft.tables) \
                       FROM regraft.pipelines";
            let row = target.query_opt(sql, &[]).await.map_err(|error| error.to_string())?;
            let row = row.ok_or("no pipeline in the ledger yet")?;
            let position: Lsn = row.get::<_, String>(0).parse().unwrap();
            let error: Option<String> = row.get(1);
            let (open, planned): (i64, Option<bool>) = (row.get(2), row.get(3));
            if position >= end && open == 0 && planned == Some(true) {
                return Ok(());
            }
            Err(format!("position {position} of {end}, {open} chunks open, error {error:?}"))
        })
        .await;
    }

    /// Waits for an error that stays in the ledger, and gives it: the pipeline is held, or ended.
    pub async fn held(&self) -> String {
        let target = self.at_target().await;
        let mut since: Option<(String, Instant)> = None;
        wait_until("an error that stays", DEADLINE * 2, async || {
            let sql = "SELECT last_error->>'what' FROM regraft.pipelines";
            let row = target.query_opt(sql, &[]).await.map_err(|error| error.to_string())?;
            let Some(error) = row.and_then(|row| row.get::<_, Option<String>>(0)) else {
                since = None;
                return Err("no error".to_owned());
            };
            match &since {
                Some((first, at)) if *first == error && at.elapsed() > HELD => Ok(error),
                Some((first, _)) if *first == error => Err(error),
                _ => {
                    since = Some((error.clone(), Instant::now()));
                    Err(error)
                }
            }
        })
        .await
    }

    /// Rows of all target tables.
    pub async fn rows(&self) -> u64 {
        let target = self.at_target().await;
        let mut tables: Vec<_> =
            mapped_tables(&self.mapping).into_iter().map(|t| t.target).collect();
        tables.sort_unstable();
        tables.dedup();
        let mut rows = 0;
        for table in tables {
            let count = number(&target, &format!("SELECT count(*) FROM {table}")).await;
            rows += u64::try_from(count).unwrap();
        }
        rows
    }

    /// Asserts that every target table holds what its SELECT gives; where several statements fill a
    /// table, what they give together.
    pub async fn assert_equal(&self) {
        let (source, target) = (self.at_source().await, self.at_target().await);
        let mut tables: Vec<MappedTable> = Vec::new();
        for statement in mapped_tables(&self.mapping) {
            match tables.iter_mut().find(|table| table.target == statement.target) {
                Some(table) => {
                    assert_eq!(table.columns, statement.columns, "the oracle needs one list");
                    table.select.push_str("\nUNION ALL\n");
                    table.select.push_str(&statement.select);
                }
                None => tables.push(statement),
            }
        }
        assert!(!tables.is_empty(), "the mapping has no statement");
        for MappedTable { target: table, columns, select } in &tables {
            assert_equal_tables(&source, select, &target, table, columns).await;
        }
    }
}

/// A server that tests share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The one that [`Binaries::find`] finds: that of `REGRAFT_PG_BIN`, or of the distribution.
    Usual,
    /// [`NEWEST`].
    Newest,
}

impl Server {
    async fn cluster(self) -> Arc<Cluster> {
        static USUAL: OnceCell<Arc<Cluster>> = OnceCell::const_new();
        static NEW: OnceCell<Arc<Cluster>> = OnceCell::const_new();
        let (cell, binaries) = match self {
            Server::Usual => (&USUAL, None),
            Server::Newest => (&NEW, Some(Binaries::of_major(NEWEST).unwrap())),
        };
        // Slots stay behind.
        let settings = vec![("max_replication_slots".to_owned(), "1000".to_owned())];
        let options = ClusterOptions { binaries, fsync: false, settings, ..Default::default() };
        let start = async || Arc::new(Cluster::start(options).await.unwrap());
        Arc::clone(cell.get_or_init(start).await)
    }
}

/// One number.
pub async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}
