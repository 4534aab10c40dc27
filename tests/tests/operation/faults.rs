//! Faults, each with the time until readiness falls, and until the status names the cause.
//!
//! `cargo test -p regraft-tests --test operation faults -- --nocapture` prints them as a table.

mod list;

use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use regraft_testkit::{
    Auth, Cluster, ClusterOptions, Daemon, Installation, Proxy, StopMode, Way, connect, wait_until,
};
use regraft_tests::DEADLINE;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use self::list::FAULTS;
use crate::support::{Case, Given, ready, servers, with_user};

/// What the default settings promise.
const BAR: Duration = Duration::from_secs(60);
/// Faults under way at a time: each has a daemon and sessions of its own.
const AT_A_TIME: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

#[derive(Clone, Copy, Debug)]
enum Strike {
    /// All processes of the server that work for the daemon are stopped.
    Freeze(Side),
    /// Only the one that streams.
    FreezeStream,
    /// Packets are swallowed, one way.
    Swallow(Side, Way),
    /// The server is stopped at once.
    Stop(Side),
    /// SQL by the superuser at the server, `ROLE` being that of the daemon and `DATABASE` its database;
    /// the transaction stays open.
    Sql(Side, &'static str),
    /// The same, and then the sessions of the daemon there end.
    SqlAndReconnect(Side, &'static str),
    /// The slot is dropped.
    DropSlot,
    /// Somebody changed the password.
    Password,
    /// New connections are closed at once, and those that exist are cut.
    Refuse(Side),
    /// The sessions of the daemon there end again and again.
    EndAgain(Side),
    /// Another session has the pipeline's lock.
    TakeLock,
    /// The slot is moved on while the daemon is away.
    MoveSlot,
    /// The source lets in by other rules, in which `ROLE` is that of the daemon.
    Rules(&'static str),
    /// The server starts again as a standby that waits for its primary.
    Standby(Side),
    /// Commits of the target wait for a synchronous standby that is not there.
    NoStandby,
    /// The file system below the target table is full.
    FullDisk,
}

struct Fault {
    name: &'static str,
    strike: Strike,
    /// What the status says.
    says: &'static [&'static str],
}

/// A fault and all that it needs; dropped after it was looked at.
struct Stage {
    case: Case,
    installation: Installation,
    daemon: Daemon,
    role: [String; 2],
    proxies: [Proxy; 2],
    own: Option<Cluster>,
    /// Stopped processes, and sessions whose transactions are open.
    stopped: Vec<i64>,
    open: Vec<Client>,
    /// What goes on until the end.
    beside: Vec<JoinHandle<()>>,
    mounted: Option<TempDir>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.beside.iter().for_each(JoinHandle::abort);
        if let Some(folder) = &self.mounted {
            drop(self.own.take());
            drop(std::process::Command::new("umount").arg("-l").arg(folder.path()).status());
        }
        for pid in &self.stopped {
            drop(std::process::Command::new("kill").arg("-CONT").arg(pid.to_string()).status());
        }
    }
}

impl Stage {
    async fn set(strike: Strike) -> Stage {
        let (source, target) = servers().await;
        let own = match strike {
            Strike::Stop(_)
            | Strike::Rules(_)
            | Strike::Standby(_)
            | Strike::NoStandby
            | Strike::FullDisk => Some(ClusterOptions::default()),
            Strike::Password => {
                Some(ClusterOptions { auth: Auth::Scram, ..ClusterOptions::default() })
            }
            _ => None,
        };
        let own = match own {
            Some(options) => Some(Cluster::start(options).await.unwrap()),
            None => None,
        };
        let (source, target) = match (&own, strike) {
            (
                Some(own),
                Strike::Stop(Side::Target)
                | Strike::Standby(Side::Target)
                | Strike::NoStandby
                | Strike::FullDisk,
            ) => (source, own),
            (Some(own), _) => (own, target),
            (None, _) => (source, target),
        };
        let case = Case::between(source, target, Given::default()).await;
        // Superusers pass over what is to fail here.
        let role = [format!("{}_s", case.name), format!("{}_t", case.name)];
        let password = crate::support::PASSWORD;
        case.at_source(&format!(
            "CREATE ROLE {0} LOGIN REPLICATION PASSWORD '{password}'; ALTER TABLE items OWNER TO {0};
             GRANT CREATE ON DATABASE {1}_legacy TO {0}",
            role[0], case.name
        ))
        .await;
        case.at_target(&format!(
            "CREATE ROLE {0} LOGIN; GRANT ALL ON goods TO {0};
             GRANT CREATE ON DATABASE {1}_modern TO {0}",
            role[1], case.name
        ))
        .await;
        let proxies = [Proxy::start(source.port()).await, Proxy::start(target.port()).await];
        let installation = case.another(|setup| {
            setup.source_url = proxies[0].url(&with_user(&setup.source_url, &role[0]));
            setup.target_url = proxies[1].url(&with_user(&setup.target_url, &role[1]));
        });
        let mut daemon = installation.run();
        ready(&mut daemon).await;
        let (stopped, open, beside, mounted) = (Vec::new(), Vec::new(), Vec::new(), None);
        Stage { case, installation, daemon, role, proxies, own, stopped, open, beside, mounted }
    }

