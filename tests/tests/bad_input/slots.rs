//! Slots that somebody else uses, moved or dropped: what is missing is never passed over.

use regraft_testkit::{Cluster, ClusterOptions, wait_until};
use regraft_tests::{DEADLINE, number};

use crate::support::{
    Case, Consumer, Given, SOURCE, assert_finding, assert_says, errors, ready, servers, stop,
    with_user,
};

/// Copies, stops, and changes rows while nobody looks.
async fn copied_and_left_behind() -> Case {
    let case = Case::usual().await;
    case.catch_up().await;
    case.at_source(
        "UPDATE items SET name = name || ' behind' WHERE id < 4; DELETE FROM items WHERE id = 20",
    )
    .await;
    case
}

/// Refused with exit 4 as often as it is tried, until everything is copied anew.
async fn only_recopy_heals(case: &Case, code: &str, parts: &[&str]) {
    let before = number(&case.databases.target, "SELECT count(*) FROM goods").await;
    for arguments in [&["run"][..], &["run", "--until-caught-up"]] {
        let finished = case.regraft(arguments).await;
        assert_says(&finished, 4, code, parts);
        assert_says(&finished, 4, code, &["--recopy all", "source (127.0.0.1:"]);
        assert_eq!(number(&case.databases.target, "SELECT count(*) FROM goods").await, before);
    }
    let status = case.regraft(&["status", "--json"]).await.json();
    assert_eq!(status["phase"], "stopped", "{status:#}");
    assert_eq!(status["healthy"], false, "{status:#}");
    assert_eq!(status["last_error"]["code"], code, "{status:#}");
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "all"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
    case.at_source("UPDATE items SET amount = -amount WHERE id BETWEEN 3 AND 9").await;
    case.catch_up().await;
    case.assert_equal().await;
    let status = case.regraft(&["status", "--json"]).await.json();
    assert_eq!(status["last_error"], serde_json::Value::Null, "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_dropped_is_refused_and_a_copy_anew_heals() {
    let case = copied_and_left_behind().await;
    case.at_source(&format!("SELECT pg_drop_replication_slot('{}')", case.slot())).await;
    only_recopy_heals(&case, "RG2008", &[&case.slot(), "is gone"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_made_again_has_a_gap_and_a_copy_anew_heals() {
    let case = copied_and_left_behind().await;
    let slot = case.slot();
    case.at_source(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
    case.at_source(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"))
        .await;
    only_recopy_heals(&case, "RG2011", &[&slot, "confirmed up to"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_advanced_has_a_gap_and_a_copy_anew_heals() {
    let case = copied_and_left_behind().await;
    let slot = case.slot();
    case.at_source(&format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())"))
        .await;
    only_recopy_heals(&case, "RG2011", &[&slot, "confirmed up to"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_the_server_gave_up_is_refused_and_a_copy_anew_heals() {
    let settings = [("max_slot_wal_keep_size", "1MB"), ("min_wal_size", "32MB"), ("fsync", "off")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = ClusterOptions { settings, ..ClusterOptions::default() };
    let source = Cluster::start(options).await.unwrap();
    let case = Case::between(&source, &servers().await.1, Given::default()).await;
    case.catch_up().await;
    case.at_source("CREATE TABLE other AS SELECT repeat('x', 900) FROM generate_series(1, 60000)")
        .await;
    for _ in 0..2 {
        case.at_source("SELECT pg_switch_wal()").await;
        case.at_source("CHECKPOINT").await;
    }
    case.at_source("UPDATE items SET amount = 0 WHERE id = 5").await;
    only_recopy_heals(&case, "RG2009", &[&case.slot(), "max_slot_wal_keep_size"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_is_dropped_under_a_running_daemon_holds_it() {
    let case = Case::usual().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source(&format!("DROP PUBLICATION {}", case.slot())).await;
    case.at_source("UPDATE items SET amount = 100 WHERE id = 1").await;
    let error = case.held(&daemon, "RG2010").await;
    assert!(error["what"].as_str().unwrap().contains(&case.slot()), "{error:#}");
    stop(daemon).await;
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "all"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_was_dropped_is_refused_and_a_copy_anew_heals() {
    let case = copied_and_left_behind().await;
    case.at_source(&format!("DROP PUBLICATION {}", case.slot())).await;
    case.at_source("UPDATE items SET name = 'unpublished' WHERE id = 7").await;
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG2010", &[&case.slot(), "is gone", "--recopy all"]);
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "all"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.at_source("UPDATE items SET name = 'published' WHERE id = 8").await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_source_than_the_one_that_was_copied_is_refused_and_a_copy_anew_takes_it() {
    let case = Case::usual().await;
    case.catch_up().await;
    // The same table in another cluster, and in another database of the same one.
    let databases = &case.databases;
    let other = format!("{}_other", case.name);
    servers().await.0.create_database(&other).await.unwrap();
    let beside = databases.source_url.replace(&format!("{}_legacy", case.name), &other);
    let table = format!("{SOURCE}; UPDATE items SET amount = -amount");
    for (source_url, part) in [(databases.target_url.clone(), "cluster"), (beside, "database")] {
        let client = regraft_testkit::connect(&source_url).await.unwrap();
        client.batch_execute(&table).await.unwrap();
        let moved = case.another(|setup| setup.source_url = with_user(&source_url, "postgres"));
        for arguments in [&["run"][..], &["run", "--recopy", "items"]] {
            let finished = moved.command(arguments, DEADLINE).await;
            assert_says(&finished, 4, "RG2013", &[part, "source (127.0.0.1:", "--recopy all"]);
        }
        let checked = moved.command(&["check", "--json"], DEADLINE).await;
        let findings = errors(&checked.json());
        let finding = findings.iter().find(|finding| finding["code"] == "RG2013").unwrap();
        assert_finding(finding, "RG2013", "source (127.0.0.1:", &[part]);
        assert_eq!(number(&databases.target, "SELECT sum(amount) FROM goods").await, 210);
        if part == "cluster" {
            continue;
        }
        let arguments = ["run", "--until-caught-up", "--recopy", "all"];
        let finished = moved.command(&arguments, DEADLINE).await;
        // The slot of the old database is in the way: the operator decides about it.
        assert_says(&finished, 3, "RG2014", &[&case.slot(), "drop this one"]);
        case.at_source(&format!("SELECT pg_drop_replication_slot('{}')", case.slot())).await;
        let finished = moved.command(&arguments, DEADLINE).await;
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        client.batch_execute("UPDATE items SET amount = 7 WHERE id = 7").await.unwrap();
        let finished = moved.command(&["run", "--until-caught-up"], DEADLINE).await;
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        regraft_testkit::assert_equal_mapping(&client, &databases.target, &case.mapping).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_or_slot_of_ones_own_has_to_fit() {
    let lines = "slot = \"SLOT\"\npublication = \"mine\"";
    let case = Case::of(Given { source_lines: lines, ..Given::default() }).await;
    let path = case.installation.path("regraft.toml");
    let slot = format!("own_{}", case.name);
    let text = std::fs::read_to_string(&path).unwrap().replace("SLOT", &slot);
    case.installation.write_config(&text);
    case.at_source("CREATE PUBLICATION mine FOR TABLE items WITH (publish = 'insert, update')")
        .await;
    let set = "SET (publish = 'insert, update, delete, truncate')";
    case.refused(3, "RG2010", "source (", &["mine", set]).await;
    case.at_source(&format!("ALTER PUBLICATION mine {set}")).await;
    // Version 14 has no row filters.
    if servers().await.0.binaries().version().unwrap().major >= 15 {
        case.at_source("ALTER PUBLICATION mine SET TABLE items WHERE (id < 5)").await;
        case.refused(3, "RG2010", "source (", &["mine", "filters rows", "public.items"]).await;
    }
    case.at_source(
        "CREATE TABLE other (id int PRIMARY KEY); ALTER PUBLICATION mine SET TABLE other",
    )
    .await;
    let add = "ALTER PUBLICATION \"mine\" ADD TABLE \"public\".\"items\"";
    case.refused(3, "RG2010", "source (", &["mine", add]).await;
    case.at_source("ALTER PUBLICATION mine SET TABLE items").await;
    case.at_source(&format!(
        "SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')"
    ))
    .await;
    case.refused(3, "RG2014", "source (", &[&slot, "test_decoding"]).await;
    case.at_source(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
    case.at_source(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"))
        .await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_in_use_is_refused_at_first_and_waited_for_later() {
    let case = Case::usual().await;
    let slot = case.slot();
    case.at_source(&format!("CREATE PUBLICATION {slot} FOR TABLE items")).await;
    case.at_source(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"))
        .await;
    let consumer = Consumer::start(&case, &slot, &slot).await;
    let finished = case.run_once().await;
    assert_says(
        &finished,
        3,
        "RG2007",
        &[&slot, "is used by process", "source (", "other consumer"],
    );
    drop(consumer);
    let free = format!("SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{slot}'");
    crate::support::until_true(&case.databases.source, "the slot to be free", &free).await;
    case.catch_up().await;
    // It is a running pipeline now: another consumer is waited for.
    let consumer = Consumer::start(&case, &slot, &slot).await;
    let daemon = case.installation.run();
    wait_until("the daemon to say why it waits", DEADLINE, async || {
        let (status, body) = case.health(&daemon).await?;
        let (ready, _) = daemon.http("/readyz").await?;
        let right =
            status == 503 && ready == 503 && body.contains("RG2007") && body.contains(&slot);
        if right { Ok(()) } else { Err(format!("{status} {ready} {body}")) }
    })
    .await;
    let shown: serde_json::Value =
        serde_json::from_str(&daemon.http("/api/v1/status").await.unwrap().1).unwrap();
    let error = &shown["last_error"];
    assert_eq!(error["code"], "RG2007", "{shown:#}");
    let finding = serde_json::json!({
        "code": error["code"], "what": error["what"], "where": "", "remedy": error["remedy"],
    });
    assert_finding(&finding, "RG2007", "", &[&slot, "active for PID"]);
    drop(consumer);
    case.at_source("UPDATE items SET amount = 0 WHERE id = 3").await;
    case.settled().await;
    case.assert_equal().await;
    assert_eq!(case.health(&daemon).await.unwrap().0, 200);
    stop(daemon).await;
}
