//! Many small pipelines between two servers that all tests of a program share, and what every test
//! asks of the daemon's words: a code, a place, a remedy, and no secret.

#![allow(dead_code, reason = "each program of tests uses its part")]

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use regraft_core::Lsn;
use regraft_testkit::{
    Cluster, ClusterOptions, Daemon, Databases, Finished, Installation, Setup,
    assert_equal_mapping, wait_until,
};
use regraft_tests::DEADLINE;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

/// Stands in every connection string of [`Case`]; the servers do not ask for it.
pub(crate) const PASSWORD: &str = "geheim-5kLq";
/// Part of every text value of [`SOURCE`].
pub(crate) const VALUE: &str = "rowvalue4711";

/// A table of a few types with twenty rows.
pub(crate) const SOURCE: &str = "
    CREATE TABLE items (id bigint PRIMARY KEY, name text, amount integer, at timestamptz);
    INSERT INTO items
    SELECT i, 'rowvalue4711-' || i, i, timestamptz '2026-01-01' + i * interval '1 h'
    FROM generate_series(1, 20) AS i";
/// What [`MAPPING`] fills.
pub(crate) const TARGET: &str =
    "CREATE TABLE goods (id bigint PRIMARY KEY, name text, amount integer)";
/// From one to the other.
pub(crate) const MAPPING: &str = "INSERT INTO goods\nSELECT id, name, amount\nFROM items;\n";

static SERVERS: OnceCell<(Cluster, Cluster)> = OnceCell::const_new();
static CASES: AtomicUsize = AtomicUsize::new(0);

/// The two servers; they end with this process.
pub(crate) async fn servers() -> &'static (Cluster, Cluster) {
    SERVERS
        .get_or_init(async || {
            let settings = [
                ("max_replication_slots", "200"),
                ("max_wal_senders", "60"),
                ("max_connections", "400"),
                // The tests look at what the daemon waits for, not at the disk.
                ("fsync", "off"),
            ];
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let options =
                ClusterOptions { settings: settings.to_vec(), ..ClusterOptions::default() };
            let (source, target) = (Cluster::start(options.clone()), Cluster::start(options));
            let (source, target) = tokio::join!(source, target);
            (source.unwrap(), target.unwrap())
        })
        .await
}

/// What a [`Case`] is made of.
pub(crate) struct Given<'a> {
    /// SQL for the source.
    pub(crate) source: &'a str,
    /// SQL for the target.
    pub(crate) target: &'a str,
    /// The mapping.
    pub(crate) mapping: &'a str,
    /// Further lines of `[source]`.
    pub(crate) source_lines: &'a str,
    /// Further tables of `regraft.toml`.
    pub(crate) extra: &'a str,
}

impl Default for Given<'_> {
    fn default() -> Self {
        Self { source: SOURCE, target: TARGET, mapping: MAPPING, source_lines: "", extra: "" }
    }
}

/// A pipeline of its own between two databases of its own. When it goes, everything that was
/// printed is searched for secrets.
pub(crate) struct Case {
    /// Name of the pipeline, and of its slot after `regraft_`.
    pub(crate) name: String,
    /// The databases, with connections of the superuser.
    pub(crate) databases: Databases,
    /// Configuration and mapping.
    pub(crate) installation: Installation,
    /// The mapping as it was at first.
    pub(crate) mapping: String,
    /// What must not be printed, beside [`PASSWORD`] and [`VALUE`].
    pub(crate) secrets: Vec<String>,
}

impl Case {
    /// Of the usual table.
    pub(crate) async fn usual() -> Case {
        Case::of(Given::default()).await
    }

    /// Of this mapping over the usual source.
    pub(crate) async fn mapped(target: &str, mapping: &str) -> Case {
        Case::of(Given { target, mapping, ..Given::default() }).await
    }

    /// In the shared servers.
    pub(crate) async fn of(given: Given<'_>) -> Case {
        let (source, target) = servers().await;
        Case::between(source, target, given).await
    }

    /// In these servers.
    pub(crate) async fn between(source: &Cluster, target: &Cluster, given: Given<'_>) -> Case {
        let name = format!("case{}", CASES.fetch_add(1, Ordering::Relaxed));
        let databases =
            Databases::make((source, target), &name, &[given.source], given.target).await;
        let setup = Setup {
            name: name.clone(),
            source_url: with_user(&databases.source_url, "postgres"),
            target_url: with_user(&databases.target_url, "postgres"),
            mapping: given.mapping.to_owned(),
            source: given.source_lines.to_owned(),
            extra: given.extra.to_owned(),
            ..Setup::default()
        };
        let mapping = given.mapping.to_owned();
        let installation = Installation::new(&setup);
        Case { name, databases, installation, mapping, secrets: Vec::new() }
    }

