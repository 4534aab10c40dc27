//! Faults, each with the time until readiness falls, and until the status names the cause.
//!
//! `cargo test -p regraft-tests --test operation faults -- --nocapture` prints them as a table.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use regraft_testkit::{
    Auth, Cluster, ClusterOptions, Daemon, Installation, Proxy, StopMode, Way, connect, wait_until,
};
use regraft_tests::DEADLINE;
use tokio_postgres::Client;

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
}

struct Fault {
    name: &'static str,
    strike: Strike,
    /// What the status says.
    says: &'static [&'static str],
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "processes of the target hang",
        strike: Strike::Freeze(Side::Target),
        says: &["target (", "process"],
    },
    Fault {
        name: "processes of the source hang",
        strike: Strike::Freeze(Side::Source),
        says: &["source (", "process"],
    },
    Fault {
        name: "the source's walsender hangs",
        strike: Strike::FreezeStream,
        says: &["source (", "for a sign of life of the stream"],
    },
    Fault {
        name: "packets to the target are swallowed",
        strike: Strike::Swallow(Side::Target, Way::ToServer),
        says: &["target (", "nor does it answer a new connection"],
    },
    Fault {
        name: "packets from the target are swallowed",
        strike: Strike::Swallow(Side::Target, Way::ToClient),
        says: &["target (", "nor does it answer a new connection"],
    },
    Fault {
        name: "packets to the source are swallowed",
        strike: Strike::Swallow(Side::Source, Way::ToServer),
        says: &["source (", "nor does it answer a new connection"],
    },
    Fault {
        name: "packets from the source are swallowed",
        strike: Strike::Swallow(Side::Source, Way::ToClient),
        says: &["source (", "nor does it answer a new connection"],
    },
    Fault { name: "the target stops", strike: Strike::Stop(Side::Target), says: &["RG2001"] },
    Fault { name: "the source stops", strike: Strike::Stop(Side::Source), says: &["RG2001"] },
    Fault {
        name: "a target table is locked",
        strike: Strike::Sql(Side::Target, "BEGIN; LOCK TABLE goods"),
        says: &["target (", "goods", "held by process"],
    },
    Fault {
        name: "a row of the target is locked",
        strike: Strike::Sql(Side::Target, "BEGIN; SELECT FROM goods WHERE id = 1 FOR UPDATE"),
        says: &["target (", "goods", "held by process"],
    },
    Fault {
        name: "the ledger is locked",
        strike: Strike::Sql(Side::Target, "BEGIN; LOCK TABLE regraft.pipelines"),
        says: &["target (", "regraft.pipelines", "held by process"],
    },
    Fault {
        name: "a privilege is lost",
        strike: Strike::Sql(Side::Target, "REVOKE ALL ON goods FROM ROLE"),
        says: &["RG2004", "goods"],
    },
    Fault {
        name: "a target table is dropped",
        strike: Strike::Sql(Side::Target, "DROP TABLE goods"),
        says: &["RG3004", "goods"],
    },
    Fault {
        name: "a target column is dropped",
        strike: Strike::Sql(Side::Target, "ALTER TABLE goods DROP COLUMN amount"),
        says: &["RG3010", "amount"],
    },
    Fault {
        name: "the target refuses a row",
        strike: Strike::Sql(Side::Target, "ALTER TABLE goods ADD CHECK (amount < 0) NOT VALID"),
        says: &["RG4001", "goods"],
    },
    Fault {
        name: "a function of the target raises",
        strike: Strike::Sql(
            Side::Target,
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file';
             END $$;
             CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON goods EXECUTE FUNCTION full_disk()",
        ),
        says: &["RG4001", "SQLSTATE 53100"],
    },
    Fault {
        name: "no connection to the target is free",
        strike: Strike::SqlAndReconnect(Side::Target, "ALTER ROLE ROLE CONNECTION LIMIT 1"),
        says: &["RG2001", "too many connections"],
    },
    Fault {
        name: "the role may not log in at the source",
        strike: Strike::SqlAndReconnect(Side::Source, "ALTER ROLE ROLE NOLOGIN"),
        says: &["RG2002", "not permitted to log in"],
    },
    Fault { name: "a password was changed", strike: Strike::Password, says: &["RG2002"] },
    Fault { name: "the slot is dropped", strike: Strike::DropSlot, says: &["RG2008"] },
    Fault {
        name: "the publication is dropped",
        strike: Strike::Sql(Side::Source, "DROP PUBLICATION PUBLICATION"),
        says: &["RG2010"],
    },
    Fault {
        name: "the ledger is dropped",
        strike: Strike::Sql(Side::Target, "DROP SCHEMA regraft CASCADE"),
        says: &["regraft.", "does not exist"],
    },
];

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
}

impl Drop for Stage {
    fn drop(&mut self) {
        for pid in &self.stopped {
            drop(std::process::Command::new("kill").arg("-CONT").arg(pid.to_string()).status());
        }
    }
}

impl Stage {
    async fn set(strike: Strike) -> Stage {
        let (source, target) = servers().await;
        let own = match strike {
            Strike::Stop(_) => Some(ClusterOptions::default()),
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
            (Some(own), Strike::Stop(Side::Target)) => (source, own),
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
        let (stopped, open) = (Vec::new(), Vec::new());
        Stage { case, installation, daemon, role, proxies, own, stopped, open }
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

/// Seconds until readiness fell, and until the status named the cause.
async fn play(fault: &Fault) -> (Duration, Duration) {
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
    wait_until(fault.name, DEADLINE, async || {
        let (ready, said) = stage.look().await;
        if !ready {
            fell.get_or_insert_with(|| begin.elapsed());
        }
        if fault.says.iter().all(|part| said.contains(part)) {
            named.get_or_insert_with(|| begin.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        match (fell, named) {
            (Some(_), Some(_)) => Ok(()),
            _ => Err(format!("not ready after {fell:?}, named after {named:?}: {said}")),
        }
    })
    .await;
    application.abort();
    (fell.unwrap_or_default(), named.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_lets_readiness_fall_and_is_named_within_a_minute() {
    let plays = FAULTS.iter().enumerate().map(async |(at, fault)| (at, play(fault).await));
    let mut seen: Vec<_> = stream::iter(plays).buffer_unordered(AT_A_TIME).collect().await;
    seen.sort_by_key(|(at, _)| *at);
    println!("| fault | not ready after | named after |\n|---|---:|---:|");
    for (at, (fell, named)) in &seen {
        let (fell, named) = (fell.as_secs_f64(), named.as_secs_f64());
        println!("| {} | {fell:.1} s | {named:.1} s |", FAULTS[*at].name);
    }
    let late: Vec<_> = seen
        .iter()
        .filter(|(_, (fell, named))| fell.max(named) > &BAR)
        .map(|(at, times)| (FAULTS[*at].name, times))
        .collect();
    assert!(late.is_empty(), "{late:#?}");
}
