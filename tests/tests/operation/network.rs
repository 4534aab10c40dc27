//! Connections that are cut at any byte.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use regraft_testkit::{
    Daemon, Example, Installation, Proxy, Setup, Writer, WriterOptions, assert_equal_mapping,
    wait_until,
};
use regraft_tests::DEADLINE;

use crate::support::{Case, Given, settled, stop};

/// Daemons one after the other, each with a back-off that starts anew.
const STARTS: u32 = 10;
/// Cuts for each of them.
const CUTS: u32 = 5;

#[derive(Clone, Copy, PartialEq)]
enum Link {
    Source,
    Target,
}

/// Cuts all connections after this many bytes, and waits until the daemon says so. It says nothing of a
/// connection that only looks at the catalogues: then they are cut once more.
async fn cut_after(proxy: &Proxy, daemon: &Daemon, bytes: u32) {
    let failures = || daemon.stderr().matches("is tried again").count();
    let before = failures();
    proxy.cut_after(bytes);
    let mut armed = Instant::now();
    wait_until("the daemon to notice the cut", DEADLINE, async || {
        if failures() > before {
            Ok(())
        } else {
            if armed.elapsed() > Duration::from_secs(5) {
                proxy.cut_after(bytes);
                armed = Instant::now();
            }
            Err(format!("after {bytes} bytes\n{}", daemon.log()))
        }
    })
    .await;
}

/// Copies and follows an example under load while one of the two links is cut again and again.
async fn cut_again_and_again(example: Example, link: Link, seed: u64) {
    let seed_sql = example.seed_sql(3_000);
    let source_sql = format!("{};{seed_sql}", example.source_sql());
    let case = Case::of(Given {
        source: &source_sql,
        target: example.target_sql(),
        mapping: example.mapping_sql(),
        ..Given::default()
    })
    .await;
    let (source, target) = crate::support::servers().await;
    let proxy =
        Proxy::start(if link == Link::Source { source.port() } else { target.port() }).await;
    let change = |setup: &mut Setup| {
        let url = if link == Link::Source { &mut setup.source_url } else { &mut setup.target_url };
        *url = proxy.url(url);
        setup.extra = "[backfill]\nchunk_rows = 100\n".to_owned();
    };
    let installation: Installation = case.another(change);
    let options =
        WriterOptions { seed, truncates: true, rate: Some(150), ..WriterOptions::default() };
    let writer = Writer::start(&case.databases.source_url, example, options);
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..STARTS {
        let daemon = installation.run();
        // Only what follows is cut: the set-up is tried again with a back-off of its own.
        wait_until("the daemon to follow", DEADLINE, async || {
            let log = daemon.stderr();
            if log.contains("following the source") { Ok(()) } else { Err(log) }
        })
        .await;
        for cut in 0..CUTS {
            // Into the log-in, the first statements, the middle of a batch.
            let bytes = match cut % 4 {
                0 => random.random_range(10_000..80_000),
                1 => random.random_range(1..3_000),
                _ => random.random_range(3_000..40_000),
            };
            cut_after(&proxy, &daemon, bytes).await;
        }
        // Perhaps while it waits to try again.
        stop(daemon).await;
    }
    let daemon = installation.run();
    let report = writer.stop().await;
    assert_eq!(report.first_error, None);
    let databases = &case.databases;
    settled(&databases.source, &databases.target, &case.name).await;
    assert_equal_mapping(&databases.source, &databases.target, &case.mapping).await;
    assert!(report.transactions > 100, "{report:?}");
    stop(daemon).await;
    case.assert_discreet(&crate::support::everything_printed(&installation));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_to_the_source_is_cut_at_random_bytes_under_load() {
    cut_again_and_again(Example::AiWorkloads, Link::Source, 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_to_the_target_is_cut_at_random_bytes_under_load() {
    cut_again_and_again(Example::Todos, Link::Target, 22).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_slow_only_makes_it_slower() {
    let case = Case::usual().await;
    let (source, target) = crate::support::servers().await;
    let (to_source, to_target) =
        (Proxy::start(source.port()).await, Proxy::start(target.port()).await);
    let installation = case.another(|setup| {
        setup.source_url = to_source.url(&setup.source_url);
        setup.target_url = to_target.url(&setup.target_url);
    });
    to_source.delay(Duration::from_millis(10));
    to_target.delay(Duration::from_millis(10));
    let finished = installation.command(&["run", "--until-caught-up"], DEADLINE).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
}
