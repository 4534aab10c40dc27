//! The example with a mapper of its own: the real program, a writer beside it, and an oracle in SQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use regraft_testkit::{Finished, assert_equal_tables, example_binary, regraft_binary, wait_until};
use regraft_tests::{DEADLINE, Site, number};
use tokio_postgres::Client;

const SOURCE: &str = include_str!("../../../examples/own-mapper/source.sql");
const SEED: &str = include_str!("../../../examples/own-mapper/seed.sql");
const TARGET: &str = include_str!("../../../examples/own-mapper/target.sql");
const MAPPING: &str = include_str!("../../../examples/own-mapper/mapping.sql");
const ORACLE: &str = include_str!("oracle.sql");

/// What is in the target by the oracle.
const READINGS: &str = "SELECT p.id, p.logger, u.reading, u.taken_at, u.hundredths \
                        FROM logger_pages AS p CROSS JOIN LATERAL unpack_page(p.page) AS u";
const PAGES: &str = "SELECT id, logger, uploaded_at FROM logger_pages";

/// Small chunks, so that many of them meet the writer.
const CHUNKS: &str = "[backfill]\nchunk_rows = 150\n";

async fn site(name: &str) -> Site {
    let mut site = Site::shared(name, (CHUNKS, ""), &[SOURCE, SEED, ORACLE], TARGET, MAPPING).await;
    site.installation.use_program(example_binary("own-mapper"));
    site
}

async fn assert_equal(site: &Site) {
    let (source, target) = (site.at_source().await, site.at_target().await);
    for (select, table, columns) in [
        (READINGS, "readings", &["page_id", "logger", "position", "taken_at", "hundredths"][..]),
        (PAGES, "pages", &["id", "logger", "uploaded_at"]),
    ] {
        let columns: Vec<_> = columns.iter().map(|name| (*name).to_owned()).collect();
        assert_equal_tables(&source, select, &target, table, &columns).await;
    }
}

/// One change. Pages of 1,500 readings do not fit beside their row.
fn change(random: &mut SmallRng) -> String {
    let id = random.random_range(1..2200);
    let page = format!(
        "pack_page('2025-05-05 05:05:05+00'::timestamptz + {id} * interval '1 s', \
         ARRAY(SELECT (random() * {})::bigint - 1000 FROM generate_series(1, {})))",
        [100, 5_000, 4_000_000_000_u64][random.random_range(0..3)],
        [0, 1, 7, 20, 40, 40, 20, 7, 1, 1500][random.random_range(0..10)],
    );
    match random.random_range(0..12) {
        0..3 => format!("UPDATE logger_pages SET page = {page} WHERE id = {id}"),
        3..6 => format!("UPDATE logger_pages SET logger = logger || '+' WHERE id = {id}"),
        6 => format!("UPDATE logger_pages SET page = NULL WHERE id = {id}"),
        7 => format!("DELETE FROM logger_pages WHERE id = {id}"),
        8 => format!(
            "UPDATE logger_pages SET id = -id, logger = 'moved' WHERE id = {id} \
             AND NOT EXISTS (SELECT FROM logger_pages WHERE id = -{id})"
        ),
        9 => format!("UPDATE logger_pages SET uploaded_at = now() WHERE id % 500 = {id} % 500"),
        _ => format!(
            "INSERT INTO logger_pages (id, logger, page) VALUES ({id}, 'new', {page}) \
             ON CONFLICT (id) DO UPDATE SET logger = 'again', page = excluded.page"
        ),
    }
}