    fn superuser(&self, side: Side) -> &Client {
        match side {
            Side::Source => &self.case.databases.source,
            Side::Target => &self.case.databases.target,
        }
    }

    async fn pids(&self, side: Side, condition: &str) -> Vec<i64> {
        let sql = format!(
            "SELECT pid::bigint FROM pg_stat_activity WHERE usename = '{}' AND {condition}",
            self.role[side as usize]
        );
        let rows = self.superuser(side).query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn freeze(&mut self, side: Side, condition: &str) {
        for pid in self.pids(side, condition).await {
            let mut command = tokio::process::Command::new("kill");
            drop(command.arg("-STOP").arg(pid.to_string()).status().await);
            self.stopped.push(pid);
        }
    }

    async fn run_sql(&mut self, side: Side, sql: &str) {
        let url = match side {
            Side::Source => &self.case.databases.source_url,
            Side::Target => &self.case.databases.target_url,
        };
        let database = url.rsplit('/').next().unwrap().split('?').next().unwrap();
        let sql = sql
            .replace("FROM ROLE", &format!("FROM {}", self.role[side as usize]))
            .replace("ALTER ROLE ROLE", &format!("ALTER ROLE {}", self.role[side as usize]))
            .replace("DATABASE DATABASE", &format!("DATABASE {database}"))
            .replace("PUBLICATION PUBLICATION", &format!("PUBLICATION {}", self.case.slot()));
        let client = connect(url).await.unwrap();
        client.batch_execute(&sql).await.unwrap();
        self.open.push(client);
    }

    async fn reconnect(&self, side: Side) {
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
            self.role[side as usize]
        );
        self.superuser(side).batch_execute(&sql).await.unwrap();
    }

    async fn strike(&mut self, strike: Strike) {
        match strike {
            Strike::Freeze(side) => self.freeze(side, "true").await,
            Strike::FreezeStream => {
                self.freeze(Side::Source, "backend_type = 'walsender'").await;
            }
            Strike::Swallow(side, way) => self.proxies[side as usize].freeze_way(way),
            Strike::Stop(_) => {
                self.own.as_ref().unwrap().stop(StopMode::Immediate).await.unwrap();
            }
            Strike::Sql(side, sql) => self.run_sql(side, sql).await,
            Strike::SqlAndReconnect(side, sql) => {
                self.run_sql(side, sql).await;
                self.reconnect(side).await;
            }
            Strike::Password => {
                let sql = format!("ALTER ROLE {} PASSWORD 'another'", self.role[0]);
                self.case.at_source(&sql).await;
                self.reconnect(Side::Source).await;
            }
            Strike::Refuse(side) => {
                self.proxies[side as usize].refuse(true);
                self.proxies[side as usize].cut();
            }
            Strike::EndAgain(side) => self.end_again(side).await,
            Strike::TakeLock => self.take_lock().await,
            Strike::MoveSlot => self.move_slot().await,
            Strike::Rules(rules) => {
                let rules = rules.replace("ROLE", &self.role[0]);
                self.own.as_ref().unwrap().replace_pg_hba(&rules).unwrap();
                // Rules are read when the signal comes.
                let sql = "SELECT (pg_read_file('pg_hba.conf') <> '')::int::bigint";
                assert_eq!(regraft_tests::number(self.superuser(Side::Source), sql).await, 1);
                self.end_again(Side::Source).await;
            }
            Strike::Standby(_) => {
                let own = self.own.as_ref().unwrap();
                own.stop(StopMode::Fast).await.unwrap();
                std::fs::write(own.data_folder().join("standby.signal"), "").unwrap();
                own.start_again().await.unwrap();
            }
            Strike::NoStandby => {
                let own = self.own.as_ref().unwrap();
                own.reload_with(&[("synchronous_standby_names", "nobody")]).unwrap();
            }
            Strike::FullDisk => self.full_disk().await,
            Strike::DropSlot => {
                let slot = self.case.slot();
                wait_until("the slot to be dropped", DEADLINE, async || {
                    let sql = format!(
                        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
                         WHERE slot_name = '{slot}'; SELECT pg_drop_replication_slot('{slot}')"
                    );
                    let done = self.case.databases.source.batch_execute(&sql).await;
                    done.map_err(|error| error.to_string())
                })
                .await;
            }
        }
    }

    async fn end_again(&mut self, side: Side) {
        let url = match side {
            Side::Source => self.case.databases.source_url.clone(),
            Side::Target => self.case.databases.target_url.clone(),
        };
        let client = connect(&url).await.unwrap();
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
            self.role[side as usize]
        );
        self.beside.push(tokio::spawn(async move {
            while client.batch_execute(&sql).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }));
    }

