//! How many sessions a pipeline has, and what is said when a server has no room for them.

use regraft_testkit::wait_until;
use regraft_tests::{DEADLINE, number};
use serde_json::Value;
use tokio_postgres::Client;

use crate::support::{Case, Given, ready, stop, with_user};

/// Sessions of a pipeline at a server.
async fn sessions(client: &Client, name: &str) -> i64 {
    let sql =
        format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'regraft {name}'");
    number(client, &sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_follows_has_few_sessions_and_readers_only_while_they_read() {
    // More rows than one reader can be given at once.
    let extra = "[backfill]\nreaders = 4\nchunk_rows = 1\n";
    let case = Case::of(Given { extra, ..Given::default() }).await;
    let (source, target) = (&case.databases.source, &case.databases.target);
    let mut daemon = case.installation.run();
    let mut most = 0;
    wait_until("the copy", DEADLINE, async || {
        most = most.max(sessions(source, &case.name).await);
        let (status, _) = daemon.http("/readyz").await?;
        if status == 200 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    ready(&mut daemon).await;
    wait_until("readers to leave", DEADLINE, async || {
        let now = (sessions(source, &case.name).await, sessions(target, &case.name).await);
        most = most.max(now.0);
        if now == (5, 6) { Ok(()) } else { Err(format!("{now:?}, {}", daemon.log())) }
    })
    .await;
    // What the guide and `check` say.
    assert!(most <= 4 + 7, "{most}");
    // They come back when there is something to read.
    case.at_source(
        "INSERT INTO items SELECT i, 'rowvalue4711', i FROM generate_series(21, 40) AS i",
    )
    .await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

fn warnings(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let warnings = findings.filter(|finding| finding["severity"] == "warning");
    warnings.map(|warning| format!("{} {}", warning["what"], warning["remedy"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_leave_too_little_room_are_named_before_they_are_met() {
    let case = Case::usual().await;
    let [legacy, modern] = ["legacy", "modern"].map(|side| format!("{}_{side}", case.name));
    let (source, target) = (format!("{}_s", case.name), format!("{}_t", case.name));
    case.at_source(&format!(
        "CREATE ROLE {source} LOGIN REPLICATION CONNECTION LIMIT 8; ALTER TABLE items OWNER TO {source};
         GRANT CREATE ON DATABASE {legacy} TO {source}"
    ))
    .await;
    case.at_target(&format!(
        "CREATE ROLE {target} LOGIN; GRANT ALL ON goods TO {target};
         GRANT CREATE ON DATABASE {modern} TO {target}; ALTER DATABASE {modern} CONNECTION LIMIT 6"
    ))
    .await;
    let limited = case.another(|setup| {
        setup.source_url = with_user(&setup.source_url, &source);
        setup.target_url = with_user(&setup.target_url, &target);
    });
    let report = limited.command(&["check", "--json"], DEADLINE).await;
    assert_eq!(report.code(), 0, "{}{}", report.stdout, report.stderr);
    let said = warnings(&report.json());
    assert_eq!(said.len(), 2, "{said:#?}");
    for (said, parts) in said.iter().zip([
        ["9 sessions at the source (backfill.readers + 7)", "of the role is 8", "ALTER ROLE"],
        [
            "7 sessions at the target (target.sessions + 5)",
            "of the database is 6",
            "ALTER DATABASE",
        ],
    ]) {
        parts.iter().for_each(|part| assert!(said.contains(part), "{part}: {said}"));
    }
    // With enough of them nothing is said, and that is enough.
    case.at_source(&format!("ALTER ROLE {source} CONNECTION LIMIT 9")).await;
    case.at_target(&format!("ALTER DATABASE {modern} CONNECTION LIMIT 8")).await;
    let report = limited.command(&["check", "--json"], DEADLINE).await;
    assert!(warnings(&report.json()).is_empty(), "{}", report.stdout);
    let mut daemon = limited.run();
    ready(&mut daemon).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
    // When they are met all the same, the error says the number.
    case.at_source(&format!("ALTER ROLE {source} CONNECTION LIMIT 2")).await;
    let mut daemon = limited.run();
    wait_until("the error", DEADLINE, async || {
        assert!(daemon.ended().is_none(), "{}", daemon.log());
        let (_, status) = daemon.http("/api/v1/status").await?;
        let parts = ["53300", "needs 9 sessions at the source", "CONNECTION LIMIT"];
        if parts.iter().all(|part| status.contains(part)) { Ok(()) } else { Err(status) }
    })
    .await;
    case.at_source(&format!("ALTER ROLE {source} CONNECTION LIMIT 9")).await;
    ready(&mut daemon).await;
    stop(daemon).await;
}
