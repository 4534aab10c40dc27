//! A backlog of the ai-workloads example, drained in several ways.
//!
//! Source and target are two clusters. The backlog is made once, with a slot from before it; each way
//! gets a copy of that slot and an empty target, and has to end with the same rows.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use regraft_core::contract::ChangeStream;
use regraft_core::{Code, Error, Event, Lsn, Position, Result};
use regraft_postgres::Endpoint;
use regraft_throwaway::{Cluster, ClusterOptions, Example};
use tokio_postgres::Client;

use crate::drain::{Drain, equal, one, servers, sql};
use crate::report::{Group, Measured, Report, Way};

const EXAMPLE: Example = Example::AiWorkloads;
const SOURCE: &str = "legacy";
/// The slot from before the backlog; it is only ever copied.
const SLOT: &str = "backlog";
const PUBLICATION: &str = "backlog";
/// Rows per transaction of the backlog, taken in turn.
const TRANSACTIONS: [u64; 5] = [1, 10, 100, 1000, 250];
/// How often a peer's progress is looked at.
const LOOK: Duration = Duration::from_millis(10);
const TRIGGER: &str = include_str!("trigger.sql");

struct Stage {
    source: Cluster,
    target: Cluster,
    client: Client,
    end: Lsn,
}

/// Measures.
pub(crate) async fn run(changes: u64, rounds: usize, pg_bin: Option<&Path>) -> Result<Report> {
    let options = servers(pg_bin)?;
    eprintln!("making a backlog of {changes} changes");
    let stage = Stage::set(&options, changes).await?;
    let way = Way::new;
    let mut drain = [
        way("native replication and a trigger (foreign keys unchecked)"),
        way("regraft, foreign_keys = \"trusted\""),
        way("regraft, foreign keys checked"),
    ];
    let mut decode = [way("pg_recvlogical to /dev/null"), way("regraft's reader")];
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        decode[0].seconds.push(stage.recvlogical(round).await?);
        decode[1].seconds.push(stage.reader(round).await?);
        drain[0].seconds.push(stage.trigger(round).await?);
        drain[1].seconds.push(stage.regraft(round, "trusted").await?);
        drain[2].seconds.push(stage.regraft(round, "checked").await?);
    }
    let groups = vec![
        Group { title: "drained into four tables", measured: Measured::Work, ways: drain.into() },
        Group { title: "decoded only", measured: Measured::Work, ways: decode.into() },
    ];
    Ok(Report { unit: "changes", count: changes, groups })
}

impl Stage {
    async fn set(options: &ClusterOptions, changes: u64) -> Result<Stage> {
        let source = Cluster::start(options.clone()).await?;
        let target = Cluster::start(options.clone()).await?;
        source.create_database(SOURCE).await?;
        let client = source.client(SOURCE).await?;
        sql(&client, EXAMPLE.source_sql()).await?;
        sql(&client, &format!("CREATE PUBLICATION {PUBLICATION} FOR TABLE ai_workloads")).await?;
        let slot = format!("SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')");
        sql(&client, &slot).await?;
        fill(&client, changes).await?;
        let end = one(&client, "SELECT pg_current_wal_flush_lsn()::text").await?;
        let end = end.parse().map_err(|_| Error::new(Code::Protocol, "no log position"))?;
        Ok(Stage { source, target, client, end })
    }

    async fn copy_slot(&self, name: &str) -> Result<()> {
        let copy = format!("SELECT pg_copy_logical_replication_slot('{SLOT}', '{name}')");
        sql(&self.client, &copy).await
    }

    async fn recvlogical(&self, round: usize) -> Result<f64> {
        let slot = format!("recvlogical_{round}");
        self.copy_slot(&slot).await?;
        let program = self.source.binaries().program("pg_recvlogical");
        let started = Instant::now();
        let status = tokio::process::Command::new(program)
            .args(["--start", "--no-loop", "-f", "/dev/null", "-P", "pgoutput", "-S", &slot])
            .args(["-d", &self.source.url(SOURCE), "--endpos", &self.end.to_string()])
            .args(["-o", "proto_version=1", "-o", &format!("publication_names={PUBLICATION}")])
            .args(["-o", "binary=true"])
            .stdout(Stdio::null())
            .status()
            .await;
        let seconds = started.elapsed().as_secs_f64();
        match status {
            Ok(status) if status.success() => Ok(seconds),
            other => Err(Error::new(Code::Internal, format!("pg_recvlogical: {other:?}"))),
        }
    }

    async fn reader(&self, round: usize) -> Result<f64> {
        let slot = format!("reader_{round}");
        self.copy_slot(&slot).await?;
        let endpoint = Endpoint::parse(&self.source.url(SOURCE))?;
        let started = Instant::now();
        let connection = endpoint.connect_replication("bench").await?;
        let publications = [PUBLICATION.to_owned()];
        let mut stream = connection.start(&slot, Lsn(0), &publications, Default::default()).await?;
        let (mut position, end) = (Position::Lsn(Lsn(0)), Position::Lsn(self.end));
        while position < end {
            for event in stream.next().await? {
                match event {
                    Event::Commit { end: at } | Event::Progress { position: at } => position = at,
                    _ => {}
                }
            }
            stream.acknowledge(position.clone());
        }
        let seconds = started.elapsed().as_secs_f64();
        stream.close().await?;
        Ok(seconds)
    }

