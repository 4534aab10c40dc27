//! A pipeline that has nothing to do costs its servers next to nothing: it keeps its sessions, and asks
//! little.

use regraft_testkit::{Daemon, wait_until};
use regraft_tests::{DEADLINE, number};
use tokio_postgres::Client;

use crate::support::{Case, ready, stop};

/// So often the ledger hears of the daemon while it is looked at: each time after ten rounds of its looks at
/// the servers.
const BEATS: u32 = 4;
/// Transactions per beat, at each server; with a second table compared they were hundreds.
const TRANSACTIONS: i64 = 60;
/// Sessions that were opened, and transactions, of the database that is asked.
const COUNTS: &str = "SELECT ARRAY[sessions, xact_commit + xact_rollback] FROM pg_stat_database \
                      WHERE datname = current_database()";

async fn counts(clients: [&Client; 2]) -> Vec<Vec<i64>> {
    let mut counts = Vec::new();
    for client in clients {
        // Of this session, too: what it did is told after a second.
        client.batch_execute("SELECT pg_stat_clear_snapshot()").await.unwrap();
        counts.push(client.query_one(COUNTS, &[]).await.unwrap().get(0));
    }
    counts
}

/// The ledger hears of the daemon so many times.
async fn beats(target: &Client, times: u32) {
    let sql = "SELECT (extract(epoch FROM updated_at) * 1000000)::bigint FROM regraft.pipelines";
    for _ in 0..times {
        let before = number(target, sql).await;
        wait_until("a beat", DEADLINE, async || {
            if number(target, sql).await == before { Err(before.to_string()) } else { Ok(()) }
        })
        .await;
    }
}

/// So many sweeps over the whole are done.
async fn sweeps(target: &Client, more: i64, daemon: &Daemon) {
    let sql = "SELECT coalesce(min(n), 0) FROM (SELECT max(sweep) AS n FROM regraft.verified \
               GROUP BY fingerprint) AS s";
    let until = number(target, sql).await + more;
    wait_until("sweeps", DEADLINE, async || match number(target, sql).await {
        now if now >= until => Ok(()),
        now => Err(format!("{now} of {until}\n{}", daemon.log())),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_no_sessions_and_asks_little() {
    let case = Case::usual().await;
    let clients = [&case.databases.source, &case.databases.target];
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    // Whatever a beginning needs is there.
    sweeps(clients[1], 2, &daemon).await;
    // This test asks on connections of its own for as long as it counts: it waits the same way twice.
    let looker = regraft_testkit::connect(&case.databases.target_url).await.unwrap();
    beats(&looker, 1).await;
    let first = counts(clients).await;
    beats(&looker, BEATS).await;
    sweeps(&looker, 1, &daemon).await;
    let last = counts(clients).await;
    for (side, (first, last)) in ["source", "target"].iter().zip(first.iter().zip(&last)) {
        assert_eq!(last[0] - first[0], 0, "sessions opened at the {side}\n{}", daemon.log());
        println!("{side}: {} transactions", last[1] - first[1]);
    }
    let transactions = last[0][1] - first[0][1];
    assert!(transactions <= TRANSACTIONS * i64::from(BEATS), "{transactions} at the source");
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_compared_soon_all_the_same() {
    let case = Case::usual().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    sweeps(&case.databases.target, 2, &daemon).await;
    // Of a table that rests, a row of the target that somebody else wrote is found by the next sweep.
    case.at_target("UPDATE goods SET amount = -1 WHERE id = 7").await;
    wait_until("the finding", DEADLINE, async || {
        let open = "SELECT count(*) FROM regraft.findings WHERE state = 'open'";
        match number(&case.databases.target, open).await {
            1 => Ok(()),
            open => Err(format!("{open} findings\n{}", daemon.log())),
        }
    })
    .await;
    // And a change of the source has its table compared anew, with what the change makes equal.
    case.at_source("UPDATE items SET amount = amount + 1").await;
    wait_until("the end of the finding", DEADLINE, async || {
        let open = "SELECT count(*) FROM regraft.findings WHERE state = 'open'";
        match number(&case.databases.target, open).await {
            0 => Ok(()),
            open => Err(format!("{open} findings\n{}", daemon.log())),
        }
    })
    .await;
    stop(daemon).await;
}
