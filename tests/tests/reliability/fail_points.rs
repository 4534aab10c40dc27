//! The daemon is ended at each of its steps, under load: at once, and once more at the same step later.
//! What it leaves is never half of a commit, and the next daemon goes on from it.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use regraft_core::Lsn;
use regraft_core::fail::POINTS;
use regraft_testkit::{Daemon, fail_points_binary, wait_until};
use regraft_tests::{DEADLINE, Site, number};
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

/// Rows of `s`.
const ROWS: i32 = 60;

/// A few rows are too large for a chunk of several, and `big` is not in the stream when it stays.
const SOURCE: &str = "
    CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL);
    INSERT INTO counter VALUES (1, 0);
    CREATE TABLE kinds (id int PRIMARY KEY, label text);
    INSERT INTO kinds SELECT n, 'kind ' || n FROM generate_series(0, 4) AS n;
    CREATE TABLE s (id int PRIMARY KEY, kind int, small int, big text);
    ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
    INSERT INTO s SELECT n, n % 5, n, repeat(md5(n::text), CASE WHEN n % 20 < 3 THEN 3000 ELSE 80 END)
        FROM generate_series(1, 60) AS n";
const TARGET: &str = "
    CREATE TABLE t (id int PRIMARY KEY, small int, big text);
    CREATE TABLE labels (id int PRIMARY KEY, label text);
    CREATE TABLE joined (id int PRIMARY KEY, label text);
    CREATE TABLE counted (id int PRIMARY KEY, n bigint)";
/// What the pipeline has at first where it gets the rest later.
const FIRST: &str = "
    INSERT INTO t SELECT id, small, big FROM s;
    INSERT INTO counted SELECT id, n FROM counter;";
const MAPPING: &str = "
    INSERT INTO t SELECT id, small, big FROM s;
    INSERT INTO labels SELECT id, small::text || ' ' || big FROM s;
    INSERT INTO joined SELECT s.id, k.label FROM s JOIN kinds AS k ON k.id = s.kind;
    INSERT INTO counted SELECT id, n FROM counter;";
const LIMITS: &str =
    "[backfill]\nchunk_rows = 6\nchunk_bytes = \"64KiB\"\nreaders = 2\n[limits]\nbatch_rows = 20\n";

/// How a step is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A daemon reaches it more than once.
    Run,
    /// Each start of a daemon reaches it once, or only the first one.
    Start,
    /// It is reached when the mapping gets more statements.
    More,
    /// By `regraft verify`, or by `regraft repair`.
    Command(&'static [&'static str]),
}

fn way(point: &str) -> Way {
    match point {
        "findings.recorded" => Way::Command(&["verify"]),
        "repair.asked" | "repair.written" => Way::Command(&["repair", "--apply"]),
        "publication.altered" | "mapping.accepted" => Way::More,
        "slot.made"
        | "publication.made"
        | "pipeline.registered"
        | "standing.accepted"
        | "ledger.locked"
        | "epoch.raised"
        | "stream.proved" => Way::Start,
        _ => Way::Run,
    }
}

/// The end of the log before and after each transaction of the load, by its number from 1.
type Log = Arc<Mutex<Vec<(Lsn, Lsn)>>>;

