//! Where nothing is wrong nothing is found, whatever happens at the source.

use std::time::{Duration, Instant};

use regraft_testkit::{Example, Writer, WriterOptions, wait_until};
use regraft_tests::{DEADLINE, Site, SiteOptions, number};

use crate::{FAST, swept};

/// How long each of the tests writes; a longer run is asked for by `REGRAFT_VERIFY_SECONDS=600`.
fn duration() -> Duration {
    let seconds = std::env::var("REGRAFT_VERIFY_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(12))
}

/// Statements that the source evaluates, beside those of the example.
const MORE: &str = "
INSERT INTO by_status (id, same)
SELECT w.id, (SELECT count(*) FROM kinds AS k WHERE k.id = w.status) FROM ai_workloads AS w;";

async fn nothing_is_found_under_load(example: Example) {
    let (mut source, mut target) =
        (example.source_sql().to_owned(), example.target_sql().to_owned());
    let mut mapping = example.mapping_sql().to_owned();
    if example == Example::AiWorkloads {
        source.push_str("CREATE TABLE kinds (id text PRIMARY KEY); INSERT INTO kinds VALUES ('ready'), ('training');");
        target.push_str("CREATE TABLE by_status (id uuid PRIMARY KEY, same bigint);");
        mapping.push_str(MORE);
    }
    let options = SiteOptions { extra: FAST.to_owned(), ..SiteOptions::default() };
    let source = [source.as_str(), &example.seed_sql(5_000)];
    let site = Site::with(options, &source, &target, &mapping).await;
    let options = WriterOptions { seed: 23, truncates: true, ..WriterOptions::default() };
    let mut daemon = site.run();
    let writer = Writer::start(&site.databases.source_url, example, options);
    let (client, begun) = (site.at_source().await, Instant::now());
    let mut turn = 0_u64;
    while begun.elapsed() < duration() {
        if example == Example::AiWorkloads {
            // The other table changes, too.
            turn += 1;
            let kind = ["ready", "training", "failed"][usize::try_from(turn % 3).unwrap()];
            let sql = format!(
                "DELETE FROM kinds WHERE id = '{kind}'; INSERT INTO kinds SELECT '{kind}' WHERE {turn} % 2 = 0 ON CONFLICT DO NOTHING"
            );
            client.batch_execute(&sql).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(daemon.ended().is_none(), "{}", daemon.log());
    }
    let report = writer.stop().await;
    assert_eq!(report.first_error, None);
    site.settled().await;
    swept(&site, &mut daemon).await;
    let target = site.at_target().await;
    let found = target
        .query("SELECT target, difference, key::text, columns::text FROM regraft.findings", &[])
        .await
        .unwrap();
    let found: Vec<(String, String, String, String)> =
        found.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    assert!(found.is_empty(), "{found:?}\n{}", daemon.log());
    site.assert_equal().await;
    let status = site.status().await;
    assert_eq!(status["verification"]["findings_open"], 0, "{status:#}");
    assert!(status["verification"]["rows"].as_u64() > Some(0), "{status:#}");
    let (_, metrics) = daemon.http("/metrics").await.unwrap();
    let verified = metrics.lines().filter(|line| line.starts_with("regraft_verified_rows_total{"));
    assert!(verified.count() > 0, "{metrics}");
    assert!(metrics.contains("\nregraft_findings_open 0"), "{metrics}");
    assert!(metrics.contains("\nregraft_unverified_seconds "), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_ai_workloads() {
    nothing_is_found_under_load(Example::AiWorkloads).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_todos() {
    nothing_is_found_under_load(Example::Todos).await;
}

/// A commit that is in the stream, and thereby in the target, while the source does not show it yet.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_commit_is_stretched() {
    let source = "CREATE TABLE s (id int PRIMARY KEY, v text);
        INSERT INTO s SELECT n, 'old' FROM generate_series(1, 2000) AS n";
    let options = SiteOptions { extra: FAST.to_owned(), ..SiteOptions::default() };
    let target = "CREATE TABLE t (id int PRIMARY KEY, v text)";
    let site = Site::with(options, &[source], target, "INSERT INTO t SELECT id, v FROM s").await;
    let mut daemon = site.run();
    swept(&site, &mut daemon).await;
    let client = site.at_source().await;
    client.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    // The server takes note of the setting at some time; the update that hangs is the last one.
    let (writer, mut hanging) = (site.at_source().await, false);
    let pid: i32 = writer.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let mut update = None;
    for turn in 0..1000 {
        let (client, sql) = (
            site.at_source().await,
            format!("UPDATE s SET v = 'new {turn}' WHERE id BETWEEN 700 AND 720"),
        );
        let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        let task = tokio::spawn(async move { client.batch_execute(&sql).await.unwrap() });
        hanging = wait_until("the commit to hang or to end", DEADLINE, async || {
            let sql =
                "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'";
            let row = writer.query_one(sql, &[&pid]).await.map_err(|error| error.to_string())?;
            match (row.get::<_, i64>(0), task.is_finished()) {
                (1, _) => Ok(true),
                (_, true) => Ok(false),
                _ => Err("neither".to_owned()),
            }
        })
        .await;
        update = Some(task);
        if hanging {
            break;
        }
    }
    assert!(hanging, "no commit hangs: {pid}");
    let at_target = site.at_target().await;
    wait_until("the update at the target", DEADLINE, async || {
        let sql = "SELECT count(*) FROM t WHERE v LIKE 'new%'";
        let (there, here) = (number(&at_target, sql).await, "SELECT max(v) FROM s WHERE id = 700");
        let seen: String = client.query_one(here, &[]).await.unwrap().get(0);
        let arrived = "SELECT max(v) FROM t WHERE id = 700";
        let arrived: String = at_target.query_one(arrived, &[]).await.unwrap().get(0);
        if there == 21 && arrived != seen { Ok(()) } else { Err(format!("{arrived} and {seen}")) }
    })
    .await;
    // What the source shows and what the target has differ; that is no finding.
    let unsettled = "SELECT count(*) FROM regraft.unsettled";
    wait_until("the rows to be looked at", DEADLINE, async || {
        let count = number(&at_target, unsettled).await;
        if count == 21 { Ok(()) } else { Err(format!("{count} unsettled")) }
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        number(&at_target, "SELECT count(*) FROM regraft.findings").await,
        0,
        "{}",
        daemon.log()
    );
    client.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    update.unwrap().await.unwrap();
    swept(&site, &mut daemon).await;
    assert_eq!(
        number(&at_target, "SELECT count(*) FROM regraft.findings").await,
        0,
        "{}",
        daemon.log()
    );
}
