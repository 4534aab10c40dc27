//! Random transactions over very few keys, so that everything meets everything: rows come, change,
//! move and go again inside one transaction, with values that the stream does not carry, while rows
//! are copied, in batches of all sizes, and through crashes.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use regraft_testkit::Daemon;
use regraft_tests::Site;
use regraft_tests::world::DENSE;

/// Transactions per run.
const TRANSACTIONS: usize = 400;

fn stop(daemon: Option<Daemon>) {
    if let Some(mut daemon) = daemon {
        daemon.kill9();
    }
}

/// The seed of a test, or that of the environment: `REGRAFT_SEED=7 cargo test --test random`.
fn seed(usual: u64) -> u64 {
    std::env::var("REGRAFT_SEED").map_or(usual, |given| given.parse().unwrap())
}

/// Runs the transactions of a seed against daemons that are killed now and then, and compares from
/// time to time.
async fn run(usual: u64, name: &str, limits: &str) {
    let site = Site::shared(name, (limits, ""), &[DENSE.source], DENSE.target, DENSE.mapping).await;
    let seed = seed(usual);
    let mut random = StdRng::seed_from_u64(seed);
    let source = site.at_source().await;
    let mut daemon = Some(site.run());
    for number in 0..TRANSACTIONS {
        let text = (DENSE.transaction)(&mut random);
        source.batch_execute(&text).await.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        match random.random_range(0..100) {
            0 => stop(daemon.take()),
            1..6 if daemon.is_none() => daemon = Some(site.run()),
            6 => {
                daemon.get_or_insert_with(|| site.run());
                tokio::select! {
                    () = site.settled() => {}
                    error = site.held() => panic!("seed {seed}, transaction {number}: {error}\n{text}"),
                }
                eprintln!("seed {seed}: transaction {number} is applied");
                site.assert_equal().await;
            }
            _ => {}
        }
    }
    stop(daemon);
    site.catch_up().await;
    site.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_usual_limits() {
    run(1, "random_usual", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_chunks_of_single_rows() {
    run(2, "random_grains", "[backfill]\nchunk_rows = 1\nrows_per_second = 20\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_batch_for_each_few_rows() {
    run(3, "random_crumbs", "[limits]\nbatch_rows = 3\n[backfill]\nchunk_rows = 5\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_old_batches() {
    run(4, "random_old", "[limits]\nbatch_age = \"2s\"\n[backfill]\nchunk_rows = 2\n").await;
}