    /// The slot's name.
    pub(crate) fn slot(&self) -> String {
        format!("regraft_{}", self.name)
    }

    /// A second installation of the same pipeline, as on another machine.
    pub(crate) fn another(&self, change: impl FnOnce(&mut Setup)) -> Installation {
        let mut setup = Setup {
            name: self.name.clone(),
            source_url: with_user(&self.databases.source_url, "postgres"),
            target_url: with_user(&self.databases.target_url, "postgres"),
            mapping: self.mapping.clone(),
            ..Setup::default()
        };
        change(&mut setup);
        Installation::new(&setup)
    }

    /// Runs a command.
    pub(crate) async fn regraft(&self, arguments: &[&str]) -> Finished {
        self.installation.command(arguments, DEADLINE).await
    }

    /// Runs until caught up.
    pub(crate) async fn run_once(&self) -> Finished {
        self.regraft(&["run", "--until-caught-up"]).await
    }

    /// The same, which has to succeed.
    pub(crate) async fn catch_up(&self) {
        let finished = self.run_once().await;
        assert_eq!(finished.code(), 0, "{}\n{}", finished.stdout, finished.stderr);
    }

    /// SQL at the source.
    pub(crate) async fn at_source(&self, sql: &str) {
        self.databases.source.batch_execute(sql).await.unwrap();
    }

    /// SQL at the target.
    pub(crate) async fn at_target(&self, sql: &str) {
        self.databases.target.batch_execute(sql).await.unwrap();
    }

    /// Waits until everything committed at the source now is in the target.
    pub(crate) async fn settled(&self) {
        settled(&self.databases.source, &self.databases.target, &self.name).await;
    }

    /// Asserts that every target table holds what its SELECT gives.
    pub(crate) async fn assert_equal(&self) {
        let Databases { source, target, .. } = &self.databases;
        assert_equal_mapping(source, target, &self.mapping).await;
    }

    /// The only finding of `check --json` that is an error.
    pub(crate) async fn only_finding(&self) -> Value {
        let finished = self.regraft(&["check", "--json"]).await;
        assert_eq!(finished.code(), 1, "{}\n{}", finished.stdout, finished.stderr);
        let report = finished.json();
        let mut errors = errors(&report);
        assert_eq!(errors.len(), 1, "{report:#}");
        errors.remove(0)
    }

    /// `check` and `run` both refuse with this code, place and parts of the message; `run` with
    /// this exit status.
    pub(crate) async fn refused(&self, status: i32, code: &str, place: &str, parts: &[&str]) {
        let finding = self.only_finding().await;
        assert_finding(&finding, code, place, parts);
        let finished = self.run_once().await;
        assert_says(&finished, status, code, &[place]);
        assert_says(&finished, status, code, parts);
    }

    /// Status code and body of the daemon on `/healthz`; asserts that they hold no secret.
    pub(crate) async fn health(&self, daemon: &Daemon) -> Result<(u16, String), String> {
        let (status, body) = daemon.http("/healthz").await?;
        self.assert_discreet(&body);
        Ok((status, body))
    }

    /// Waits until a daemon is held by an error of this code, and gives `last_error` as `regraft
    /// status` shows it.
    pub(crate) async fn held(&self, daemon: &Daemon, code: &str) -> Value {
        wait_until("the pipeline to be held", DEADLINE, async || {
            let (status, body) = self.health(daemon).await?;
            if status == 503 && body.contains(code) {
                Ok(())
            } else {
                Err(format!("{status} {body}"))
            }
        })
        .await;
        wait_until("the error in the ledger", DEADLINE, async || {
            let status = self.regraft(&["status", "--json"]).await.json();
            let error = status["last_error"].clone();
            if status["phase"] == "held" && error["code"] == code {
                assert_eq!(status["healthy"], false, "{status:#}");
                return Ok(error);
            }
            Err(status.to_string())
        })
        .await
    }

    /// Asserts that a text has neither secrets nor values of rows.
    pub(crate) fn assert_discreet(&self, text: &str) {
        let given = [PASSWORD, VALUE].into_iter().chain(self.secrets.iter().map(String::as_str));
        for secret in given {
            assert!(!text.contains(secret), "{secret} is printed:\n{text}");
        }
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        // A test that fails already need not fail twice.
        if !std::thread::panicking() {
            self.assert_discreet(&everything_printed(&self.installation));
        }
    }
}