    /// A new database in the target's cluster, with the four tables.
    async fn target(&self, name: &str) -> Result<Client> {
        self.target.create_database(name).await?;
        let client = self.target.client(name).await?;
        sql(&client, EXAMPLE.target_sql()).await?;
        Ok(client)
    }

    async fn trigger(&self, round: usize) -> Result<f64> {
        let name = format!("trigger_{round}");
        let target = self.target(&name).await?;
        sql(&target, EXAMPLE.source_sql()).await?;
        sql(&target, TRIGGER).await?;
        self.copy_slot(&name).await?;
        let subscribe = format!(
            "CREATE SUBSCRIPTION {name} CONNECTION '{}' PUBLICATION {PUBLICATION} WITH \
             (create_slot = false, copy_data = false, slot_name = '{name}', binary = true, \
             enabled = false)",
            self.source.url(SOURCE)
        );
        sql(&target, &subscribe).await?;
        let started = Instant::now();
        sql(&target, &format!("ALTER SUBSCRIPTION {name} ENABLE")).await?;
        let reached = format!(
            "SELECT coalesce(confirmed_flush_lsn >= '{}', false)::text FROM pg_replication_slots \
             WHERE slot_name = '{name}'",
            self.end
        );
        let failed = "SELECT (count(*) > 0)::text FROM pg_stat_subscription_stats \
                      WHERE apply_error_count > 0";
        while one(&self.client, &reached).await? != "true" {
            if one(&target, failed).await? == "true" {
                return Err(Error::new(
                    Code::Internal,
                    "the subscription failed; see its server's log",
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
        let seconds = started.elapsed().as_secs_f64();
        sql(&target, &format!("ALTER SUBSCRIPTION {name} DISABLE")).await?;
        sql(&target, &format!("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")).await?;
        sql(&target, &format!("DROP SUBSCRIPTION {name}")).await?;
        self.equal(&target, "the trigger").await?;
        Ok(seconds)
    }

    /// With foreign keys trusted it does what an apply worker of native replication does.
    async fn regraft(&self, round: usize, foreign_keys: &str) -> Result<f64> {
        let name = format!("regraft_{foreign_keys}_{round}");
        let target = self.target(&name).await?;
        self.copy_slot(&name).await?;
        let seconds = Drain {
            source: self.source.url(SOURCE),
            slot: &name,
            publication: PUBLICATION,
            target: self.target.url(&name),
            foreign_keys,
            mapping: EXAMPLE.mapping_sql(),
        }
        .run()
        .await?;
        self.equal(&target, "regraft").await?;
        Ok(seconds)
    }

    async fn equal(&self, target: &Client, who: &str) -> Result<()> {
        equal(&self.client, target, &EXAMPLE.tables(), who).await
    }
}

/// Half inserts, four tenths updates of rows that are there, one tenth deletes; transactions of 1 to
/// 1,000 rows.
async fn fill(client: &Client, changes: u64) -> Result<()> {
    let inserts = changes / 2;
    let seed = EXAMPLE.seed_sql(inserts);
    let transactions = |rows: u64| {
        let mut from = 1;
        TRANSACTIONS.iter().cycle().map_while(move |&size| {
            let upto = (from + size - 1).min(rows);
            let range = (from <= upto).then_some((from, upto));
            from = upto + 1;
            range
        })
    };
    let all = format!("generate_series(1::bigint, {inserts})");
    for (from, upto) in transactions(inserts) {
        sql(client, &seed.replace(&all, &format!("generate_series({from}::bigint, {upto})")))
            .await?;
    }
    // Rows in another order than that of their insertion.
    let ids = "CREATE TEMP TABLE picked AS SELECT row_number() OVER (ORDER BY md5(id::text)) AS n, \
               id FROM ai_workloads; CREATE UNIQUE INDEX ON picked (n); ANALYZE picked";
    sql(client, ids).await?;
    for (from, upto) in transactions(changes * 4 / 10) {
        let update = format!(
            "UPDATE ai_workloads SET status = 'trained', updated_at = updated_at + interval '1 day', \
             training_metrics = training_metrics || '{{\"f1\": 0.75}}' \
             FROM picked WHERE picked.id = ai_workloads.id AND picked.n BETWEEN {from} AND {upto}"
        );
        sql(client, &update).await?;
    }
    for (from, upto) in transactions(changes / 10) {
        let delete = format!(
            "DELETE FROM ai_workloads USING picked \
             WHERE picked.id = ai_workloads.id AND picked.n BETWEEN {from} AND {upto}"
        );
        sql(client, &delete).await?;
    }
    Ok(())
}
