//! From the demo to the teardown: what is made, what is left, and what an older program must not
//! touch.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use regraft_testkit::Example;
use regraft_tests::{DEADLINE, number};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Case, Given, assert_says, ready, stop};

#[tokio::test(flavor = "multi_thread")]
async fn teardown_removes_what_was_made_and_only_when_told_to() {
    let case = Case::usual().await;
    let nothing = case.regraft(&["teardown", "--apply"]).await;
    assert_eq!(nothing.code(), 0, "{}", nothing.stderr);
    assert!(nothing.stdout.contains("nothing to remove"), "{}", nothing.stdout);
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let busy = case.regraft(&["teardown", "--apply"]).await;
    assert_says(&busy, 3, "RG5002", &[&case.name, "stop the daemon"]);
    stop(daemon).await;
    let objects = format!(
        "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{0}')
         + (SELECT count(*) FROM pg_publication WHERE pubname = '{0}')",
        case.slot()
    );
    let known = format!("SELECT count(*) FROM regraft.pipelines WHERE name = '{}'", case.name);
    let told = case.regraft(&["teardown"]).await;
    assert_eq!(told.code(), 0, "{}", told.stderr);
    for part in ["would remove the slot", "would remove the publication", "ledger", "--apply"] {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    let left = "leaving the schema regraft of the target";
    assert!(told.stdout.contains(left) && told.stdout.contains("DROP SCHEMA"), "{}", told.stdout);
    let (source, target) = (&case.databases.source, &case.databases.target);
    assert_eq!((number(source, &objects).await, number(target, &known).await), (2, 1));
    let done = case.regraft(&["teardown", "--apply"]).await;
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(done.stdout.contains(left), "{}", done.stdout);
    assert_eq!((number(source, &objects).await, number(target, &known).await), (0, 0));
    for table in ["chunks", "tables", "statements"] {
        assert_eq!(
            number(target, &format!("SELECT count(*) FROM regraft.{table}")).await,
            0,
            "{table}"
        );
    }
    assert_eq!(number(target, "SELECT count(*) FROM goods").await, 20, "target tables stay");
    // From the beginning: the rows that are there are not taken for its own.
    assert_says(&case.run_once().await, 4, "RG3013", &["public.goods"]);
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "all"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn teardown_leaves_what_regraft_did_not_make() {
    let lines = "slot = \"SLOT\"\npublication = \"mine\"";
    let case = Case::of(Given { source_lines: lines, ..Given::default() }).await;
    let path = case.installation.path("regraft.toml");
    let slot = format!("own_{}", case.name);
    let text = std::fs::read_to_string(&path).unwrap().replace("SLOT", &slot);
    case.installation.write_config(&text);
    case.at_source("CREATE PUBLICATION mine FOR TABLE items").await;
    case.at_source(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"))
        .await;
    case.catch_up().await;
    let done = case.regraft(&["teardown", "--apply"]).await;
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(done.stdout.contains(&format!("leaving the slot {slot}")), "{}", done.stdout);
    let left = format!(
        "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}')
         + (SELECT count(*) FROM pg_publication WHERE pubname = 'mine')"
    );
    assert_eq!(number(&case.databases.source, &left).await, 2);
}

/// A demo in a folder for everything that it makes, so that what it leaves can be told from others'.
struct Demo {
    folder: TempDir,
    child: Child,
}

impl Demo {
    fn start(example: Example, arguments: &[&str]) -> Demo {
        let folder = tempfile::Builder::new().prefix("regraft-demo-").tempdir().unwrap();
        // The server's account has to pass through it.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(regraft_testkit::regraft_binary());
        command.env("TMPDIR", folder.path()).current_dir("/");
        command.args(["demo", "--example", example.name(), "--rows", "2000"]).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Demo { child: command.spawn().unwrap(), folder }
    }

    /// Exit status and standard output; asserts that nothing is left.
    async fn end(self) -> (Option<i32>, String) {
        let output = tokio::time::timeout(DEADLINE, self.child.wait_with_output());
        let output = output.await.unwrap().unwrap();
        let folder = std::fs::read_dir(self.folder.path()).unwrap();
        let left: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
        let processes = Command::new("ps").args(["-eo", "pid=,args="]).output().await.unwrap();
        let processes = String::from_utf8_lossy(&processes.stdout).into_owned();
        let name = self.folder.path().display().to_string();
        let own: Vec<_> = processes.lines().filter(|line| line.contains(&name)).collect();
        assert!(own.is_empty(), "{own:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        println!("{said}");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

async fn demo(example: Example) {
    let (status, said) = Demo::start(example, &["--json", "--seconds", "1"]).end().await;
    assert_eq!(status, Some(0), "{said}");
    let summary: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(summary["differences"], 0, "{summary:#}");
    assert_eq!(summary["example"], example.name(), "{summary:#}");
    for field in ["rows", "changes", "transactions", "seconds", "rows_per_second", "compared"] {
        assert!(summary[field].as_f64().unwrap() > 0.0, "{field}: {summary:#}");
    }
    for field in ["lag_p50_seconds", "lag_p99_seconds"] {
        assert!(summary[field].is_number(), "{field}: {summary:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_of_ai_workloads_shows_no_difference_and_leaves_nothing() {
    demo(Example::AiWorkloads).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_of_todos_shows_no_difference_and_leaves_nothing() {
    demo(Example::Todos).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_interrupted_leaves_nothing_either() {
    let mut demo = Demo::start(Example::Todos, &["--seconds", "600"]);
    let mut lines = BufReader::new(demo.child.stderr.as_mut().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("following the load") {
            break;
        }
    }
    let pid = demo.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let (status, _) = demo.end().await;
    assert_eq!(status, Some(130));
}
