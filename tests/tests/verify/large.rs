//! Values of hundreds of megabytes are compared by their digests, which the servers compute.

use regraft_testkit::wait_until;
use regraft_tests::{DEADLINE, Site, number};

const SOURCE: &str = "
    CREATE TABLE files (id int PRIMARY KEY, content bytea, body text);
    ALTER TABLE files ALTER content SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL;
    INSERT INTO files SELECT n, decode(repeat('00112233445566778899aabbccddeeff', 6000000), 'hex'), repeat('löng ', 10000000)
    FROM generate_series(1, 2) AS n;
    INSERT INTO files VALUES (3, 'small', 'small');";
const TARGET: &str = "CREATE TABLE files (id int PRIMARY KEY, content bytea, body text);
    ALTER TABLE files ALTER content SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL;";

#[tokio::test(flavor = "multi_thread")]
async fn values_are_compared_within_the_budget() {
    let site =
        Site::new(SOURCE, TARGET, "INSERT INTO files SELECT id, content, body FROM files").await;
    // They are there already; what is measured is the comparison.
    site.catch_up().await;
    let target = site.at_target().await;
    target
        .batch_execute("UPDATE files SET content = set_byte(content, 90000000, 1) WHERE id = 2; \
                        UPDATE files SET body = overlay(body placing 'x' from 49999999) WHERE id = 1")
        .await
        .unwrap();
    let daemon = site.installation.start(&["verify", "--json"]);
    let mut peak = 0;
    wait_until("the verification", DEADLINE * 2, async || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 =
            line.map_or(0, |line| line.trim().trim_end_matches(" kB").trim().parse().unwrap());
        peak = peak.max(kib);
        let done = number(
            &target,
            "SELECT count(*) FROM regraft.verifications WHERE finished_at IS NOT NULL",
        )
        .await;
        if done == 1 { Ok(()) } else { Err(format!("{peak} KiB")) }
    })
    .await;
    assert!(peak > 0 && peak < 256 << 10, "{peak} KiB were in use");
    let sql = "SELECT count(*) FROM regraft.findings WHERE difference = 'different' \
               AND (key->>'id', columns) IN (('2', '{content}'), ('1', '{body}'))";
    assert_eq!(number(&target, sql).await, 2, "{}", daemon.log());
    assert_eq!(number(&target, "SELECT count(*) FROM regraft.findings").await, 2);
}
