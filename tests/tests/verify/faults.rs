//! Faults of every kind, in random places, while the source is written to and the pipeline follows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use regraft_testkit::wait_until;
use regraft_tests::{DEADLINE, Site, SiteOptions, number};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::{FAST, swept};

const SOURCE: &str = "
    CREATE TABLE accounts (id bigint PRIMARY KEY, branch int NOT NULL, owner text NOT NULL, balance bigint, info bytea);
    INSERT INTO accounts
    SELECT n, n % 8, 'owner ' || n, n * 100, decode(md5(n::text), 'hex') FROM generate_series(1, 20000) AS n;";
const TARGET: &str = "
    CREATE TABLE accounts (id bigint, branch int, owner text NOT NULL, balance bigint, info bytea, PRIMARY KEY (id, branch))
        PARTITION BY LIST (branch);
    CREATE TABLE accounts_low PARTITION OF accounts FOR VALUES IN (0, 1, 2, 3);
    CREATE TABLE accounts_high PARTITION OF accounts FOR VALUES IN (4, 5, 6, 7);";
const MAPPING: &str = "INSERT INTO accounts SELECT id, branch, owner, balance, info FROM accounts;";

/// Load like that of pgbench, on even keys only: what is broken on odd ones stays broken.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<u64>>,
}

impl Load {
    async fn start(site: &Site) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for seed in 0..2 {
            let (client, stop) = (site.at_source().await, Arc::clone(&stop));
            tasks.push(tokio::spawn(transactions(client, stop, seed)));
        }
        Self { stop, tasks }
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut done = 0;
        for task in self.tasks {
            done += task.await.unwrap();
        }
        done
    }
}

