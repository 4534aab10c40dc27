//! Verification and repair: what is wrong is found and told by key and column, what is not wrong is
//! not, and what was found is brought in line.

mod automatic;
mod checksum;
mod commands;
mod faults;
mod kept;
mod keys;
mod large;
mod quiet;
mod rules;
mod statistics;

use regraft_testkit::{Daemon, wait_until};
use regraft_tests::{DEADLINE, Site, number};
use serde_json::Value;
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

/// As fast as it goes, in small ranges.
const FAST: &str =
    "[backfill]\nchunk_rows = 500\n[verify]\nrows_per_second = 100000000\nsource_percent = 100\n";

/// Runs `regraft verify` with these arguments and `--json`; gives the exit status, and the report.
async fn verify(site: &Site, arguments: &[&str]) -> (i32, Value) {
    let arguments = [&["verify", "--json"], arguments].concat();
    let finished = site.installation.command(&arguments, DEADLINE).await;
    assert!(finished.code() < 2, "{arguments:?}: {}\n{}", finished.stdout, finished.stderr);
    (finished.code(), finished.json())
}

/// Changes rows at the source, one after the other, until it is dropped.
fn write(client: Client, sql: &'static str) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            client.batch_execute(sql).await.unwrap();
        }
    }))
}

/// Waits until every statement was swept once more, from its beginning, and nothing is left to be looked
/// at.
async fn swept(site: &Site, daemon: &mut Daemon) {
    let target = site.at_target().await;
    let sweeps = "SELECT coalesce(min(sweep), 0)::bigint FROM (SELECT max(sweep) AS sweep FROM regraft.statements s \
                  LEFT JOIN regraft.verified v ON v.pipeline = s.pipeline \
                      AND starts_with(v.fingerprint, s.fingerprint) GROUP BY s.statement) AS x";
    wait_until("the ledger", DEADLINE, async || {
        let made = "SELECT to_regclass('regraft.verified') IS NOT NULL";
        let row = target.query_one(made, &[]).await.map_err(|error| error.to_string())?;
        if row.get(0) { Ok(()) } else { Err("none".to_owned()) }
    })
    .await;
    let before = number(&target, sweeps).await;
    wait_until("a whole sweep", DEADLINE * 2, async || {
        if daemon.ended().is_some() {
            panic!("the daemon ended\n{}", daemon.log());
        }
        let now = number(&target, sweeps).await;
        let left = number(&target, "SELECT count(*) FROM regraft.unsettled").await;
        // One is under way, the next one is whole, and the one after it has begun.
        if now >= before + 2 && left == 0 {
            Ok(())
        } else {
            Err(format!("{before}: {now}, {left} left"))
        }
    })
    .await;
}
