//! Output that nobody reads to its end, or that cannot be written: the work is done all the same.

use std::fs::File;
use std::process::{Command, Stdio};

use regraft_testkit::regraft_binary;
use regraft_tests::{DEADLINE, number};

use crate::support::Case;

#[tokio::test(flavor = "multi_thread")]
async fn every_command_ends_as_ever_when_nobody_reads_what_it_prints() {
    let case = Case::usual().await;
    std::fs::write(case.installation.path("rule.sql"), "-- none\nSELECT 1").unwrap();
    let commands: &[(&[&str], i32)] = &[
        (&["--help"], 0),
        (&["--version"], 0),
        (&["nonsense"], 2),
        (&["status"], 3),
        (&["status", "-c", "none.toml"], 2),
        (&["check"], 0),
        (&["check", "--json"], 0),
        (&["check", "--ddl"], 0),
        (&["check", "--sample", "5"], 0),
        (&["run", "--until-caught-up"], 0),
        (&["run", "--until-caught-up", "--json"], 0),
        (&["status"], 0),
        (&["status", "--json"], 0),
        (&["verify"], 0),
        (&["verify", "--json"], 0),
        (
            &[
                "verify",
                "--statistics",
                "--rules",
                "rule.sql",
                "--checksum",
                "md5",
                "--column",
                "goods.name",
            ],
            1,
        ),
        (&["repair"], 0),
        (&["repair", "--json"], 0),
        (&["repair", "--apply"], 0),
        (&["demo", "--rows", "100", "--seconds", "1"], 0),
        (&["teardown"], 0),
        (&["teardown", "--apply"], 0),
    ];
    for (arguments, status) in commands {
        let ended = case.installation.command_unheard(arguments, DEADLINE).await;
        assert_eq!(ended.code(), Some(*status), "{arguments:?}");
    }
    let made = format!(
        "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{0}')
         + (SELECT count(*) FROM pg_publication WHERE pubname = '{0}')",
        case.slot()
    );
    assert_eq!(number(&case.databases.source, &made).await, 0, "the teardown is done");
    let known = "SELECT count(*) FROM regraft.pipelines";
    assert_eq!(number(&case.databases.target, known).await, 0, "the teardown is done");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_cannot_be_written_is_an_error() {
    let case = Case::usual().await;
    let mut check = Command::new(regraft_binary());
    check.arg("check").current_dir(case.installation.path("."));
    check.stdout(File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
    let ended = check.output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(said.contains("standard output cannot be written"), "{said}");
}
