//! Health is measured when it is asked for, and every wait for a server has an end and a name.

use regraft_postgres::Endpoint;
use regraft_postgres::ledger::PgLedger;
use regraft_testkit::{Cluster, ClusterOptions, Daemon, Proxy, connect, wait_until};
use regraft_tests::{DEADLINE, number};
use serde_json::Value;

use crate::support::{Case, Given, ready, servers, settled, stop, until_true};

/// Short waits, so that a test need not be long.
const SHORT: &str = "[deadlines]\nanswer = \"15s\"\nlock = \"15s\"\n";

/// A metric of the daemon; `None` when it is not there.
async fn metric(daemon: &Daemon, name: &str) -> Option<f64> {
    let (_, text) = daemon.http("/metrics").await.unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name))?;
    Some(line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

/// Waits until `/readyz` says no, with these words.
async fn unready(daemon: &Daemon, parts: &[&str]) {
    wait_until("the daemon not to be ready", DEADLINE, async || {
        let (status, body) = daemon.http("/readyz").await?;
        if status == 503 && parts.iter().all(|part| body.contains(part)) {
            Ok(())
        } else {
            Err(body)
        }
    })
    .await;
}

/// Waits until the status over HTTP says that this is waited for, and gives what the server says of it.
async fn waits_for(daemon: &Daemon, server: &str, parts: &[&str]) -> String {
    wait_until("the status to name who is waited for", DEADLINE, async || {
        let (_, body) = daemon.http("/api/v1/status").await?;
        let status: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let waiting = status["waiting"].as_array().ok_or(body.clone())?;
        let found = waiting.iter().find(|one| {
            let text = one.to_string();
            one["server"].as_str().is_some_and(|name| name.starts_with(server))
                && parts.iter().all(|part| text.contains(part))
        });
        found.map(|one| one["seen"].as_str().unwrap_or_default().to_owned()).ok_or(body)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_at_the_target_lets_readiness_fall_and_the_status_names_its_holder() {
    let case = Case::of(Given { extra: SHORT, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let locker = connect(&case.databases.target_url).await.unwrap();
    locker
        .batch_execute("SET application_name = 'night job'; BEGIN; LOCK TABLE goods")
        .await
        .unwrap();
    let pid = number(&locker, "SELECT pg_backend_pid()::bigint").await;
    case.at_source("UPDATE items SET amount = 0 WHERE id = 1").await;
    let holder = format!("held by process {pid} (night job, idle in transaction");
    waits_for(&daemon, "target (", &["goods", &holder, "since 20"]).await;
    let told = case.regraft(&["status"]).await.stdout;
    assert!(told.contains(&holder), "{told}");
    // The figures grow while nothing is committed.
    let first = metric(&daemon, "regraft_lag_seconds").await.unwrap();
    assert!(first > 0.0, "{first}");
    wait_until("the lag to grow", DEADLINE, async || {
        let now = metric(&daemon, "regraft_lag_seconds").await.unwrap();
        if now > first + 2.0 { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    // The wait has an end, which holds the pipeline until the lock is gone.
    case.held(&daemon, "RG4005").await;
    unready(&daemon, &["lock timeout"]).await;
    locker.batch_execute("COMMIT").await.unwrap();
    ready(&mut daemon).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_the_proof_grows_while_verification_cannot_work() {
    // A line of the table `http`.
    let extra = "ready_unverified = \"15s\"\n";
    let case = Case::of(Given { extra, ..Given::default() }).await;
    let installation = &case.installation;
    let mut daemon = installation.run();
    ready(&mut daemon).await;
    let locker = connect(&case.databases.source_url).await.unwrap();
    locker.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").await.unwrap();
    unready(&daemon, &["compared", "http.ready_unverified is 15s"]).await;
    assert!(metric(&daemon, "regraft_unverified_seconds").await.unwrap() > 15.0);
    // A comparison waits for a lock only briefly, as others may wait for what it holds: it is told why it stopped.
    unready(&daemon, &["compared", "source (", "lock timeout"]).await;
    locker.batch_execute("COMMIT").await.unwrap();
    ready(&mut daemon).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_a_network_swallows_are_given_up_and_named() {
    let case = Case::usual().await;
    let (_, target) = servers().await;
    let proxy = Proxy::start(target.port()).await;
    let through = case.another(|setup| {
        setup.target_url = proxy.url(&setup.target_url);
        setup.extra = SHORT.to_owned();
    });
    let mut daemon = through.run();
    ready(&mut daemon).await;
    proxy.freeze();
    case.at_source("UPDATE items SET amount = 0 WHERE id = 1").await;
    let seen = waits_for(&daemon, "target (", &["nor does it answer a new connection"]).await;
    assert!(seen.contains("within"), "{seen}");
    unready(&daemon, &["RG2001", "no answer to", "within"]).await;
    proxy.thaw();
    ready(&mut daemon).await;
    settled(&case.databases.source, &case.databases.target, &case.name).await;
    case.assert_equal().await;
    stop(daemon).await;
}

/// Sends a signal to a server process on this machine; false when it has ended.
async fn signal(pid: i64, name: &str) -> bool {
    let mut command = tokio::process::Command::new("kill");
    let status = command.arg(format!("-{name}")).arg(pid.to_string()).status().await;
    status.unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_the_target_that_is_stopped_is_given_up_and_named() {
    let case = Case::of(Given { extra: SHORT, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    // Those that write, and that of the ledger: all that have written something.
    let sql = format!(
        "SELECT array_agg(pid::bigint) FROM pg_stat_activity
         WHERE application_name = 'regraft {}' AND datname = current_database()",
        case.name
    );
    let row = case.databases.target.query_one(&sql, &[]).await.unwrap();
    let mut pids: Vec<i64> = Vec::new();
    for pid in row.get::<_, Vec<i64>>(0) {
        // Verification has sessions that end by themselves.
        if signal(pid, "STOP").await {
            pids.push(pid);
        }
    }
    case.at_source("UPDATE items SET amount = 0 WHERE id = 1").await;
    // One that was stopped in the middle of a statement is at work as far as its server knows.
    waits_for(&daemon, "target (", &["process", "it has not got the request"]).await;
    // The stopped process still has the pipeline's lock: the next attempt says so.
    unready(&daemon, &["RG5002", "holds its lock"]).await;
    for pid in &pids {
        signal(*pid, "CONT").await;
    }
    ready(&mut daemon).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_with_a_backlog_is_not_ready_before_it_has_caught_up() {
    let case = Case::usual().await;
    case.catch_up().await;
    // Changes that wait, of which the target takes none for now.
    let locker = connect(&case.databases.target_url).await.unwrap();
    locker.batch_execute("BEGIN; INSERT INTO goods VALUES (100, '', 1)").await.unwrap();
    case.at_source(
        "INSERT INTO items SELECT i, repeat(md5(i::text), 20), i FROM generate_series(100, 20000) i",
    )
    .await;
    let mut daemon = case.installation.run();
    let mut answers = Vec::new();
    waits_for_with(&daemon, &mut answers, "held by process").await;
    answers.dedup();
    assert!(answers.iter().all(|(ready, _)| *ready != 200), "{answers:?}");
    assert!(answers.iter().any(|(_, why)| why.contains("has not had everything")), "{answers:?}");
    let (_, body) = daemon.http("/api/v1/status").await.unwrap();
    let status: Value = serde_json::from_str(&body).unwrap();
    assert!(status["lag_bytes"].as_u64().unwrap() > 10_000_000, "{status:#}");
    assert!(status["lag_seconds"].as_f64().unwrap() > 0.0, "{status:#}");
    locker.batch_execute("ROLLBACK").await.unwrap();
    ready(&mut daemon).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

/// Asks for readiness and for the status again and again, until the status has this.
async fn waits_for_with(daemon: &Daemon, answers: &mut Vec<(u16, String)>, part: &str) {
    wait_until("the status to say it", DEADLINE, async || {
        answers.push(daemon.http("/readyz").await?);
        let (_, body) = daemon.http("/api/v1/status").await?;
        let status: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        // What is not known is not zero.
        if status["lag_bytes"] == 0 {
            panic!("{status:#}");
        }
        if body.contains(part) { Ok(()) } else { Err(body) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_daemon_that_was_killed_or_is_held_is_the_truth() {
    let case = Case::usual().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    daemon.kill9();
    wait_until("the target to notice", DEADLINE, async || {
        let status = case.regraft(&["status", "--json"]).await.json();
        if status["phase"] == "stopped" { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let status = case.regraft(&["status", "--json"]).await.json();
    assert_eq!(status["healthy"], false, "{status:#}");
    assert_eq!(status["daemon"]["process"], Value::Null, "{status:#}");
    // Held: between two attempts nobody has the lock.
    case.at_source("INSERT INTO items VALUES (99, 'rowvalue4711', 2147483647, NULL)").await;
    case.at_target("ALTER TABLE goods ADD CHECK (amount < 1000)").await;
    let daemon = case.installation.run();
    case.held(&daemon, "RG4001").await;
    wait_until("a moment without a lock", DEADLINE, async || {
        let status = case.regraft(&["status", "--json"]).await.json();
        assert_eq!((&status["phase"], &status["healthy"]), (&"held".into(), &false.into()));
        if status["daemon"]["process"].is_null() { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    stop(daemon).await;
    let status = case.regraft(&["status", "--json"]).await.json();
    assert_eq!((&status["phase"], &status["healthy"]), (&"stopped".into(), &false.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_refused_row_is_over_when_the_row_is_not_to_be_read_any_more() {
    let target =
        "CREATE TABLE goods (id bigint PRIMARY KEY, name text, amount integer CHECK (amount <> 7))";
    let case = Case::of(Given { target, ..Given::default() }).await;
    let daemon = case.installation.run();
    case.held(&daemon, "RG4001").await;
    wait_until("the row to wait alone", DEADLINE, async || {
        let left = "SELECT count(*) FROM goods";
        match number(&case.databases.target, left).await {
            19 => Ok(()),
            rows => Err(format!("{rows} rows")),
        }
    })
    .await;
    // It is narrowed down to the row; from then on nothing but the row ends the error.
    let mut held = 0;
    wait_until("the error to stay", DEADLINE, async || {
        let (health, _) = case.health(&daemon).await?;
        held = if health == 503 { held + 1 } else { 0 };
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        if held >= 10 { Ok(()) } else { Err(health.to_string()) }
    })
    .await;
    // As if it were done in the moment in which its attempt ends.
    case.at_target("DELETE FROM regraft.chunks WHERE done_at IS NULL").await;
    wait_until("the pipeline to be well", DEADLINE, async || {
        let (health, body) = case.health(&daemon).await?;
        let status = case.regraft(&["status", "--json"]).await.json();
        if health == 200 && status["last_error"].is_null() && status["phase"] == "streaming" {
            return Ok(());
        }
        Err(format!("{health} {body} {status:#}"))
    })
    .await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_waits_for_a_lock_keeps_no_sign_of_life_from_being_given() {
    let source = "CREATE TABLE kinds (id int PRIMARY KEY, label text);
                  INSERT INTO kinds SELECT n, 'kind ' || n FROM generate_series(0, 4) AS n;
                  CREATE TABLE items (id bigint PRIMARY KEY, kind int);
                  INSERT INTO items SELECT n, n % 5 FROM generate_series(1, 20) AS n";
    let target = "CREATE TABLE goods (id bigint PRIMARY KEY, label text)";
    let mapping =
        "INSERT INTO goods SELECT i.id, k.label FROM items AS i JOIN kinds AS k ON k.id = i.kind;";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let locker = connect(&case.databases.source_url).await.unwrap();
    locker.batch_execute("BEGIN; LOCK TABLE items").await.unwrap();
    case.at_source("UPDATE kinds SET label = 'another' WHERE id = 1").await;
    waits_for(&daemon, "source (", &["SET lock_timeout", "Lock relation"]).await;
    // A sign of life is older than five seconds only by the time of a look.
    for _ in 0..10 {
        let outside = case.regraft(&["status", "--json"]).await.json();
        assert!(outside["daemon"]["seen_seconds"].as_f64().unwrap() < 8.0, "{outside:#}");
        let lag = metric(&daemon, "regraft_lag_seconds").await.unwrap();
        assert!(lag < 5.0, "the source does answer: {lag}");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    locker.batch_execute("COMMIT").await.unwrap();
    case.settled().await;
    until_true(
        &case.databases.target,
        "the keys",
        "SELECT count(*) = 4 FROM goods WHERE label = 'another'",
    )
    .await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_machine_that_vanishes_end_at_the_server() {
    let case = Case::usual().await;
    let endpoint = Endpoint::parse(&case.databases.target_url).unwrap();
    let client = endpoint.connect("test").await.unwrap();
    let mut wire = endpoint.connect_replication("test").await.unwrap();
    for (name, value) in [
        ("tcp_keepalives_idle", "30"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
    ] {
        let show = format!("SHOW {name}");
        let row = client.query_one(&format!("SELECT current_setting('{name}')"), &[]).await;
        assert_eq!(row.unwrap().get::<_, String>(0), value, "{name}");
        let rows = wire.simple_query(&show).await.unwrap();
        assert_eq!(rows[0][0].as_deref(), Some(value), "{name}");
    }
    // The one with the lock also when it has been told something.
    PgLedger::lock(&client, "target", &case.name).await.unwrap();
    let row = client.query_one("SHOW tcp_user_timeout", &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "60000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_waits_for_the_pipeline_is_named_and_does_not_wait_for_a_timer() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    source.reload_with(&[("synchronous_standby_names", "*")]).unwrap();
    until_true(
        &case.databases.source,
        "the walsender to count as a standby",
        "SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication",
    )
    .await;
    let report = case.regraft(&["check", "--json"]).await.json();
    let harm = report["findings"].as_array().unwrap().iter().find(|finding| {
        finding["what"].as_str().unwrap().contains("synchronous_standby_names is '*'")
    });
    assert!(harm.unwrap()["remedy"].as_str().unwrap().contains("ALTER SYSTEM"), "{report:#}");
    // The daemon has noticed when commits, of mapped tables or not, come back before a second has
    // passed ten times over; by a timer each would take one.
    let writer = connect(&case.databases.source_url).await.unwrap();
    writer.batch_execute("CREATE TABLE other (id bigint)").await.unwrap();
    for sql in ["INSERT INTO other VALUES (1)", "UPDATE items SET amount = amount + 1 WHERE id = 1"]
    {
        wait_until("commits not to wait for a timer", DEADLINE, async || {
            let begin = std::time::Instant::now();
            for _ in 0..20 {
                writer.batch_execute(sql).await.unwrap();
            }
            let took = begin.elapsed();
            println!("20 times {sql}: {took:?}");
            if took < std::time::Duration::from_secs(4) { Ok(()) } else { Err(format!("{took:?}")) }
        })
        .await;
    }
    source.reload_with(&[("synchronous_standby_names", "")]).unwrap();
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_can_reach_is_warned_of() {
    let case = Case::usual().await;
    let text = std::fs::read_to_string(case.installation.path("regraft.toml")).unwrap();
    case.installation.write_config(&text.replace("listen = \"127.0.0.1:", "listen = \"0.0.0.0:"));
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    assert!(daemon.stderr().contains("open to other machines"), "{}", daemon.log());
    stop(daemon).await;
}