/// Writes until it is dropped.
async fn load(client: Client, log: Log, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let end = async |client: &Client| -> Lsn {
        let row = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.unwrap();
        row.get::<_, String>(0).parse().unwrap()
    };
    for n in 1.. {
        let (id, other) = (random.random_range(1..=ROWS), random.random_range(1..=ROWS));
        let change = match random.random_range(0..8) {
            0 => format!("UPDATE kinds SET label = 'kind {n}' WHERE id = {}", id % 5),
            1 => format!(
                "UPDATE s SET id = -id WHERE id = {id} AND NOT EXISTS (SELECT FROM s AS o WHERE o.id = -{id})"
            ),
            2 => "UPDATE s SET id = -id WHERE id < 0 AND NOT EXISTS (SELECT FROM s AS o WHERE o.id = -s.id)"
                .to_owned(),
            3 => format!("DELETE FROM s WHERE id = {id}"),
            4 => format!(
                "INSERT INTO s VALUES ({id}, {}, {n}, repeat(md5('{n}'), 80)) ON CONFLICT DO NOTHING",
                id % 5
            ),
            _ => format!("UPDATE s SET small = {n} WHERE id IN ({id}, {other})"),
        };
        let before = end(&client).await;
        let sql = format!("BEGIN; UPDATE counter SET n = {n}; {change}; COMMIT");
        client.batch_execute(&sql).await.unwrap();
        let after = end(&client).await;
        log.lock().unwrap().push((before, after));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the daemon has ended itself.
async fn aborted(daemon: &mut Daemon, point: &str) {
    let status = daemon.wait(DEADLINE).await;
    assert_eq!(status.signal(), Some(6), "{point}: {status}\n{}", daemon.log());
    assert!(daemon.stderr().contains(&format!("fail point {point}: exit")), "{}", daemon.log());
}

/// The rows of the target are those of its position, and the source has kept what comes behind it.
async fn whole(site: &Site, log: &Log, point: &str) {
    let target = site.at_target().await;
    wait_until("the sessions of the daemon to be gone", DEADLINE, async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name LIKE 'regraft %'";
        let left = number(&target, sql).await;
        if left == 0 { Ok(()) } else { Err(format!("{left} sessions")) }
    })
    .await;
    if number(&target, "SELECT count(to_regclass('regraft.pipelines'))").await == 0 {
        return;
    }
    let sql = "SELECT split_part(position, ':', 2), (SELECT n FROM counted) FROM regraft.pipelines";
    let Some(row) = target.query_opt(sql, &[]).await.unwrap() else { return };
    let position: Lsn = row.get::<_, String>(0).parse().unwrap();
    let sql = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots \
               WHERE database = current_database()";
    let row_of_slot = site.at_source().await.query_one(sql, &[]).await.unwrap();
    let confirmed: Lsn = row_of_slot.get::<_, String>(0).parse().unwrap();
    assert!(confirmed <= position, "{point}: the source has forgotten up to {confirmed}");
    // Nothing of the counter may be there yet.
    let Some(n) = row.get::<_, Option<i64>>(1) else { return };
    let n = usize::try_from(n).unwrap();
    wait_until("the transaction after that", DEADLINE, async || {
        let done = log.lock().unwrap().len();
        if done > n { Ok(()) } else { Err(format!("{done} transactions")) }
    })
    .await;
    let log = log.lock().unwrap();
    if n > 0 {
        assert!(log[n - 1].0 < position, "{point}: rows of transaction {n}, and not its position");
    }
    assert!(
        position < log[n].1,
        "{point}: the position of transaction {}, and not its rows",
        n + 1
    );
}

/// Ends the program at a step, once or twice, and has another one go on.
async fn ended_at(point: &str) {
    let way = way(point);
    let name = point.replace('.', "_");
    let first = if way == Way::More { FIRST } else { MAPPING };
    let mut site = Site::shared(&name, (LIMITS, ""), &[SOURCE], TARGET, first).await;
    let log = Log::default();
    if matches!(way, Way::More | Way::Command(_)) {
        site.catch_up().await;
    }
    let writer = load(site.at_source().await, Arc::clone(&log), 1);
    let writer = AbortOnDropHandle::new(tokio::spawn(writer));
    let (arguments, times): (&[&str], &[&str]) = match way {
        Way::Run => (&["run"], &["exit", "exit@3"]),
        Way::Start => (&["run"], &["exit"]),
        Way::More => (&["run", "--recopy", "s"], &["exit"]),
        Way::Command(arguments) => (arguments, &["exit"]),
    };
    if way == Way::More {
        site.installation.write_mapping(MAPPING);
        site.mapping = MAPPING.to_owned();
    }
    if matches!(way, Way::Command(_)) {
        let spoil =
            "DELETE FROM labels WHERE id % 7 = 1; UPDATE joined SET label = 'bad' WHERE id % 9 = 1;
            INSERT INTO t VALUES (-1000, 1, 'of nobody')";
        site.at_target().await.batch_execute(spoil).await.unwrap();
    }
    if way == Way::Command(&["repair", "--apply"]) {
        site.installation.command(&["verify"], DEADLINE).await;
    }
    site.installation.use_program(fail_points_binary().to_path_buf());
    for action in times {
        let armed = format!("{point}={action}");
        let armed = ("REGRAFT_FAIL_POINTS", armed.as_str());
        let mut daemon = site.installation.start_with(arguments, armed);
        aborted(&mut daemon, point).await;
        whole(&site, &log, point).await;
    }
    // The last daemon lives through an error at the same step.
    let armed = format!("{point}=error@2");
    let arguments = if way == Way::More { arguments } else { &["run"] };
    let mut daemon = site.installation.start_with(arguments, ("REGRAFT_FAIL_POINTS", &armed));
    let reached = log.lock().unwrap().len() + 50;
    wait_until("more load", DEADLINE, async || {
        let done = log.lock().unwrap().len();
        if done > reached { Ok(()) } else { Err(format!("{done} transactions")) }
    })
    .await;
    drop(writer);
    site.settled().await;
    if matches!(way, Way::Command(_)) {
        for arguments in [&["verify"][..], &["repair", "--apply"]] {
            let finished = site.installation.command(arguments, DEADLINE).await;
            assert!(finished.code() < 2, "{point}: {}{}", finished.stdout, finished.stderr);
        }
    }
    site.assert_equal().await;
    assert!(daemon.ended().is_none(), "{}", daemon.log());
}

macro_rules! steps {
    ($($name:ident: $point:literal),* $(,)?) => {
        const LISTED: &[&str] = &[$($point),*];
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                ended_at($point).await;
            }
        )*
    };
}