/// Both outputs of every command that was run in a folder.
pub(crate) fn everything_printed(installation: &Installation) -> String {
    let mut printed = String::new();
    for entry in std::fs::read_dir(installation.path(".")).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().unwrap_or_default();
        if extension == "stdout" || extension == "stderr" {
            printed.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
        }
    }
    printed
}

/// The address for another role, with [`PASSWORD`].
pub(crate) fn with_user(url: &str, user: &str) -> String {
    let (_, server) = url.split_once('@').unwrap();
    format!("postgres://{user}:{PASSWORD}@{server}")
}

/// The findings of a report that are errors.
pub(crate) fn errors(report: &Value) -> Vec<Value> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.filter(|finding| finding["severity"] == "error").cloned().collect()
}

/// Asserts code, place, parts of the message or the remedy, and that there is a remedy.
pub(crate) fn assert_finding(finding: &Value, code: &str, place: &str, parts: &[&str]) {
    let text = |key: &str| finding[key].as_str().unwrap_or_else(|| panic!("{finding:#}"));
    assert_eq!(text("code"), code, "{finding:#}");
    assert!(text("where").contains(place), "{place}: {finding:#}");
    assert!(text("remedy").len() > 8, "{finding:#}");
    let said = format!("{}\n{}", text("what"), text("remedy"));
    for part in parts {
        assert!(said.contains(part), "{part}: {finding:#}");
    }
}

/// Asserts the exit status, and that the code, these parts and a remedy are on standard error.
pub(crate) fn assert_says(finished: &Finished, status: i32, code: &str, parts: &[&str]) {
    let shown = format!("{}\n{}", finished.stdout, finished.stderr);
    assert_eq!(finished.code(), status, "{shown}");
    assert!(finished.stderr.contains(&format!("[{code}]")), "{code}: {shown}");
    assert!(finished.stderr.contains("to do: "), "no remedy: {shown}");
    for part in parts {
        assert!(finished.stderr.contains(part), "{part:?} is not in: {shown}");
    }
}

/// Waits until a running daemon has applied everything that is committed at the source now.
pub(crate) async fn settled(source: &Client, target: &Client, name: &str) {
    // A commit that the stream carries, after all others.
    let sql =
        "SELECT pg_current_wal_insert_lsn()::text, pg_logical_emit_message(true, 'test', 'end')";
    let end: Lsn = source.query_one(sql, &[]).await.unwrap().get::<_, String>(0).parse().unwrap();
    wait_until("everything to be applied", DEADLINE, async || {
        let sql = "SELECT split_part(position, ':', 2), last_error::text, \
                   (SELECT count(*) FROM regraft.chunks \
                    WHERE pipeline = name AND done_at IS NULL), \
                   (SELECT bool_and(fully_planned) FROM regraft.tables WHERE pipeline = name) \
                   FROM regraft.pipelines WHERE name = $1";
        let row = target.query_opt(sql, &[&name]).await.map_err(|error| error.to_string())?;
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

/// Waits until `/readyz` says yes.
pub(crate) async fn ready(daemon: &mut Daemon) {
    wait_until("the daemon to be ready", DEADLINE, async || {
        if let Some(status) = daemon.ended() {
            panic!("the daemon has ended: {status}\n{}", daemon.log());
        }
        let (status, body) = daemon.http("/readyz").await?;
        if status == 200 { Ok(()) } else { Err(format!("{status} {body}")) }
    })
    .await;
}

/// Waits until a query gives true.
pub(crate) async fn until_true(client: &Client, what: &str, sql: &str) {
    wait_until(what, DEADLINE, async || {
        let row = client.query_one(sql, &[]).await.map_err(|error| error.to_string())?;
        if row.get::<_, Option<bool>>(0) == Some(true) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
}

/// Sends SIGTERM, and asserts a clean end within five seconds.
pub(crate) async fn stop(mut daemon: Daemon) {
    let status = daemon.terminate(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
}

/// Another consumer of a slot; dropping it ends it.
pub(crate) struct Consumer(Child);

impl Consumer {
    /// Starts `pg_recvlogical` on a pgoutput slot, and waits until it holds it.
    pub(crate) async fn start(case: &Case, slot: &str, publication: &str) -> Consumer {
        let (source, _) = servers().await;
        let mut command = Command::new(source.binaries().program("pg_recvlogical"));
        command.args(["--start", "--no-loop", "-f", "/dev/null", "-o", "proto_version=1"]);
        command.arg("-o").arg(format!("publication_names={publication}"));
        command.arg("-S").arg(slot).arg("-d").arg(&case.databases.source_url);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let consumer = Consumer(child);
        let sql = format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'");
        until_true(&case.databases.source, "the other consumer to hold the slot", &sql).await;
        consumer
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
