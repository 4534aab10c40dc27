//! A start that waits says so, and one that fails leaves nothing behind.

use regraft_testkit::{Cluster, ClusterOptions, Daemon, Proxy, StopMode, connect, wait_until};
use regraft_tests::{DEADLINE, number};
use serde_json::Value;
use tokio_postgres::Client;

use crate::support::{Case, Given, assert_says, ready, servers, stop, with_user};

/// What a start makes at the source.
async fn made(case: &Case) -> i64 {
    let sql = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'regraft%') \
               + (SELECT count(*) FROM pg_publication)";
    let own = format!("regraft_{}'", case.name);
    number(&case.databases.source, &sql.replace("regraft%'", &own)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_at_the_start_is_waited_for() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    source.stop(StopMode::Fast).await.unwrap();
    let mut daemon = case.installation.run();
    wait_until("the daemon to say that it waits", DEADLINE, async || {
        let answers = [daemon.http("/healthz").await?, daemon.http("/readyz").await?];
        let told = |(status, body): &(u16, String)| *status == 503 && body.contains("RG2001");
        let (_, status) = daemon.http("/api/v1/status").await?;
        let starting = status.contains("\"phase\":\"starting\"") && status.contains("RG2001");
        if answers.iter().all(told) && starting { Ok(()) } else { Err(format!("{answers:?}")) }
    })
    .await;
    source.start_again().await.unwrap();
    ready(&mut daemon).await;
    assert_eq!(case.health(&daemon).await.unwrap().0, 200);
    stop(daemon).await;
    let target = connect(&case.databases.target_url).await.unwrap();
    assert_eq!(number(&target, "SELECT count(*) FROM goods").await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_source_that_shuts_down_is_unreachable() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    for _ in 0..3 {
        ready(&mut daemon).await;
        source.stop(StopMode::Fast).await.unwrap();
        wait_until("the daemon to notice", DEADLINE, async || {
            let (status, body) = case.health(&daemon).await?;
            if status == 503 && body.contains("RG2001") { Ok(()) } else { Err(body) }
        })
        .await;
        source.start_again().await.unwrap();
    }
    ready(&mut daemon).await;
    assert!(!daemon.stderr().contains("RG9001"), "{}", daemon.log());
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_found_before_anything_is_made() {
    let case = Case::usual().await;
    let taken = tokio::net::TcpListener::bind(("127.0.0.1", case.installation.http_port())).await;
    let finished = case.regraft(&["run"]).await;
    assert_says(&finished, 2, "RG1005", &["http.listen"]);
    assert_eq!(made(&case).await, 0);
    let ledger = "SELECT count(*) FROM pg_namespace WHERE nspname = 'regraft'";
    assert_eq!(number(&case.databases.target, ledger).await, 0);
    drop(taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_fails_removes_what_it_made() {
    let settings = vec![("max_replication_slots".to_owned(), "1".to_owned())];
    let source = Cluster::start(ClusterOptions { settings, ..ClusterOptions::default() });
    let source = source.await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    // The publication is made before the slot.
    case.at_source("SELECT pg_create_physical_replication_slot('other')").await;
    assert_says(&case.run_once().await, 3, "RG2012", &["max_replication_slots"]);
    assert_eq!(made(&case).await, 0);
    // And the slot before it is registered.
    case.at_source("SELECT pg_drop_replication_slot('other')").await;
    case.catch_up().await;
    case.regraft(&["teardown", "--apply"]).await;
    case.at_target(
        "TRUNCATE goods; CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
         CREATE TRIGGER no BEFORE INSERT ON regraft.pipelines EXECUTE FUNCTION no()",
    )
    .await;
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG4001", &["SQLSTATE P0001"]);
    assert_eq!(made(&case).await, 0);
    case.at_target("DROP TRIGGER no ON regraft.pipelines").await;
    case.catch_up().await;
    case.assert_equal().await;
}

/// Has a session hold a row of the source, with a value that nobody may print; gives its process, too.
async fn writer(case: &Case, application: &str, row: u32) -> (Client, i64) {
    let writer = connect(&case.databases.source_url).await.unwrap();
    writer
        .batch_execute(&format!(
            "SET application_name = '{application}'; BEGIN; \
             UPDATE items SET amount = 4711 WHERE id = {row}"
        ))
        .await
        .unwrap();
    let pid = number(&writer, "SELECT pg_backend_pid()::bigint").await;
    (writer, pid)
}

/// Waits until everything that can be asked names all of this while the daemon starts: readiness, the
/// status and the metrics over HTTP, and standard error. The page is there, too.
async fn named(daemon: &Daemon, server: &str, parts: &[&str]) {
    wait_until("what the start waits for to be named", DEADLINE, async || {
        let (ready, why) = daemon.http("/readyz").await?;
        let (_, status) = daemon.http("/api/v1/status").await?;
        let status: Value = serde_json::from_str(&status).map_err(|error| error.to_string())?;
        let (_, metrics) = daemon.http("/metrics").await?;
        let (page, html) = daemon.http("/").await?;
        let log = daemon.stderr();
        let waits = status["waiting"].to_string();
        let waits = status["waiting"][0]["seen"].as_str().unwrap_or(&waits).to_owned();
        let series = format!("regraft_waiting_seconds{{server=\"{server}\"}}");
        let waited = metrics.lines().any(|line| {
            let seconds = line.strip_prefix(&series).and_then(|rest| rest.trim().parse().ok());
            seconds.is_some_and(|seconds: f64| seconds > 0.0)
        });
        let texts = [why.as_str(), &waits, &log];
        let all = texts.iter().all(|text| parts.iter().all(|part| text.contains(part)));
        let served = (ready, page) == (503, 200) && html.contains("Waits for");
        let starts = status["phase"] == "starting" && why.starts_with("starting; waiting for ");
        let phase = metrics.lines().any(|line| line == "regraft_phase{phase=\"starting\"} 1");
        if all && waited && served && starts && phase {
            return Ok(());
        }
        Err(format!("{ready} {why}\n{status:#}\n{waited} {phase} {page}\n{log}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_the_slot_from_being_made_is_named() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    let (first, pid) = writer(&case, "long job", 1).await;
    let mut daemon = case.installation.run();
    let holder =
        format!("held by process {pid} (long job, idle in transaction, in a transaction since");
    let parts = ["waits for a lock", &holder, " ago, its last query began ", ", user postgres"];
    named(&daemon, "source", &parts).await;
    let (_, why) = daemon.http("/readyz").await.unwrap();
    let asked = ["source (", "pg_create_logical_replication_slot"];
    assert!(asked.iter().all(|part| why.contains(part)), "{why}");
    // From outside, although the ledger does not know the pipeline yet.
    let told = case.regraft(&["status"]).await;
    assert_eq!(told.code(), 0, "{told:?}");
    for part in ["phase        starting", "is making the pipeline", &holder] {
        assert!(told.stdout.contains(part), "{}", told.stdout);
    }
    let told = case.regraft(&["status", "--json"]).await.json();
    assert!(told["waiting"][0]["seen"].to_string().contains(&holder), "{told:#}");
    // When it ends, the next one is.
    let (second, pid) = writer(&case, "other job", 2).await;
    first.batch_execute("COMMIT").await.unwrap();
    named(&daemon, "source", &[&format!("held by process {pid} (other job")]).await;
    // What they did is nobody's business.
    assert!(!daemon.stderr().contains("4711"), "{}", daemon.log());
    second.batch_execute("COMMIT").await.unwrap();
    ready(&mut daemon).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_that_keeps_the_slot_is_named() {
    let settings = vec![("max_prepared_transactions".to_owned(), "5".to_owned())];
    let options = ClusterOptions { settings, ..ClusterOptions::default() };
    let source = Cluster::start(options).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    let (writer, _) = writer(&case, "long job", 1).await;
    writer.batch_execute("PREPARE TRANSACTION 'nightly x'").await.unwrap();
    let mut daemon = case.installation.run();
    let holder = "held by prepared transaction 'nightly x' (user postgres, since 20";
    named(&daemon, "source", &[holder]).await;
    case.at_source("COMMIT PREPARED 'nightly x'").await;
    ready(&mut daemon).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

/// Has somebody make the pipeline's slot, as a daemon that was killed leaves it for a while: it waits for
/// transactions of the source. Gives the process, and the end of it.
async fn maker(case: &Case) -> (i64, impl Future<Output = ()> + use<>) {
    let maker = connect(&case.databases.source_url).await.unwrap();
    let pid = number(&maker, "SELECT pg_backend_pid()::bigint").await;
    let sql = format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", case.slot());
    let made = tokio::spawn(async move { maker.batch_execute(&sql).await });
    wait_until("the slot to be in the making", DEADLINE, async || {
        let sql = "SELECT count(*) FROM pg_replication_slots WHERE active";
        match number(&case.databases.source, sql).await {
            0 => Err("it is not there".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    (pid, async move { made.await.unwrap().unwrap() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_still_being_made_is_waited_for_and_its_maker_is_named() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    // At the first start, and where a pipeline starts over.
    for arguments in [&["run"][..], &["run", "--resync", "all"]] {
        let (writer, pid) = writer(&case, "long job", 1).await;
        let (making, made) = maker(&case).await;
        let mut daemon = case.installation.start(arguments);
        let used = format!("is used by process {making} of the source");
        let holder = format!("held by process {pid} (long job");
        wait_until("the slot's maker to be named", DEADLINE, async || {
            let (_, why) = daemon.http("/readyz").await?;
            let parts = ["starting; waiting for source (", "is free", &used, &holder];
            if parts.iter().all(|part| why.contains(part)) { Ok(()) } else { Err(why) }
        })
        .await;
        assert!(daemon.stderr().contains(&used), "{}", daemon.log());
        let told = case.regraft(&["status"]).await.stdout;
        assert!(told.contains("phase        starting"), "{told}");
        writer.batch_execute("COMMIT").await.unwrap();
        made.await;
        ready(&mut daemon).await;
        case.settled().await;
        case.assert_equal().await;
        stop(daemon).await;
        case.at_source(&format!("SELECT pg_drop_replication_slot('{}')", case.slot())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lock_that_a_start_waits_for_is_named() {
    let case = Case::usual().await;
    let [source, target] = ["source", "target"];
    let lock = async |server: &str, sql: &str| {
        let url = match server {
            "source" => &case.databases.source_url,
            _ => &case.databases.target_url,
        };
        let locker = connect(url).await.unwrap();
        let sql = format!("SET application_name = 'night job'; BEGIN; {sql}");
        locker.batch_execute(&sql).await.unwrap();
        let pid = number(&locker, "SELECT pg_backend_pid()::bigint").await;
        (locker, format!("held by process {pid} (night job, idle in transaction"))
    };
    // Before anything is made: the publication, a look at the target, the ledger. One after the other.
    let lists = [
        (target, "LOCK TABLE goods", "goods"),
        (source, "LOCK TABLE items IN SHARE UPDATE EXCLUSIVE MODE", "CREATE PUBLICATION"),
        (target, "CREATE SCHEMA regraft", "CREATE SCHEMA"),
    ];
    let mut lockers = Vec::new();
    for (server, sql, _) in lists {
        lockers.push(lock(server, sql).await);
    }
    let mut daemon = case.installation.run();
    for ((server, _, asked), (locker, holder)) in lists.into_iter().zip(lockers) {
        named(&daemon, server, &[&holder]).await;
        let (_, why) = daemon.http("/readyz").await.unwrap();
        assert!(why.contains(server) && why.contains(asked), "{asked}: {why}");
        locker.batch_execute("ROLLBACK").await.unwrap();
    }
    ready(&mut daemon).await;
    stop(daemon).await;
    // A ledger of an older regraft is migrated, and the lock of another daemon is waited for.
    let (locker, holder) = lock(target, "LOCK TABLE regraft.versions").await;
    let mut daemon = case.installation.run();
    named(&daemon, target, &[&holder]).await;
    locker.batch_execute("ROLLBACK").await.unwrap();
    ready(&mut daemon).await;
    let another = case.another(|_| ());
    let other = another.run();
    wait_until("the other daemon to be named", DEADLINE, async || {
        let (_, why) = other.http("/readyz").await?;
        let parts = ["RG5002", "target (", "another daemon runs the pipeline", "holds its lock"];
        if parts.iter().all(|part| why.contains(part)) { Ok(()) } else { Err(why) }
    })
    .await;
    stop(other).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_to_a_new_connection_is_named() {
    let case = Case::usual().await;
    let (source, target) = servers().await;
    for server in ["source", "target"] {
        let proxy = Proxy::start(if server == "source" { source } else { target }.port()).await;
        proxy.freeze();
        let through = case.another(|setup| {
            let url =
                if server == "source" { &mut setup.source_url } else { &mut setup.target_url };
            *url = proxy.url(url);
        });
        let mut daemon = through.run();
        wait_until("the silent server to be named", DEADLINE, async || {
            let (status, why) = daemon.http("/readyz").await?;
            let parts = [format!("waiting for {server} ("), "a new connection for".to_owned()];
            let named = parts.iter().all(|part| why.contains(part));
            if status == 503 && named { Ok(()) } else { Err(format!("{status} {why}")) }
        })
        .await;
        proxy.thaw();
        ready(&mut daemon).await;
        stop(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_room_or_rights_says_what_it_knows() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    let database = format!("{}_legacy", case.name);
    case.at_source(&format!(
        "CREATE ROLE mover LOGIN REPLICATION CONNECTION LIMIT 0; ALTER TABLE items OWNER TO mover;
         GRANT CREATE ON DATABASE {database} TO mover"
    ))
    .await;
    let installation =
        case.another(|setup| setup.source_url = with_user(&setup.source_url, "mover"));
    let (writer, pid) = writer(&case, "long job", 1).await;
    let mut daemon = installation.run();
    wait_until("the limit to be named", DEADLINE, async || {
        let (status, why) = daemon.http("/readyz").await?;
        let named = status == 503 && why.contains("RG2001") && why.contains("too many connections");
        if named { Ok(()) } else { Err(format!("{status} {why}")) }
    })
    .await;
    // Once it has got in, the cause is another one.
    case.at_source("ALTER ROLE mover CONNECTION LIMIT -1").await;
    let holder =
        format!("held by process {pid} (long job, user postgres, what it does is shown to");
    named(&daemon, "source", &[&holder]).await;
    assert_eq!(daemon.http("/healthz").await.unwrap().0, 200);
    writer.batch_execute("COMMIT").await.unwrap();
    ready(&mut daemon).await;
    stop(daemon).await;
}