steps! {
    slot_made: "slot.made",
    publication_made: "publication.made",
    publication_altered: "publication.altered",
    pipeline_registered: "pipeline.registered",
    mapping_accepted: "mapping.accepted",
    standing_accepted: "standing.accepted",
    ledger_locked: "ledger.locked",
    epoch_raised: "epoch.raised",
    stream_proved: "stream.proved",
    chunk_planned: "chunk.planned",
    chunk_opened: "chunk.opened",
    chunk_read: "chunk.read",
    chunk_handed: "chunk.handed",
    chunk_marked: "chunk.marked",
    chunk_joined: "chunk.joined",
    chunk_split: "chunk.split",
    trace_split: "trace.split",
    batch_begun: "batch.begun",
    batch_written: "batch.written",
    keys_recorded: "keys.recorded",
    chunk_noted: "chunk.noted",
    batch_noted: "batch.noted",
    batch_recorded: "batch.recorded",
    batch_committed: "batch.committed",
    batch_durable: "batch.durable",
    batch_acknowledged: "batch.acknowledged",
    findings_recorded: "findings.recorded",
    repair_asked: "repair.asked",
    repair_written: "repair.written",
}

/// Each step stands at one place of the program, and no other one does.
#[test]
fn each_step_is_one_of_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for folder in ["src", "connectors"] {
        in_folder(&root.join(folder), &mut found);
    }
    found.sort();
    assert_eq!(POINTS, LISTED, "each has a test");
    let mut listed: Vec<_> = POINTS.iter().map(ToString::to_string).collect();
    listed.sort();
    assert_eq!(found, listed);
}

fn in_folder(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            in_folder(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let points = text.split("fail_point!(\"").skip(1);
            found.extend(points.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}