async fn transactions(client: Client, stop: Arc<AtomicBool>, seed: u64) -> u64 {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut sql = String::from("BEGIN;");
        for _ in 0..rng.random_range(1..4) {
            let id = rng.random_range(1..10_000_i64) * 2;
            let branch = rng.random_range(0..8);
            sql.push_str(&match rng.random_range(0..8) {
                0 => format!("DELETE FROM accounts WHERE id = {id};"),
                1 => format!("UPDATE accounts SET branch = {branch} WHERE id = {id};"),
                2 => format!(
                    "INSERT INTO accounts VALUES ({id}, {branch}, 'again {id}', 1, '\\x00') ON CONFLICT DO NOTHING;"
                ),
                _ => format!("UPDATE accounts SET balance = balance + {branch} WHERE id = {id};"),
            });
        }
        sql.push_str("COMMIT");
        match client.batch_execute(&sql).await {
            Ok(()) => done += 1,
            // Two transactions lock rows in different orders now and then.
            Err(_) => client.batch_execute("ROLLBACK").await.unwrap(),
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    done
}

/// How a finding is told: difference, key, columns.
type Told = (String, i64, i32, String);

/// Breaks rows with odd keys; gives what has to be found.
async fn break_rows(target: &Client, count: usize) -> BTreeSet<Told> {
    let mut rng = StdRng::seed_from_u64(4711);
    let mut ids: Vec<i64> = (0..10_000).map(|n| n * 2 + 1).collect();
    ids.shuffle(&mut rng);
    let mut expected = BTreeSet::new();
    for (n, id) in ids.into_iter().take(count).enumerate() {
        let branch = i32::try_from(id % 8).unwrap();
        let other = (branch + 4) % 8;
        let told = |difference: &str, id: i64, branch: i32, columns: &str| {
            (difference.to_owned(), id, branch, columns.to_owned())
        };
        let sql = match n % 6 {
            0 => {
                expected.insert(told("missing", id, branch, ""));
                format!("DELETE FROM accounts WHERE id = {id}")
            }
            1 => {
                expected.insert(told("surplus", id + 1_000_000, branch, ""));
                format!("INSERT INTO accounts VALUES ({id} + 1000000, {branch}, 'nobody', 0, NULL)")
            }
            2 => {
                expected.insert(told("different", id, branch, "info"));
                let at = rng.random_range(0..16);
                format!(
                    "UPDATE accounts SET info = set_byte(info, {at}, get_byte(info, {at}) # 1) WHERE id = {id}"
                )
            }
            3 => {
                expected.insert(told("different", id, branch, "balance"));
                format!("UPDATE accounts SET balance = NULL WHERE id = {id}")
            }
            4 => {
                expected.insert(told("missing", id, branch, ""));
                expected.insert(told("surplus", id, other, ""));
                format!("UPDATE accounts SET branch = {other} WHERE id = {id}")
            }
            _ => {
                expected.insert(told("surplus", id, other, ""));
                format!(
                    "INSERT INTO accounts SELECT id, {other}, owner, balance, info FROM accounts WHERE id = {id}"
                )
            }
        };
        assert_eq!(target.execute(&sql, &[]).await.unwrap(), 1, "{sql}");
    }
    expected
}

async fn open_findings(target: &Client) -> BTreeSet<Told> {
    let sql = "SELECT difference, (key->>'id')::bigint, (key->>'branch')::int, array_to_string(columns, ',') \
               FROM regraft.findings WHERE state = 'open'";
    let rows = target.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}

/// Findings in other states than this one.
async fn others(target: &Client, state: &str) -> String {
    let sql = "SELECT coalesce(string_agg(to_jsonb(f)::text, E'\\n'), '') FROM regraft.findings f WHERE state <> $1";
    target.query_one(sql, &[&state]).await.unwrap().get(0)
}

async fn site() -> Site {
    let options = SiteOptions { extra: FAST.to_owned(), ..SiteOptions::default() };
    let site = Site::with(options, &[SOURCE], TARGET, MAPPING).await;
    site.catch_up().await;
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_found_in_one_sweep_under_load_and_repaired() {
    let site = site().await;
    let mut daemon = site.run();
    let load = Load::start(&site).await;
    let target = site.at_target().await;
    let expected = break_rows(&target, 1_000).await;
    swept(&site, &mut daemon).await;
    let found = open_findings(&target).await;
    let (lost, wrong): (Vec<_>, Vec<_>) =
        (expected.difference(&found).collect(), found.difference(&expected).collect());
    assert!(lost.is_empty() && wrong.is_empty(), "not found: {lost:?}\nwrongly found: {wrong:?}");
    let repaired = site.installation.command(&["repair", "--apply", "--json"], DEADLINE).await;
    assert_eq!(repaired.code(), 0, "{}{}\n{}", repaired.stdout, repaired.stderr, daemon.log());
    swept(&site, &mut daemon).await;
    assert_eq!(others(&target, "repaired").await, "");
    assert!(load.stop().await > 100);
    site.settled().await;
    site.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_goes_on_with_its_sweep_and_loses_no_finding() {
    let site = site().await;
    let load = Load::start(&site).await;
    let target = site.at_target().await;
    let mut expected = BTreeSet::new();
    for round in 0..10_u64 {
        let mut daemon = site.run();
        let sql = "SELECT count(*) FROM regraft.verified";
        let before = wait_until("the ledger", DEADLINE, async || {
            let row = target.query_one(sql, &[]).await.map_err(|error| error.to_string())?;
            Ok(row.get::<_, i64>(0))
        })
        .await;
        if round == 1 {
            expected = break_rows(&target, 60).await;
        }
        // Ranges of a sweep that is done go: another number is progress, too.
        wait_until("some ranges", DEADLINE, async || {
            let now = number(&target, sql).await;
            if now == before { Err(format!("{now}")) } else { Ok(()) }
        })
        .await;
        tokio::time::sleep(Duration::from_millis(round * 137 % 700)).await;
        daemon.kill9();
        // Of one sweep, no range is there twice.
        let twice = "SELECT count(*) FROM (SELECT FROM regraft.verified GROUP BY fingerprint, sweep, upto \
                     HAVING count(*) > 1) AS x";
        assert_eq!(number(&target, twice).await, 0);
    }
    let mut daemon = site.run();
    swept(&site, &mut daemon).await;
    assert_eq!(open_findings(&target).await, expected);
    assert_eq!(others(&target, "open").await, "");
    load.stop().await;
}