/// Changes rows until told to stop, in transactions of a few changes.
async fn write(client: Client, seed: u64, stop: Arc<AtomicBool>, changes: Arc<AtomicU64>) {
    let mut random = SmallRng::seed_from_u64(seed);
    while !stop.load(Ordering::Relaxed) {
        let count = random.random_range(1..5);
        let mut sql: Vec<_> = (0..count).map(|_| change(&mut random)).collect();
        let rolled_back = random.random_range(0..8) == 0;
        sql.push(if rolled_back { "ROLLBACK" } else { "COMMIT" }.to_owned());
        client.batch_execute(&format!("BEGIN; {}", sql.join("; "))).await.unwrap();
        changes.fetch_add(count, Ordering::Relaxed);
        // While rows are copied, a moved row whose page is missing is read by its key: slowly enough
        // that these reads do not keep the copy from its end.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_mapper_are_equal_after_a_writer_and_kills() {
    let site = site("killed").await;
    let (stop, changes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writing = write(site.at_source().await, 3, Arc::clone(&stop), Arc::clone(&changes));
    let writer = tokio::spawn(writing);
    for round in 0..16_u64 {
        let mut daemon = site.run();
        tokio::time::sleep(Duration::from_millis(80 + round * 97 % 900)).await;
        daemon.kill9();
    }
    // One that lives until all rows are copied, and follows the writer for a while.
    let mut daemon = site.run();
    let target = site.at_target().await;
    wait_until("the copy to be done", DEADLINE, async || {
        let sql = "SELECT (SELECT count(*) FROM regraft.tables WHERE NOT fully_planned) \
                   + (SELECT count(*) FROM regraft.chunks WHERE keys IS NULL AND done_at IS NULL)";
        let open = target.query_one(sql, &[]).await.map_err(|error| error.to_string())?;
        let open: i64 = open.get(0);
        if open == 0 { Ok(()) } else { Err(format!("{open} open")) }
    })
    .await;
    let before = changes.load(Ordering::Relaxed);
    wait_until("more changes after the copy", DEADLINE, async || {
        let now = changes.load(Ordering::Relaxed);
        if now >= before + 200 { Ok(()) } else { Err(format!("{now}")) }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    site.settled().await;
    assert_equal(&site).await;
    let read = "SELECT count(*) FROM regraft.chunks WHERE keys IS NULL";
    assert!(number(&target, read).await > 10, "rows were copied in chunks");
    let status = daemon.terminate(DEADLINE).await;
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    let status = site.status().await;
    assert_eq!(status["tables"][0]["target"], "public.readings", "{status:#}");
    assert!(status["tables"][0]["rows"].as_i64().unwrap() > 2_000, "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_page_is_patched_and_a_row_that_lacks_more_is_read() {
    let site = site("patched").await;
    let source = site.at_source().await;
    let sql = "DELETE FROM logger_pages WHERE id > 40;
        ALTER TABLE logger_pages ALTER COLUMN logger SET STORAGE EXTERNAL;
        UPDATE logger_pages SET page = pack_page(now(), ARRAY(SELECT generate_series(1, 3000))) WHERE id = 1;
        UPDATE logger_pages SET logger = repeat('long name ', 400) WHERE id = 2";
    source.batch_execute(sql).await.unwrap();
    site.catch_up().await;
    assert_equal(&site).await;
    let target = site.at_target().await;
    // A chunk of keys is forgotten when it is done; its number stays.
    let reads =
        "SELECT pg_sequence_last_value(pg_get_serial_sequence('regraft.chunks', 'id')::regclass)";
    let before = number(&target, reads).await;
    // The page is left alone: a patch. The logger is left alone, the page is new: read.
    source.batch_execute("UPDATE logger_pages SET logger = 'short' WHERE id = 1").await.unwrap();
    site.catch_up().await;
    assert_equal(&site).await;
    assert_eq!(number(&target, reads).await, before, "a patch reads nothing");
    source
        .batch_execute("UPDATE logger_pages SET page = pack_page(now(), '{1,2,3}') WHERE id = 2")
        .await
        .unwrap();
    site.catch_up().await;
    assert_equal(&site).await;
    assert!(number(&target, reads).await > before, "the row was read by its key");
}

/// `check --json` of a mapping: exit status, mode, message of the first statement, and its finding.
async fn checked(site: &Site, mapping: &str) -> (Finished, serde_json::Value) {
    site.installation.write_mapping(mapping);
    let finished = site.installation.command(&["check", "--json"], DEADLINE).await;
    let report = finished.json();
    (finished, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_mapper_and_refuses_what_does_not_fit() {
    let mut site = site("checked").await;
    let (finished, report) = checked(&site, MAPPING).await;
    assert_eq!(finished.code(), 0, "{report:#}");
    let first = &report["statements"][0];
    assert_eq!(first["mode"], "streamed");
    assert_eq!(first["message"], "mapper unpack-page, version 1: several rows for each source row");
    let order = "-- regraft: mapper unpack-page\n";
    let into = "INSERT INTO readings (page_id, logger, position, taken_at, hundredths)\n";
    for (mapping, code, place, part) in [
        (
            format!("-- regraft: mapper pack\n{into}SELECT id, logger, page FROM logger_pages"),
            "RG3016",
            "mapping.sql:1:1",
            "unpack-page",
        ),
        (format!("{order}{into}SELECT id, page FROM logger_pages"), "RG3017", ":1:1", "\"logger\""),
        (
            format!("{order}{into}SELECT id, logger, page, uploaded_at FROM logger_pages"),
            "RG3017",
            ":1:1",
            "uploaded_at",
        ),
        (
            format!("{order}{into}SELECT id, logger, page FROM loggers"),
            "RG3017",
            ":1:1",
            "column \"page\" of public.loggers has another type",
        ),
        (
            format!("{order}{into}SELECT id, logger, pages FROM logger_pages"),
            "RG3002",
            "mapping.sql:3:20",
            "pages",
        ),
        (
            format!("{order}INSERT INTO readings (page_id, logger) SELECT * FROM logger_pages"),
            "RG3010",
            "mapping.sql:2:1",
            "the mapper gives 5 columns for 2",
        ),
        (
            format!(
                "{order}INSERT INTO readings (page_id, logger, position, hundredths, taken_at)\n\
                 SELECT * FROM logger_pages"
            ),
            "RG3007",
            "mapping.sql:2:1",
            "\"hundredths\"",
        ),
    ] {
        let sql =
            "CREATE TABLE IF NOT EXISTS loggers (id bigint PRIMARY KEY, logger text, page text)";
        site.at_source().await.batch_execute(sql).await.unwrap();
        let (finished, report) = checked(&site, &mapping).await;
        assert_eq!(finished.code(), 1, "{mapping}\n{report:#}");
        let finding = &report["findings"][0];
        assert_eq!(finding["code"], code, "{mapping}\n{report:#}");
        assert!(finding["where"].as_str().unwrap().contains(place), "{mapping}\n{finding:#}");
        assert!(finding.to_string().replace('\\', "").contains(part), "{part}: {finding:#}");
        assert!(finding["remedy"].as_str().unwrap().len() > 8, "{finding:#}");
    }
    // The plain program has no mapper at all.
    site.installation.use_program(regraft_binary().to_path_buf());
    let (_, report) = checked(&site, MAPPING).await;
    let finding = &report["findings"][0];
    assert_eq!(finding["code"], "RG3016", "{report:#}");
    assert_eq!(finding["where"], "mapping.sql:3:1");
    let finished = site.installation.command(&["run", "--until-caught-up"], DEADLINE).await;
    assert_eq!(finished.code(), 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("run the program that has it"), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_mapper_is_noticed_and_its_rows_are_copied_anew() {
    let site = site("versions").await;
    site.catch_up().await;
    let target = site.at_target().await;
    // As if version 0 had filled the target, with other rows.
    target
        .batch_execute(
            "UPDATE regraft.statements SET fingerprint = replace(fingerprint, 'version 1', 'version 0');
             UPDATE readings SET hundredths = 0 WHERE page_id % 3 = 0; DELETE FROM readings WHERE position = 3",
        )
        .await
        .unwrap();
    let finished = site.installation.command(&["run", "--until-caught-up"], DEADLINE).await;
    assert_eq!(finished.code(), 4, "{}", finished.stderr);
    assert!(finished.stderr.contains("mapping.sql:4:1: ") && finished.stderr.contains("[RG3009]"));
    let anew = ["run", "--until-caught-up", "--recopy", "logger_pages"];
    let finished = site.installation.command(&anew, DEADLINE).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_equal(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_mapped_holds_the_pipeline_until_it_is_mended() {
    let site = site("held").await;
    let source = site.at_source().await;
    // In a chunk first, then in the stream.
    source.batch_execute("UPDATE logger_pages SET page = '\\x0102' WHERE id = 7").await.unwrap();
    let mut daemon = site.run();
    let error = site.held().await;
    assert!(error.ends_with("a row of public.logger_pages: the page has no header"), "{error}");
    source.batch_execute("UPDATE logger_pages SET page = NULL WHERE id = 7").await.unwrap();
    site.settled().await;
    let bad = "UPDATE logger_pages SET page = page || '\\xff' WHERE id = 8";
    source.batch_execute(bad).await.unwrap();
    let error = site.held().await;
    assert!(error.contains("ends inside a reading, or a reading is too large"), "{error}");
    let error = site.status().await["last_error"].clone();
    assert_eq!(error["code"], "RG4002", "{error:#}");
    daemon.kill9();
    // The row of the held transaction cannot be changed any more: the table is copied anew.
    source.batch_execute("UPDATE logger_pages SET page = NULL WHERE id = 8").await.unwrap();
    let anew = ["run", "--until-caught-up", "--recopy", "logger_pages"];
    let finished = site.installation.command(&anew, DEADLINE).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_equal(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_mapper_are_verified_and_repaired() {
    let site = site("verified").await;
    // Of another type than the mapper gives: the source converts.
    let (source, target) = (site.at_source().await, site.at_target().await);
    source.batch_execute("DELETE FROM logger_pages WHERE id > 300").await.unwrap();
    let sql =
        "ALTER TABLE readings ALTER hundredths TYPE numeric(30, 2), ALTER logger TYPE varchar(90)";
    target.batch_execute(sql).await.unwrap();
    site.catch_up().await;
    let verify = async || {
        let finished = site.installation.command(&["verify", "--json"], DEADLINE).await;
        assert!(finished.code() < 2, "{}\n{}", finished.stdout, finished.stderr);
        let report = finished.json();
        ["rows", "missing", "surplus", "different"]
            .map(|name| report["tables"][0][name].as_u64().unwrap())
    };
    let all = number(&target, "SELECT count(*) FROM readings").await.unsigned_abs();
    assert_eq!(verify().await, [all, 0, 0, 0]);
    let sql = "DELETE FROM readings WHERE page_id = 7 AND position = 2;
        UPDATE readings SET hundredths = hundredths + 1 WHERE page_id = 9 AND position < 3;
        INSERT INTO readings SELECT 11, 500, logger, taken_at, 1 FROM readings WHERE page_id = 7 AND position = 0";
    target.batch_execute(sql).await.unwrap();
    assert_eq!(verify().await, [all - 4, 1, 1, 3]);
    let finished = site.installation.command(&["repair", "--apply"], DEADLINE).await;
    assert_eq!(finished.code(), 0, "{}\n{}", finished.stdout, finished.stderr);
    assert_eq!(verify().await, [all, 0, 0, 0]);
}
