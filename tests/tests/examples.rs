//! Both migrations of the seeds, live: a random writer works while rows are copied and followed; in
//! the end every target table equals its SELECT.

use std::time::Duration;

use regraft_testkit::{Example, StopMode, Writer, WriterOptions, wait_until};
use regraft_tests::{DEADLINE, Site, SiteOptions, number};

fn writer(site: &Site, example: Example, seed: u64) -> Writer {
    let options = WriterOptions { seed, truncates: true, ..WriterOptions::default() };
    Writer::start(&site.databases.source_url, example, options)
}

/// Small chunks, so that many of them meet the writer.
fn small_chunks() -> SiteOptions {
    let extra = "[backfill]\nchunk_rows = 500\n".to_owned();
    SiteOptions { extra, ..SiteOptions::default() }
}

async fn copied_and_followed_under_load(example: Example) {
    let site = Site::of_example(example, 20_000, small_chunks()).await;
    let writer = writer(&site, example, 7);
    let mut daemon = site.run();
    let target = site.at_target().await;
    wait_until("the copy to be done", DEADLINE, async || {
        let sql = "SELECT count(*) FROM regraft.tables WHERE NOT fully_planned";
        let open = target.query_one(sql, &[]).await.map_err(|error| error.to_string())?;
        let open: i64 = open.get(0);
        if open == 0 { Ok(()) } else { Err(format!("{open} tables open")) }
    })
    .await;
    let before = writer.report().transactions;
    wait_until("more transactions after the copy", DEADLINE, async || {
        let now = writer.report().transactions;
        if now >= before + 500 { Ok(()) } else { Err(format!("{now}")) }
    })
    .await;
    let report = writer.stop().await;
    assert_eq!(report.first_error, None);
    assert!(report.rollbacks > 0, "{report:?}");
    site.settled().await;
    site.assert_equal().await;
    let status = daemon.terminate(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn ai_workloads_are_copied_and_followed_under_load() {
    copied_and_followed_under_load(Example::AiWorkloads).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn todos_are_copied_and_followed_under_load() {
    copied_and_followed_under_load(Example::Todos).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_daemon_is_killed_at_random_instants() {
    let example = Example::AiWorkloads;
    let site = Site::of_example(example, 10_000, small_chunks()).await;
    let writer = writer(&site, example, 11);
    // Spread over the life of a daemon: connecting, copying, following.
    for round in 0..24_u64 {
        let mut daemon = site.run();
        let wait = Duration::from_millis(60 + round * 61 % 900);
        tokio::time::sleep(wait).await;
        daemon.kill9();
    }
    let report = writer.stop().await;
    assert_eq!(report.first_error, None);
    site.catch_up().await;
    site.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_goes_on_when_either_server_is_restarted() {
    let example = Example::Todos;
    let site = Site::of_example(example, 10_000, small_chunks()).await;
    let writer = writer(&site, example, 13);
    let mut daemon = site.run();
    for (round, mode) in [StopMode::Fast, StopMode::Immediate].into_iter().enumerate() {
        for cluster in [&site.source, &site.target] {
            let reached = writer.report().transactions + 150;
            wait_until("some load", DEADLINE, async || {
                let now = writer.report().transactions;
                if now >= reached { Ok(()) } else { Err(format!("round {round}: {now}")) }
            })
            .await;
            cluster.restart(mode).await.unwrap();
        }
    }
    let report = writer.stop().await;
    assert_eq!(report.first_error, None);
    assert!(daemon.ended().is_none(), "{}", daemon.log());
    site.settled().await;
    site.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_until_caught_up_ends_by_itself_and_goes_on_where_it_was() {
    let example = Example::AiWorkloads;
    let site = Site::of_example(example, 3_000, SiteOptions::default()).await;
    let finished =
        site.installation.command(&["run", "--until-caught-up", "--json"], DEADLINE).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let summary = finished.json();
    assert_eq!(summary["ending"], "caught_up");
    assert!(summary["rows"].as_u64().unwrap() > 3_000, "{summary}");
    site.assert_equal().await;
    let source = site.at_source().await;
    source
        .batch_execute("UPDATE ai_workloads SET status = 'again' WHERE id < '40000000-0000-0000-0000-000000000000'; DELETE FROM ai_workloads WHERE id > 'c0000000-0000-0000-0000-000000000000'")
        .await
        .unwrap();
    site.catch_up().await;
    site.assert_equal().await;
    let target = site.at_target().await;
    let copied = number(&target, "SELECT sum(rows)::bigint FROM regraft.chunks").await;
    site.catch_up().await;
    let again = number(&target, "SELECT sum(rows)::bigint FROM regraft.chunks").await;
    assert_eq!(copied, again, "a second run copies nothing");
}
