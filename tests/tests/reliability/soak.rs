//! A short soak; a long one by `cargo run -p regraft-tests --bin soak`.

use std::time::Duration;

use regraft_tests::soak::{Limits, run};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_are_survived() {
    let seed = std::env::var("REGRAFT_SEED").map_or(11, |given| given.parse().unwrap());
    let report = run(seed, Limits { kills: 50, time: Duration::from_secs(3_600) }).await;
    assert!(report.kills() >= 50);
    println!("{report}");
}
