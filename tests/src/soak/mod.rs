//! A soak: one pipeline after the other lives through faults that are drawn at random, under load, and is
//! compared with PostgreSQL's own answer again and again.
//!
//! Everything is drawn from one seed: schemas, settings, load and faults. The clock is not, so that a seed
//! gives the same kinds of things in the same order, and not the same instants.

mod faults;
mod load;
mod report;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use regraft_core::Lsn;
use regraft_testkit::{Cluster, ClusterOptions, Daemon, Installation, Proxy, Setup, wait_until};

use crate::world::{DENSE, PARTED, World};
use crate::{DEADLINE, Site};
use faults::Fault;
use load::Load;
pub use report::Report;

/// Faults between two comparisons, and comparisons between two pipelines.
const FAULTS: usize = 8;
const ROUNDS: usize = 4;
/// A pipeline with batches and chunks of a few rows takes its time, on a machine that has other work.
const PATIENCE: Duration = Duration::from_secs(900);

/// How long a soak takes, whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Kills of daemons, sessions and servers.
    pub kills: u64,
    /// Time.
    pub time: Duration,
}

/// Runs a soak. Says what it does, line by line.
///
/// # Panics
/// When both sides differ, the daemon ends by itself, or does not catch up.
pub async fn run(seed: u64, limits: Limits) -> Report {
    let begun = Instant::now();
    let mut random = StdRng::seed_from_u64(seed);
    let options = || {
        let settings = [("max_replication_slots", "500"), ("max_connections", "200")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        ClusterOptions { fsync: false, settings: settings.to_vec(), ..ClusterOptions::default() }
    };
    let (source, target) = tokio::join!(Cluster::start(options()), Cluster::start(options()));
    let clusters = (Arc::new(source.unwrap()), Arc::new(target.unwrap()));
    let mut report = Report::of(seed);
    for number in 0.. {
        let mut ground = Ground::make(number, &clusters, &mut random).await;
        eprintln!("seed {seed}, pipeline {number}: {}", ground.told);
        for round in 0..ROUNDS {
            ground.round(&mut random, &mut report, limits.kills).await;
            report.compared += 1;
            report.took = begun.elapsed();
            eprintln!("seed {seed}, pipeline {number}, round {round}: equal; {}", report.line());
            if report.kills() >= limits.kills || begun.elapsed() >= limits.time {
                ground.end(&mut report).await;
                return report;
            }
        }
        ground.end(&mut report).await;
    }
    report
}

/// A pipeline, what is between it and its servers, and what is done to it.
struct Ground {
    /// Before the folder that its log is in.
    daemon: Option<Daemon>,
    site: Site,
    world: World,
    links: [Proxy; 2],
    load: Load,
    told: String,
}

impl Ground {
    async fn make(
        number: usize,
        clusters: &(Arc<Cluster>, Arc<Cluster>),
        random: &mut StdRng,
    ) -> Self {
        let world = *[DENSE, PARTED].choose(random).unwrap_or(&DENSE);
        let extra = settings(random);
        let name = format!("soak{number}");
        let mut site = Site::on(
            (Arc::clone(&clusters.0), Arc::clone(&clusters.1)),
            &name,
            (&extra, ""),
            &[world.source],
            world.target,
            world.mapping,
        )
        .await;
        let links = [Proxy::start(clusters.0.port()).await, Proxy::start(clusters.1.port()).await];
        let sessions = format!("sessions = {}", random.random_range(1..=4));
        site.installation = Installation::new(&Setup {
            name,
            source_url: links[0].url(&site.databases.source_url),
            target_url: links[1].url(&site.databases.target_url),
            mapping: world.mapping.to_owned(),
            target: sessions.clone(),
            extra: extra.clone(),
            ..Setup::default()
        });
        let told = format!("{}, {sessions}, {}", world.name, extra.replace('\n', " "));
        // Batches of a few rows do not keep up with more, and would only ever be behind.
        let slow = ["batch_rows = 1\n", "batch_rows = 3\n"].iter().any(|rows| extra.contains(rows));
        let pause = Duration::from_millis(if slow { 80 } else { 4 });
        let load = Load::start(&site.databases.source_url, world, random.random(), pause);
        Self { site, world, links, daemon: None, load, told }
    }

    /// Faults under load; then both sides come to rest, and are compared.
    async fn round(&mut self, random: &mut StdRng, report: &mut Report, kills_max: u64) {
        for _ in 0..FAULTS {
            if self.daemon.is_none() {
                self.daemon = Some(self.site.run());
            }
            // Anywhere in the life of a daemon, mostly in the beginning.
            let longest = if random.random_range(0..3) == 0 { 1_500 } else { 300 };
            tokio::time::sleep(Duration::from_millis(random.random_range(0..longest))).await;
            let fault = Fault::draw(random);
            let since = Instant::now();
            self.strike(&fault).await;
            report.count(&fault);
            // Some come while the one before is still felt.
            if random.random_range(0..2) == 0 {
                self.reaches_now().await;
                report.caught_up.push(since.elapsed());
            }
            if report.kills() >= kills_max {
                break;
            }
        }
        self.load.pause().await;
        self.daemon.get_or_insert_with(|| self.site.run());
        self.site.settled_within(PATIENCE).await;
        self.site.assert_equal().await;
        self.load.go_on();
    }

    /// Waits until everything that is committed now is in the target, while the load goes on.
    async fn reaches_now(&mut self) {
        let daemon = self.daemon.get_or_insert_with(|| self.site.run());
        let source = self.site.at_source().await;
        let sql = "SELECT pg_current_wal_insert_lsn()::text, \
                   pg_logical_emit_message(true, 'test', 'now')";
        let row = source.query_one(sql, &[]).await.unwrap();
        let now: Lsn = row.get::<_, String>(0).parse().unwrap();
        let target = self.site.at_target().await;
        wait_until("the target to have what the source had", PATIENCE, async || {
            if let Some(status) = daemon.ended() {
                panic!("the daemon ended by itself: {status}\n{}", daemon.log());
            }
            let sql = "SELECT to_regclass('regraft.pipelines') IS NOT NULL";
            if !target
                .query_one(sql, &[])
                .await
                .map_err(|error| error.to_string())?
                .get::<_, bool>(0)
            {
                return Err("no ledger".to_owned());
            }
            let sql = "SELECT split_part(position, ':', 2) FROM regraft.pipelines";
            let row = target.query_opt(sql, &[]).await.map_err(|error| error.to_string())?;
            let position = row.ok_or("no pipeline")?.get::<_, String>(0);
            let position: Lsn = position.parse().map_err(|_| "no position")?;
            if position >= now { Ok(()) } else { Err(format!("{position} of {now}")) }
        })
        .await;
    }

    async fn end(self, report: &mut Report) {
        let target = self.site.at_target().await;
        let sql = "SELECT coalesce(sum(upserted + deleted), 0)::bigint FROM regraft.statements";
        report.rows += u64::try_from(crate::number(&target, sql).await).unwrap_or(0);
        report.transactions += self.load.stop().await;
        drop(self.daemon);
        let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                   WHERE database = current_database()";
        let source = self.site.at_source().await;
        wait_until("the slot to be free", DEADLINE, async || {
            source.batch_execute(sql).await.map_err(|error| error.to_string())
        })
        .await;
        report.worlds.insert(self.world.name);
    }
}

/// Sizes that make the same load meet the pipeline in very different ways.
fn settings(random: &mut StdRng) -> String {
    let mut pick = |of: &[&str]| of.choose(random).map_or(String::new(), ToString::to_string);
    let (chunk_rows, readers) = (pick(&["1", "5", "100", "50000"]), pick(&["1", "2", "4"]));
    let (rows, age) = (pick(&["1", "3", "50", "20000"]), pick(&["5ms", "200ms", "1s"]));
    let verify = pick(&["enabled = false", "rows_per_second = 100000\nsource_percent = 50"]);
    format!(
        "[backfill]\nchunk_rows = {chunk_rows}\nreaders = {readers}\n\
         [limits]\nbatch_rows = {rows}\nbatch_age = \"{age}\"\n[verify]\n{verify}\n"
    )
}
