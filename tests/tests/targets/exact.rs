//! Each target is exact, whatever happens to another one, to the daemon and to the source.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};
use regraft_testkit::{
    Cluster, ClusterOptions, Example, Proxy, StopMode, Writer, WriterOptions, wait_until,
};
use regraft_tests::DEADLINE;

use crate::support::{ready, servers, until_true};
use crate::{Fanned, stop};

/// Little waits in memory for a target, so that it is soon detached.
const SMALL: &str = "[limits]\nmemory = \"64MiB\"\n[backfill]\nchunk_rows = 500\n";

async fn cluster() -> Cluster {
    let settings = vec![("fsync".to_owned(), "off".to_owned())];
    Cluster::start(ClusterOptions { settings, ..ClusterOptions::default() }).await.unwrap()
}

/// Runs the writer until it has made so many transactions more.
async fn write(fanned: &Fanned, example: Example, seed: u64, transactions: u64) {
    let options = WriterOptions { seed, ..WriterOptions::default() };
    let writer = Writer::start(&fanned.source_url, example, options);
    wait_until("the writer's transactions", DEADLINE, async || {
        let made = writer.report().transactions;
        if made >= transactions { Ok(()) } else { Err(format!("{made}")) }
    })
    .await;
    assert_eq!(writer.stop().await.first_error, None);
}

/// Changes and removes rows, after a writer that has made its own.
async fn touch(fanned: &Fanned, example: Example) {
    let table = example.source_table();
    for part in 0..5 {
        let sql = format!(
            "UPDATE {table} SET updated_at = now() WHERE abs(hashtext(id::text)) % 5 = {part};
             DELETE FROM {table} WHERE abs(hashtext(id::text)) % 50 = {part}"
        );
        fanned.source.batch_execute(&sql).await.unwrap();
    }
}

/// Rows that take about 12 MB in the stream, and none afterwards.
async fn write_much(fanned: &Fanned) {
    for _ in 0..12 {
        let sql = "INSERT INTO wide SELECT i, repeat(md5(i::text), 30) FROM generate_series(10001, 11000) AS i";
        fanned.source.batch_execute(sql).await.unwrap();
        fanned.source.batch_execute("DELETE FROM wide WHERE id > 10000").await.unwrap();
    }
}

const WIDE: &str = "CREATE TABLE wide (id bigint PRIMARY KEY, v text)";
const WIDE_MAPPING: &str = "INSERT INTO wide SELECT id, v FROM wide;\n";

