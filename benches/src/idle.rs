//! What a pipeline costs its servers while nothing is written: their processor time with the daemon, and
//! the sessions and transactions that it opens, with the verification of small tables due all the time.

use std::path::Path;
use std::time::Duration;

use regraft_core::Result;
use regraft_throwaway::Cluster;
use tokio_postgres::Client;

use crate::drain::{one, servers, sql};
use crate::report::{Group, Measured, Report, Way};
use crate::used::Used;
use crate::verify::{DEADLINE, SOURCE, TARGET, installation, pair, regraft};

/// Until first sweeps, statistics and caches are done with.
const SETTLED: Duration = Duration::from_secs(15);

/// Measures `tables` small tables, which have nothing to do, for so many seconds.
pub(crate) async fn run(
    (tables, seconds): (u64, u64),
    rounds: usize,
    pg_bin: Option<&Path>,
) -> Result<Report> {
    let (source, target) = pair(&servers(pg_bin)?).await?;
    let (legacy, modern) = (source.client(SOURCE).await?, target.client(TARGET).await?);
    let mut mapping = String::new();
    for n in 0..tables {
        let table = format!("CREATE TABLE t{n} (id bigint PRIMARY KEY, v text)");
        sql(
            &legacy,
            &format!("{table}; INSERT INTO t{n} SELECT g, 'v' || g FROM generate_series(1, 100) g"),
        )
        .await?;
        sql(&modern, &table).await?;
        mapping += &format!("INSERT INTO t{n} SELECT id, v FROM t{n};\n");
    }
    for client in [&legacy, &modern] {
        sql(client, "VACUUM ANALYZE").await?;
    }
    let mut ways = [
        "the source alone",
        "the target alone",
        "the source with a pipeline",
        "the target with a pipeline",
    ]
    .map(Way::new);
    let sides = [(&source, &legacy), (&target, &modern)];
    let installation = installation((&source, &target), &mapping, "");
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        tokio::time::sleep(SETTLED).await;
        let (alone, with) = ways.split_at_mut(2);
        measure(&sides, seconds, alone).await?;
        regraft(&installation, &["run", "--until-caught-up", "--json"]).await?;
        let mut daemon = installation.run();
        tokio::time::sleep(SETTLED).await;
        measure(&sides, seconds, with).await?;
        daemon.terminate(DEADLINE).await;
    }
    let title = "an idle pipeline, processor time";
    let group = Group { title, measured: Measured::Lag, ways: ways.into() };
    Ok(Report { unit: "seconds", count: seconds, groups: vec![group] })
}

async fn measure(sides: &[(&Cluster, &Client)], seconds: u64, ways: &mut [Way]) -> Result<()> {
    let before: Vec<_> = sides.iter().map(|(cluster, _)| Used::by(cluster)).collect();
    let counts =
        "SELECT sum(sessions) || ' ' || sum(xact_commit + xact_rollback) FROM pg_stat_database";
    let mut told = Vec::new();
    for (_, client) in sides {
        told.push(one(client, counts).await?);
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    for (((cluster, client), used), (way, first)) in
        sides.iter().zip(before).zip(ways.iter_mut().zip(told))
    {
        let now = one(client, counts).await?;
        eprintln!(
            "{}: sessions and transactions so far {first}, {seconds} s later {now}",
            way.name
        );
        used.seconds_until_now(cluster, way);
    }
    Ok(())
}
