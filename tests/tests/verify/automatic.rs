//! Repair by the daemon itself, where the settings say so, up to a limit.

use std::time::Duration;

use regraft_testkit::wait_until;
use regraft_tests::{DEADLINE, Site, SiteOptions, number};

use crate::FAST;

const SOURCE: &str = "CREATE TABLE s (id int PRIMARY KEY, v text);
    INSERT INTO s SELECT n, 'v' || n FROM generate_series(1, 500) AS n";
const TARGET: &str = "CREATE TABLE t (id int PRIMARY KEY, v text)";

async fn site(limit: u32) -> Site {
    let extra = format!("{FAST}repair = \"auto\"\nrepairs_per_hour = {limit}\n");
    let options = SiteOptions { extra, ..SiteOptions::default() };
    let site = Site::with(options, &[SOURCE], TARGET, "INSERT INTO t SELECT id, v FROM s").await;
    site.catch_up().await;
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_rows_are_brought_in_line() {
    let site = site(10).await;
    let target = site.at_target().await;
    target
        .batch_execute("DELETE FROM t WHERE id < 4; INSERT INTO t VALUES (900, 'x')")
        .await
        .unwrap();
    let daemon = site.run();
    wait_until("the repair", DEADLINE, async || {
        let sql = "SELECT count(*) FROM regraft.findings WHERE state = 'repaired'";
        let repaired = number(&target, sql).await;
        if repaired == 4 { Ok(()) } else { Err(format!("{repaired}\n{}", daemon.log())) }
    })
    .await;
    site.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_stop_the_pipeline() {
    let site = site(3).await;
    let target = site.at_target().await;
    target.batch_execute("DELETE FROM t WHERE id BETWEEN 5 AND 9").await.unwrap();
    let mut daemon = site.run();
    let status = daemon.wait(DEADLINE).await;
    assert_eq!(status.code(), Some(4), "{}", daemon.log());
    assert!(daemon.log().contains("RG6001"), "{}", daemon.log());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(number(&target, "SELECT count(*) FROM t").await, 495, "nothing was repaired");
    assert_eq!(
        number(&target, "SELECT count(*) FROM regraft.findings WHERE state = 'open'").await,
        5
    );
}