async fn wide(name: &str, source: &Cluster, targets: &[&Cluster]) -> Fanned {
    let seeded =
        format!("{WIDE}; INSERT INTO wide SELECT i, 'x' || i FROM generate_series(1, 3000) AS i");
    Fanned::make(name, (source, &seeded), (targets, WIDE), WIDE_MAPPING).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_target_dies_and_the_other_goes_on() {
    let ((source, first), second) = (servers().await, cluster().await);
    let example = Example::AiWorkloads;
    let fanned = Fanned::of_example("dies", example, 2_000, source, &[first, &second]).await;
    let mut daemon = fanned.installation.run();
    ready(&mut daemon).await;
    second.stop(StopMode::Immediate).await.unwrap();
    write(&fanned, example, 1, 300).await;
    fanned.assert_exact(0).await;
    fanned.until(&daemon, 1, "the second one to be held", |told| told["phase"] == "held").await;
    let (_, health) = daemon.http("/healthz").await.unwrap();
    assert!(health.starts_with("targets.b: RG"), "{health}");
    assert!(!health.contains("\ntarget: "), "{health}");
    // The log is kept for it: what it has is the least.
    second.start_again().await.unwrap();
    fanned.assert_exact(1).await;
    fanned.until_stream(&daemon, 1, "shared").await;
    touch(&fanned, example).await;
    fanned.assert_exact(0).await;
    fanned.assert_exact(1).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_target_freezes_and_is_detached_and_comes_back_by_itself() {
    let (source, target) = servers().await;
    let fanned = wide("freezes", source, &[target, target]).await;
    let proxy = Proxy::start(target.port()).await;
    let targets = [fanned.targets[0].clone(), proxy.url(&fanned.targets[1])];
    fanned.configure(&targets, "", SMALL);
    let mut daemon = fanned.installation.run();
    ready(&mut daemon).await;
    proxy.freeze();
    let before = fanned.confirmed().await;
    write_much(&fanned).await;
    fanned.assert_exact(0).await;
    fanned.until_stream(&daemon, 1, "detached").await;
    assert!(daemon.stderr().contains("is detached"), "{}", daemon.log());
    let (_, metrics) = daemon.http("/metrics").await.unwrap();
    assert!(metrics.contains("regraft_detached{target=\"b\"} 1"), "{metrics}");
    assert!(metrics.contains("regraft_detached 0"), "{metrics}");
    let confirmed = fanned.confirmed().await - before;
    assert!(confirmed < 1 << 20, "the source keeps its log: {confirmed}");
    proxy.thaw();
    fanned.assert_exact(1).await;
    fanned.until_stream(&daemon, 1, "shared").await;
    // What is kept is let go of.
    wait_until("the slot to move", DEADLINE, async || {
        let moved = fanned.confirmed().await - before;
        if moved > 10 << 20 { Ok(()) } else { Err(format!("{moved}")) }
    })
    .await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_too_far_behind_is_given_up_and_brought_in_line() {
    // What other tests write into the log of a source is not of its targets.
    let (source, first, second) = (cluster().await, &servers().await.1, cluster().await);
    let fanned = wide("given_up", &source, &[first, &second]).await;
    fanned.configure(&fanned.targets, "keep_log = \"4MB\"", SMALL);
    let mut daemon = fanned.installation.run();
    ready(&mut daemon).await;
    second.stop(StopMode::Immediate).await.unwrap();
    let before = fanned.confirmed().await;
    write_much(&fanned).await;
    fanned.until_stream(&daemon, 1, "given_up").await;
    assert!(daemon.stderr().contains("the target is given up"), "{}", daemon.log());
    wait_until("the slot to move", DEADLINE, async || {
        let moved = fanned.confirmed().await - before;
        if moved > 8 << 20 { Ok(()) } else { Err(format!("{moved}")) }
    })
    .await;
    second.start_again().await.unwrap();
    // It is told, and nothing is passed over.
    fanned
        .until(&daemon, 1, "the gap to be told", |told| {
            let remedy = "`regraft run --target b --resync all`";
            told["last_error"]["code"] == "RG2011"
                && told["last_error"]["remedy"].as_str().is_some_and(|text| text.contains(remedy))
                && told["phase"] == "stopped"
        })
        .await;
    fanned.assert_exact(0).await;
    stop_with(daemon, 4).await;
    // Started again without a word, it still knows.
    let mut daemon = fanned.installation.run();
    fanned
        .until(&daemon, 1, "the gap to be told", |told| told["last_error"]["code"] == "RG2011")
        .await;
    stop_with(daemon, 4).await;
    // What is to be brought in line is behind for a while.
    fanned.configure(&fanned.targets, "", SMALL);
    daemon = fanned.installation.start(&["run", "--target", "b", "--resync", "all"]);
    ready(&mut daemon).await;
    write_much(&fanned).await;
    fanned.assert_exact(0).await;
    fanned.assert_exact(1).await;
    stop(daemon).await;
}

/// A daemon that was told to stop while one of its targets had ended says so.
async fn stop_with(mut daemon: regraft_testkit::Daemon, code: i32) {
    let status = daemon.terminate(Duration::from_secs(8)).await;
    assert_eq!(status.code(), Some(code), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_new_is_copied_while_the_other_goes_on() {
    let (source, target) = servers().await;
    let example = Example::Todos;
    let fanned = Fanned::of_example("joins", example, 3_000, source, &[target, target]).await;
    fanned.configure(&fanned.targets[..1], "", "");
    let mut daemon = fanned.installation.run();
    ready(&mut daemon).await;
    write(&fanned, example, 5, 200).await;
    stop(daemon).await;
    fanned.configure(&fanned.targets, "", SMALL);
    touch(&fanned, example).await;
    daemon = fanned.installation.run();
    touch(&fanned, example).await;
    ready(&mut daemon).await;
    fanned.assert_exact(0).await;
    fanned.assert_exact(1).await;
    // And away again.
    stop(daemon).await;
    fanned.configure(&fanned.targets[..1], "", "");
    daemon = fanned.installation.run();
    touch(&fanned, example).await;
    fanned.assert_exact(0).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_and_targets_are_killed_again_and_again() {
    let ((source, first), second, third) = (servers().await, cluster().await, cluster().await);
    let example = Example::AiWorkloads;
    let targets = [first, &second, &third];
    let fanned = Fanned::of_example("kills", example, 3_000, source, &targets).await;
    fanned.configure(&fanned.targets, "", SMALL);
    let options =
        WriterOptions { seed: 9, truncates: true, rate: Some(150), ..WriterOptions::default() };
    let writer = Writer::start(&fanned.source_url, example, options);
    let mut random = StdRng::seed_from_u64(9);
    let mut daemon = fanned.installation.run();
    for kill in 0..12 {
        let committed = writer.report().transactions + random.random_range(5..120);
        wait_until("transactions between kills", DEADLINE, async || {
            let made = writer.report().transactions;
            if made >= committed { Ok(()) } else { Err(format!("{made}")) }
        })
        .await;
        match kill % 3 {
            0 => {
                daemon.kill9();
                daemon = fanned.installation.run();
            }
            other => {
                let victim = if other == 1 { &second } else { &third };
                victim.kill9();
                victim.start_again().await.unwrap();
            }
        }
        assert!(daemon.ended().is_none(), "{}", daemon.log());
    }
    assert_eq!(writer.stop().await.first_error, None);
    for target in 0..targets.len() {
        fanned.assert_exact(target).await;
    }
    for target in 0..targets.len() {
        fanned.until_stream(&daemon, target, "shared").await;
    }
    // Copies of the slot end with what they were for.
    let sql = "SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name LIKE 'regraft_kills%'";
    until_true(&fanned.source, "one slot to be left", sql).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_to_the_source_breaks_for_all_and_is_made_again() {
    let (source, target) = servers().await;
    let example = Example::Todos;
    let mut fanned = Fanned::of_example("breaks", example, 1_000, source, &[target, target]).await;
    let proxy = Proxy::start(source.port()).await;
    let direct = std::mem::take(&mut fanned.source_url);
    fanned.source_url = proxy.url(&direct);
    fanned.configure(&fanned.targets, "", SMALL);
    fanned.source_url = direct;
    let options = WriterOptions { seed: 3, rate: Some(150), ..WriterOptions::default() };
    let writer = Writer::start(&fanned.source_url, example, options);
    let mut daemon = fanned.installation.run();
    for bytes in [700, 20_000, 90_000, 5_000, 150_000] {
        ready(&mut daemon).await;
        let failures = || daemon.stderr().matches("is tried again").count();
        let before = failures();
        wait_until("the link to be cut", DEADLINE, async || {
            proxy.cut_after(bytes);
            if failures() > before { Ok(()) } else { Err(daemon.log()) }
        })
        .await;
    }
    assert_eq!(writer.stop().await.first_error, None);
    fanned.assert_exact(0).await;
    fanned.assert_exact(1).await;
    stop(daemon).await;
}