    async fn take_lock(&mut self) {
        let client = connect(&self.case.databases.target_url).await.unwrap();
        let lock = format!(
            "SELECT pg_advisory_lock(hashtextextended('regraft:{}', 0)); SELECT pg_sleep(600)",
            self.case.name
        );
        self.beside.push(tokio::spawn(async move { drop(client.batch_execute(&lock).await) }));
        wait_until("the session to wait for the lock", DEADLINE, async || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'
                       AND datname = current_database()";
            match regraft_tests::number(self.superuser(Side::Target), sql).await {
                0 => Err("it does not".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
        self.reconnect(Side::Target).await;
    }

    async fn move_slot(&self) {
        let slot = self.case.slot();
        let client = self.superuser(Side::Source);
        wait_until("the slot to be moved", DEADLINE, async || {
            let end = format!(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
                 WHERE slot_name = '{slot}'; UPDATE items SET amount = amount"
            );
            client.batch_execute(&end).await.unwrap();
            let sql = format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())");
            client.batch_execute(&sql).await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Where the system lets us mount one, a small file system has the table, and is filled up.
    async fn full_disk(&mut self) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let own = self.own.as_ref().unwrap();
        let mount = format!(
            "chmod 755 {path} && mount -t tmpfs -o size=8m,mode=777 tmpfs {path} && mkdir {path}/space \
             && chown --reference={} {path}/space",
            own.data_folder().display()
        );
        self.mounted = Some(folder);
        let status = tokio::process::Command::new("sh").arg("-c").arg(&mount).status().await;
        assert!(status.unwrap().success());
        let target = self.superuser(Side::Target);
        target
            .batch_execute(&format!("CREATE TABLESPACE small LOCATION '{path}/space'"))
            .await
            .unwrap();
        self.case.at_target("ALTER TABLE goods SET TABLESPACE small").await;
        let fill = format!("head -c 100m /dev/zero > {path}/filled; true");
        drop(tokio::process::Command::new("sh").arg("-c").arg(&fill).status().await);
        self.case
            .at_source("INSERT INTO items SELECT i, repeat('x', 500), 0 FROM generate_series(100, 2000) AS i")
            .await;
    }

    /// Whether the daemon is ready, and what it says of itself. A daemon that has ended is not ready;
    /// the ledger has its last words.
    async fn look(&mut self) -> (bool, String) {
        let answers = (self.daemon.http("/readyz").await, self.daemon.http("/api/v1/status").await);
        if let (Ok((status, _)), Ok((_, said))) = &answers {
            return (*status == 200, said.clone());
        }
        let said = self.installation.command(&["status", "--json"], DEADLINE).await;
        (false, format!("{}{}", said.stdout, said.stderr))
    }
}

/// For so long a fault is looked at, so that one that is late is told with what was said instead.
const LOOK: Duration = Duration::from_secs(90);

/// Seconds until readiness fell, and until the status named the cause; what it said else.
async fn play(fault: &Fault) -> Result<(Duration, Duration), String> {
    let mut stage = Stage::set(fault.strike).await;
    // The application goes on.
    let url = stage.case.databases.source_url.clone();
    let application = tokio::spawn(async move {
        while let Ok(client) = connect(&url).await {
            let sql = "UPDATE items SET amount = abs(amount) + 1";
            while client.batch_execute(sql).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    });
    stage.strike(fault.strike).await;
    let begin = Instant::now();
    let (mut fell, mut named) = (None, None);
    loop {
        let (ready, said) = stage.look().await;
        if !ready {
            fell.get_or_insert_with(|| begin.elapsed());
        }
        if fault.says.iter().all(|part| said.contains(part)) {
            named.get_or_insert_with(|| begin.elapsed());
        }
        let done = fell.zip(named);
        if done.is_some() || begin.elapsed() > LOOK {
            application.abort();
            return done.ok_or_else(|| {
                format!("{}: not ready after {fell:?}, named after {named:?}: {said}", fault.name)
            });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A file system can be mounted: by root, and not in every container.
fn mounts() -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let run = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        let status = command.args(arguments).arg(folder.path()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs"]) && run("umount", &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_lets_readiness_fall_and_is_named_within_a_minute() {
    let mounts = mounts();
    let played = FAULTS.iter().enumerate();
    let played = played.filter(|(_, fault)| mounts || !matches!(fault.strike, Strike::FullDisk));
    let plays = played.map(async |(at, fault)| (at, play(fault).await));
    let mut seen: Vec<_> = stream::iter(plays).buffer_unordered(AT_A_TIME).collect().await;
    seen.sort_by_key(|(at, _)| *at);
    println!("| fault | not ready after | named after |\n|---|---:|---:|");
    let mut missed = Vec::new();
    for (at, seen) in seen {
        match seen {
            Ok((fell, named)) => {
                let (fell, named) = (fell.as_secs_f64(), named.as_secs_f64());
                println!("| {} | {fell:.1} s | {named:.1} s |", FAULTS[at].name);
                if fell.max(named) > BAR.as_secs_f64() {
                    missed.push(format!("{}: after {fell:.1} s and {named:.1} s", FAULTS[at].name));
                }
            }
            Err(said) => missed.push(said),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}
