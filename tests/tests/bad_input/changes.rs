//! What changes under a pipeline: its mapping, the source's columns, the daemon itself.

use std::time::Duration;

use regraft_testkit::{assert_equal_mapping, wait_until};
use regraft_tests::{DEADLINE, number};

use crate::support::{Case, Given, assert_says, everything_printed, ready, stop, until_true};

const CHANGED: &str =
    "INSERT INTO goods\nSELECT id, upper(name), amount * 2\nFROM items\nWHERE id <> 13;\n";

async fn assert_equal_under(case: &Case, mapping: &str) {
    assert_equal_mapping(&case.databases.source, &case.databases.target, mapping).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_mapping_is_refused_until_it_is_accepted_or_copied_anew() {
    let case = Case::usual().await;
    case.catch_up().await;
    // Comments and white space are no change.
    case.installation
        .write_mapping(&format!("-- a comment\n{}", case.mapping.replace('\n', "  \n")));
    case.catch_up().await;
    case.installation.write_mapping(CHANGED);
    case.at_source("UPDATE items SET amount = 7 WHERE id IN (1, 13)").await;
    let finished = case.run_once().await;
    let parts = ["public.items", "--recopy public.items", "--accept-mapping", "mapping"];
    assert_says(&finished, 4, "RG3009", &parts);
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "public.items"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_equal_under(&case, CHANGED).await;
    // It is the pipeline's mapping now.
    case.at_source("UPDATE items SET amount = 8 WHERE id IN (2, 13)").await;
    case.catch_up().await;
    assert_equal_under(&case, CHANGED).await;
    case.installation.write_mapping(&case.mapping);
    assert_says(&case.run_once().await, 4, "RG3009", &parts);
    let finished = case.regraft(&["run", "--until-caught-up", "--accept-mapping"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let doubled = "SELECT count(*) FROM goods WHERE name <> upper(name)";
    assert_eq!(number(&case.databases.target, doubled).await, 0, "rows stay as they were");
    case.at_source("UPDATE items SET amount = 9").await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_anew_under_a_changed_mapping_meets_live_changes() {
    let source = "CREATE TABLE items (id bigint PRIMARY KEY, name text, amount integer);
                  INSERT INTO items SELECT i, 'name ' || i, i FROM generate_series(1, 4000) AS i";
    let extra = "[backfill]\nchunk_rows = 100\n";
    let case = Case::of(Given { source, extra, ..Given::default() }).await;
    case.catch_up().await;
    case.installation.write_mapping(CHANGED);
    let writer = case.databases.source_url.clone();
    let writing = tokio::spawn(async move {
        let client = regraft_testkit::connect(&writer).await.unwrap();
        for round in 0..400_i64 {
            let sql = format!(
                "UPDATE items SET name = name || '.', amount = {round}
                 WHERE id % 397 = {round} % 397;
                 DELETE FROM items WHERE id = {round} * 7 + 1;
                 INSERT INTO items VALUES ({round} + 10000, 'new', {round});
                 UPDATE items SET id = id + 100000 WHERE id = {round} * 5 + 3"
            );
            client.batch_execute(&sql).await.unwrap();
        }
    });
    let mut daemon = case.installation.start(&["run", "--recopy", "items"]);
    writing.await.unwrap();
    case.settled().await;
    assert_equal_under(&case, CHANGED).await;
    // Killed in the middle, the copy anew goes on where it was; without the flag.
    daemon.kill9();
    case.installation.write_mapping(&case.mapping);
    let mut daemon = case.installation.start(&["run", "--recopy", "all"]);
    let begun = format!(
        "SELECT count(done_at) BETWEEN 3 AND 30 FROM regraft.chunks WHERE pipeline = '{}'",
        case.name
    );
    until_true(&case.databases.target, "some chunks of the second copy", &begun).await;
    daemon.kill9();
    case.at_source("UPDATE items SET amount = 1 WHERE id % 3 = 0").await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_new_in_the_mapping_is_copied_beside_the_others() {
    let source = format!(
        "{}; CREATE TABLE kinds (id bigint PRIMARY KEY, label text);
         INSERT INTO kinds VALUES (1, 'a'), (2, 'b')",
        crate::support::SOURCE
    );
    let target = format!(
        "{}; CREATE TABLE sorts (id bigint PRIMARY KEY, label text)",
        crate::support::TARGET
    );
    let case = Case::of(Given { source: &source, target: &target, ..Given::default() }).await;
    case.catch_up().await;
    let copied = "SELECT max(id) FROM regraft.chunks WHERE source_table = 'items'";
    let before = number(&case.databases.target, copied).await;
    let mapping = format!("{}INSERT INTO sorts SELECT id, label FROM kinds;\n", case.mapping);
    case.installation.write_mapping(&mapping);
    case.at_source("UPDATE kinds SET label = 'c' WHERE id = 2").await;
    case.catch_up().await;
    assert_equal_under(&case, &mapping).await;
    case.at_source("INSERT INTO kinds VALUES (3, 'd'); DELETE FROM kinds WHERE id = 1").await;
    case.catch_up().await;
    assert_equal_under(&case, &mapping).await;
    assert_eq!(number(&case.databases.target, copied).await, before, "items are not copied again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retyped_column_stops_the_pipeline_and_a_copy_anew_heals() {
    for running in [true, false] {
        let case = Case::usual().await;
        let mut daemon = case.installation.run();
        ready(&mut daemon).await;
        if !running {
            daemon.kill9();
        }
        // All stored values change, and nothing of it is in the stream.
        case.at_source("ALTER TABLE items ALTER COLUMN amount TYPE bigint USING amount * 10").await;
        case.at_target("ALTER TABLE goods ALTER COLUMN amount TYPE bigint").await;
        case.at_source("UPDATE items SET amount = amount + 1 WHERE id = 5").await;
        if running {
            let error = case.held(&daemon, "RG3008").await;
            let said = error["what"].as_str().unwrap();
            for part in ["\"amount\"", "public.items", "integer", "bigint", "mapping.sql:1:1"] {
                assert!(said.contains(part), "{part}: {said}");
            }
            stop(daemon).await;
        }
        let finished = case.run_once().await;
        let parts =
            ["public.items", "\"amount\" (was integer, is bigint)", "--recopy public.items"];
        assert_says(&finished, 4, "RG3008", &parts);
        let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "items"]).await;
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        case.assert_equal().await;
        case.at_source("UPDATE items SET amount = amount * 1000000000 WHERE id < 9").await;
        case.catch_up().await;
        case.assert_equal().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_dropped_or_renamed_stops_the_pipeline_at_its_position() {
    for (change, mend) in [
        ("ALTER TABLE items RENAME COLUMN name TO title", "title"),
        ("ALTER TABLE items DROP COLUMN name", "'gone'"),
    ] {
        let case = Case::usual().await;
        let mut daemon = case.installation.run();
        ready(&mut daemon).await;
        case.at_source("UPDATE items SET amount = 100 WHERE id = 1").await;
        case.at_source(change).await;
        case.at_source("UPDATE items SET amount = 200 WHERE id = 2").await;
        let error = case.held(&daemon, "RG3008").await;
        let said = error["what"].as_str().unwrap();
        for part in ["\"name\"", "public.items", "mapping.sql:1:1", "transaction committed at"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        stop(daemon).await;
        let amounts = "SELECT string_agg(amount::text, ' ' ORDER BY id) FROM goods WHERE id <= 2";
        let amounts: String = case.databases.target.query_one(amounts, &[]).await.unwrap().get(0);
        assert_eq!(amounts, "100 2");
        // At the next start, the source itself says what is wrong.
        assert_says(
            &case.run_once().await,
            2,
            "RG3002",
            &["mapping.sql:2:12", "\"name\"", "does not exist"],
        );
        let mapping = case.mapping.replace("name", mend);
        case.installation.write_mapping(&mapping);
        assert_says(&case.run_once().await, 4, "RG3009", &["public.items"]);
        let flags =
            if mend == "title" { &["--accept-mapping"][..] } else { &["--recopy", "items"] };
        let arguments: Vec<_> =
            ["run", "--until-caught-up"].into_iter().chain(flags.iter().copied()).collect();
        let finished = case.regraft(&arguments).await;
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        assert_equal_under(&case, &mapping).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_the_mapping_does_not_read_come_and_go() {
    let case = Case::usual().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source(
        "UPDATE items SET amount = 1 WHERE id = 1;
         ALTER TABLE items ADD COLUMN extra text DEFAULT 'x';
         UPDATE items SET amount = 2 WHERE id = 2; ALTER TABLE items DROP COLUMN at;
         UPDATE items SET amount = 3, extra = 'y' WHERE id = 3;
         ALTER TABLE items RENAME COLUMN extra TO more;
         INSERT INTO items VALUES (50, 'fifty', 50, 'z');
         ALTER TABLE items ALTER COLUMN more TYPE varchar(9);
         DELETE FROM items WHERE id = 4",
    )
    .await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
    case.catch_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_waits_and_takes_over_when_the_first_is_killed() {
    let case = Case::usual().await;
    let mut first = case.installation.run();
    ready(&mut first).await;
    let elsewhere = case.another(|_| ());
    let mut second = elsewhere.run();
    wait_until("the second daemon to say why it waits", DEADLINE, async || {
        let (status, body) = case.health(&second).await?;
        let waits =
            status == 503 && body.contains("RG5002") && second.http("/readyz").await?.0 == 503;
        if waits { Ok(()) } else { Err(format!("{status} {body}")) }
    })
    .await;
    // Neither a copy anew nor a teardown happens under the running daemon.
    let third = case.another(|_| ());
    for arguments in
        [&["run", "--recopy", "all"][..], &["run", "--accept-mapping"], &["teardown", "--apply"]]
    {
        let finished = third.command(arguments, DEADLINE).await;
        assert_says(&finished, 3, "RG5002", &[&case.name, "stop", "target (127.0.0.1:"]);
    }
    case.at_source("UPDATE items SET amount = 100 WHERE id = 1").await;
    case.settled().await;
    case.assert_equal().await;
    assert!(first.ended().is_none() && second.ended().is_none());
    assert_eq!(case.health(&first).await.unwrap().0, 200);
    first.kill9();
    case.at_source("UPDATE items SET amount = 200 WHERE id = 2").await;
    case.settled().await;
    case.assert_equal().await;
    ready(&mut second).await;
    // The way back: the first one starts again, waits, and the second one is stopped in order.
    let mut first = case.installation.run();
    wait_until("the first daemon to wait", DEADLINE, async || {
        let (status, body) = case.health(&first).await?;
        if status == 503 && body.contains("RG5002") {
            Ok(())
        } else {
            Err(format!("{status} {body}"))
        }
    })
    .await;
    stop(second).await;
    case.at_source("UPDATE items SET amount = 300 WHERE id = 3").await;
    case.settled().await;
    case.assert_equal().await;
    ready(&mut first).await;
    stop(first).await;
    case.assert_discreet(&everything_printed(&elsewhere));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_waits_does_not_take_over_with_an_older_mapping() {
    let case = Case::usual().await;
    let mut first = case.installation.run();
    ready(&mut first).await;
    let elsewhere = case.another(|_| ());
    let mut second = elsewhere.run();
    wait_until("the second daemon to wait", DEADLINE, async || {
        let (status, body) = case.health(&second).await?;
        if status == 503 && body.contains("RG5002") {
            Ok(())
        } else {
            Err(format!("{status} {body}"))
        }
    })
    .await;
    // While it waits, the pipeline gets another mapping.
    second.signal("STOP");
    stop(first).await;
    case.installation.write_mapping(CHANGED);
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "items"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    second.signal("CONT");
    let status = second.wait(Duration::from_secs(60)).await;
    assert_eq!(status.code(), Some(4), "{}", second.log());
    assert!(second.stderr().contains("RG3009"), "{}", second.log());
    case.at_source("UPDATE items SET amount = 3").await;
    case.catch_up().await;
    assert_equal_under(&case, CHANGED).await;
}
