//! `regraft verify` and `regraft repair`, with a daemon and without.

use regraft_testkit::wait_until;
use regraft_tests::{DEADLINE, Site, SiteOptions, number};
use serde_json::{Value, json};
use tokio_postgres::Client;

const SOURCE: &str = "
    CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL, amount numeric, tags jsonb);
    INSERT INTO items SELECT n, 'item ' || n, n / 7.0, jsonb_build_object('a', n, 'b', n % 3)
    FROM generate_series(1, 2000) AS n;";
const TARGET: &str = "
    CREATE TABLE goods (id bigint PRIMARY KEY, title text NOT NULL, amount numeric(20, 4));
    CREATE TABLE tags (item bigint, tag text, value int NOT NULL, PRIMARY KEY (item, tag));";
const MAPPING: &str = "
    INSERT INTO goods SELECT id, upper(name), amount FROM items WHERE id % 10 <> 0;
    INSERT INTO tags SELECT i.id, t.key, t.value::int FROM items AS i CROSS JOIN LATERAL jsonb_each_text(i.tags) AS t;";
const SMALL: &str = "[backfill]\nchunk_rows = 300\n";

async fn site() -> Site {
    let options = SiteOptions { extra: SMALL.to_owned(), ..SiteOptions::default() };
    let site = Site::with(options, &[SOURCE], TARGET, MAPPING).await;
    site.catch_up().await;
    site
}

async fn run(site: &Site, arguments: &[&str]) -> (i32, Value) {
    let finished = site.installation.command(arguments, DEADLINE).await;
    assert!(finished.code() < 2, "{arguments:?}: {}\n{}", finished.stdout, finished.stderr);
    (finished.code(), finished.json())
}

fn counts(report: &Value) -> Vec<[u64; 4]> {
    let tables = report["tables"].as_array().unwrap();
    let of = |table: &Value| {
        ["rows", "missing", "surplus", "different"].map(|name| table[name].as_u64().unwrap())
    };
    tables.iter().map(of).collect()
}

async fn break_rows(site: &Site) {
    let target = site.at_target().await;
    target
        .batch_execute(
            "DELETE FROM goods WHERE id = 11; \
             UPDATE goods SET title = title || '?' WHERE id = 302; \
             UPDATE goods SET amount = NULL, title = 'x' WHERE id = 1999; \
             INSERT INTO goods VALUES (20, 'ITEM 20', 1), (90000, 'no such item', 2); \
             DELETE FROM tags WHERE item = 5; \
             UPDATE tags SET tag = 'c' WHERE item = 7 AND tag = 'a'; \
             INSERT INTO tags VALUES (2000, 'd', 4)",
        )
        .await
        .unwrap();
}

const BROKEN: [[u64; 4]; 2] = [[1797, 1, 2, 2], [3997, 3, 2, 0]];
const WHOLE: [[u64; 4]; 2] = [[1800, 0, 0, 0], [4000, 0, 0, 0]];

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_found_told_and_repaired_without_a_daemon() {
    let site = site().await;
    let (code, whole) = run(&site, &["verify", "--json"]).await;
    assert_eq!((code, counts(&whole)), (0, WHOLE.to_vec()), "{whole:#}");
    assert_eq!(whole["findings"], json!([]));

    break_rows(&site).await;
    let (code, report) = run(&site, &["verify", "--json"]).await;
    assert_eq!((code, counts(&report)), (1, BROKEN.to_vec()), "{report:#}");
    let findings = report["findings"].as_array().unwrap();
    let told = |difference: &str, key: Value, columns: Value| {
        findings.iter().any(|finding| {
            finding["difference"] == difference
                && finding["key"] == key
                && finding["columns"] == columns
        })
    };
    assert!(told("missing", json!({"id": "11"}), json!([])), "{report:#}");
    assert!(told("different", json!({"id": "302"}), json!(["title"])), "{report:#}");
    assert!(told("different", json!({"id": "1999"}), json!(["title", "amount"])), "{report:#}");
    assert!(told("surplus", json!({"id": "20"}), json!([])), "{report:#}");
    assert!(told("surplus", json!({"id": "90000"}), json!([])), "{report:#}");
    assert!(told("missing", json!({"item": "7", "tag": "a"}), json!([])), "{report:#}");
    assert!(told("surplus", json!({"item": "7", "tag": "c"}), json!([])), "{report:#}");
    assert!(!report.to_string().contains("ITEM 302"), "no values: {report:#}");

    // The dry run changes nothing.
    let (code, dry) = run(&site, &["repair", "--json"]).await;
    assert_eq!((code, dry["found"].as_u64()), (1, Some(10)), "{dry:#}");
    let (code, again) = run(&site, &["verify", "--json"]).await;
    assert_eq!((code, counts(&again)), (1, BROKEN.to_vec()), "nothing was changed");

    let (code, repaired) = run(&site, &["repair", "--apply", "--json"]).await;
    assert_eq!((code, repaired["asked"].as_u64()), (0, Some(10)), "{repaired:#}");
    site.assert_equal().await;
    let (code, mended) = run(&site, &["verify", "--json"]).await;
    assert_eq!((code, counts(&mended)), (0, WHOLE.to_vec()), "{mended:#}");
    for (before, after) in
        whole["tables"].as_array().unwrap().iter().zip(mended["tables"].as_array().unwrap())
    {
        assert_eq!(before["digest"], after["digest"], "the same rows have the same digest");
    }
    let target = site.at_target().await;
    let sql = "SELECT count(*) FROM regraft.findings WHERE state = 'repaired' AND repair_at IS NOT NULL \
               AND (difference = 'surplus') = (after_digest IS NULL) \
               AND (after_digest IS NULL OR after_digest = source_digest)";
    assert_eq!(number(&target, sql).await, 10);
}

/// Waits until there is a session of this kind.
async fn waits(watcher: &Client, who: &str) {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE {who}");
    wait_until(who, DEADLINE, async || match number(watcher, &sql).await {
        0 => Err("nobody waits".to_owned()),
        _ => Ok(()),
    })
    .await;
}

/// Somebody else locks the same findings in the opposite order, and the server ends the repair's
/// transaction rather than theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_loses_a_deadlock_begins_again() {
    let site = site().await;
    break_rows(&site).await;
    run(&site, &["verify", "--json"]).await;
    let (gate, other, watcher) =
        (site.at_target().await, site.at_target().await, site.at_target().await);
    let pid = async |client| number(client, "SELECT pg_backend_pid()::bigint").await;
    let (gates, others) = (pid(&gate).await, pid(&other).await);
    // A server looks for a circle once, some time after a wait began: it has to be closed by then. So the
    // repair is stopped before it comes to what the other one has, until that one waits for it.
    let lock = |table: &str| {
        format!("BEGIN; SELECT FROM regraft.findings WHERE target = 'public.{table}' FOR UPDATE")
    };
    gate.batch_execute(&lock("goods")).await.unwrap();
    // This one never gives in.
    other.batch_execute("SET deadlock_timeout = '1h'").await.unwrap();
    other.batch_execute(&lock("tags")).await.unwrap();
    let repair =
        async { site.installation.command(&["repair", "--apply", "--json"], DEADLINE).await };
    let circle = async {
        waits(&watcher, &format!("{gates} = ANY (pg_blocking_pids(pid))")).await;
        let all = "LOCK TABLE regraft.findings IN SHARE MODE; COMMIT";
        let opens = async {
            waits(&watcher, &format!("pid = {others} AND wait_event_type = 'Lock'")).await;
            gate.batch_execute("COMMIT").await.unwrap();
        };
        let (locked, ()) = tokio::join!(other.batch_execute(all), opens);
        locked.unwrap();
    };
    let (repaired, ()) = tokio::join!(repair, circle);
    assert_eq!(repaired.code(), 0, "{}{}", repaired.stdout, repaired.stderr);
    assert!(repaired.stderr.contains("deadlock detected"), "{}", repaired.stderr);
    site.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_verifies_and_repairs_on_demand() {
    let site = site().await;
    let mut daemon = site.run();
    break_rows(&site).await;
    let (code, report) = run(&site, &["verify", "--json"]).await;
    assert_eq!((code, counts(&report)), (1, BROKEN.to_vec()), "{report:#}\n{}", daemon.log());
    let (code, repaired) = run(&site, &["repair", "--apply", "--json"]).await;
    assert_eq!(code, 0, "{repaired:#}\n{}", daemon.log());
    let (code, mended) = run(&site, &["verify", "--json"]).await;
    assert_eq!((code, counts(&mended)), (0, WHOLE.to_vec()), "{mended:#}");
    assert!(daemon.ended().is_none(), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_keys_and_samples_are_taken_as_asked() {
    let site = site().await;
    let daemon = site.run();
    break_rows(&site).await;
    let (code, one) = run(&site, &["verify", "--tables", "tags", "--keys", "7", "--json"]).await;
    assert_eq!((code, counts(&one)), (1, vec![[1, 1, 1, 0]]), "{one:#}\n{}", daemon.log());
    let (code, none) = run(&site, &["verify", "--keys", "8", "--keys", "77777", "--json"]).await;
    assert_eq!((code, counts(&none)), (0, vec![[1, 0, 0, 0], [2, 0, 0, 0]]), "{none:#}");
    // A source table is all that its rows fill.
    let of_source = &["verify", "--tables", "public.items", "--keys", "7", "--json"];
    let (code, both) = run(&site, of_source).await;
    assert_eq!((code, counts(&both)), (1, vec![[1, 0, 0, 0], [1, 1, 1, 0]]), "{both:#}");
    // Seven ranges of 300 source rows: half of them are compared, about.
    let (_, half) =
        run(&site, &["verify", "--tables", "public.goods", "--sample", "50", "--json"]).await;
    let rows = half["tables"][0]["rows"].as_u64().unwrap();
    assert!(rows < 1797, "{half:#}");
    for _ in 0..3 {
        let (_, least) = run(&site, &["verify", "--sample", "1", "--json"]).await;
        let compared =
            least["tables"].as_array().unwrap().iter().map(|t| t["rows"].as_u64().unwrap());
        assert!(compared.min() > Some(0), "{least:#}");
    }
    for (arguments, says) in [
        (&["verify", "--tables", "goods,thing"][..], "fills no table thing"),
        (&["verify", "--keys", "seven"], "no statement has a source key of this form"),
        (&["verify", "--keys", "[1, 2]"], "no statement has a source key of this form"),
        (&["verify", "--keys", "[1"], "no JSON array"),
        (&["repair", "--tables", "nothing"], "fills no table nothing"),
    ] {
        let finished = site.installation.command(arguments, DEADLINE).await;
        assert_eq!(finished.code(), 2, "{arguments:?}: {}{}", finished.stdout, finished.stderr);
        assert!(finished.stderr.contains("RG6002"), "{arguments:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(says), "{arguments:?}: {}", finished.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_for_people() {
    let site = site().await;
    break_rows(&site).await;
    let finished = site.installation.command(&["verify"], DEADLINE).await;
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    for line in [
        "different public.goods {\"id\":\"302\"} in title",
        "missing public.tags {\"item\":\"7\",\"tag\":\"a\"}",
        "`regraft repair` brings them in line",
    ] {
        assert!(finished.stdout.contains(line), "{line}:\n{}", finished.stdout);
    }
    let dry = site.installation.command(&["repair"], DEADLINE).await;
    assert_eq!(dry.code(), 1, "{}", dry.stderr);
    assert!(dry.stdout.contains("would repair 10 rows; --apply does it"), "{}", dry.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_that_is_over_is_not_reported() {
    let site = site().await;
    let daemon = site.run();
    let target = site.at_target().await;
    target.batch_execute("UPDATE goods SET title = 'x' WHERE id IN (301, 302)").await.unwrap();
    let (code, report) = run(&site, &["verify", "--json"]).await;
    assert_eq!((code, report["findings"].as_array().unwrap().len()), (1, 2), "{report:#}");
    // One by hand, and one by the application.
    target.batch_execute("UPDATE goods SET title = 'ITEM 301' WHERE id = 301").await.unwrap();
    let source = site.at_source().await;
    source.batch_execute("UPDATE items SET amount = 1 WHERE id = 302").await.unwrap();
    wait_until("the row", DEADLINE, async || {
        let sql = "SELECT count(*) FROM goods WHERE id = 302 AND title = 'ITEM 302'";
        if number(&target, sql).await == 1 { Ok(()) } else { Err(daemon.log()) }
    })
    .await;
    let (code, report) = run(&site, &["verify", "--json"]).await;
    assert_eq!((code, &report["findings"]), (0, &json!([])), "{report:#}");
}

/// What is made of whole old rows only cannot be read by key: a repair leaves it alone, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_statements_with_and_without_the_key() {
    let source = "CREATE TABLE s (id int PRIMARY KEY, a text, b text);
                  ALTER TABLE s REPLICA IDENTITY FULL;
                  INSERT INTO s SELECT n, 'a' || n, 'b' || n FROM generate_series(1, 50) AS n";
    let target = "CREATE TABLE t (kind text, id text, v text, PRIMARY KEY (kind, id)); CREATE INDEX ON t (id)";
    let mapping = "INSERT INTO t (kind, id, v) SELECT 'a', id, a FROM s;
                   INSERT INTO t (kind, id, v) SELECT 'b', id::text, b FROM s;";
    let options = SiteOptions { extra: SMALL.to_owned(), ..SiteOptions::default() };
    let site = Site::with(options, &[source], target, mapping).await;
    site.catch_up().await;
    let broken = "UPDATE t SET v = 'x' WHERE id = '3'; DELETE FROM t WHERE id = '4';
                  INSERT INTO t VALUES ('a', '77', 'y'), ('b', '77', 'y')";
    site.at_target().await.batch_execute(broken).await.unwrap();
    let (code, report) = run(&site, &["verify", "--json"]).await;
    assert_eq!((code, counts(&report)), (1, vec![[48, 1, 1, 1], [48, 1, 1, 1]]), "{report:#}");
    let dry = site.installation.command(&["repair"], DEADLINE).await;
    let repaired = site.installation.command(&["repair", "--apply"], DEADLINE).await;
    for (finished, says) in
        [(dry, "would repair 3 rows"), (repaired, "repaired 3 rows, 3 are left")]
    {
        let said = format!("{}\n{}", finished.stdout, finished.stderr);
        assert_eq!(finished.code(), 1, "{said}");
        assert!(said.contains(says) && said.contains("`regraft run --recopy public.s`"), "{said}");
        assert!(!said.contains("`regraft repair"), "{said}");
    }
    let arguments = ["run", "--until-caught-up", "--recopy", "public.s"];
    let finished = site.installation.command(&arguments, DEADLINE).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let (code, report) = run(&site, &["verify", "--json"]).await;
    assert_eq!((code, counts(&report)), (0, vec![[50, 0, 0, 0], [50, 0, 0, 0]]), "{report:#}");
    assert_eq!(report["findings"], json!([]), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_changes_keeps_nothing_from_being_verified() {
    for (running, identities) in
        [(true, ["FULL", "DEFAULT"]), (true, ["DEFAULT", "FULL"]), (false, ["FULL", "DEFAULT"])]
    {
        let site = site().await;
        let source = site.at_source().await;
        if identities[0] == "DEFAULT" {
            source.batch_execute("ALTER TABLE items REPLICA IDENTITY FULL").await.unwrap();
        }
        let daemon = running.then(|| site.run());
        if let Some(daemon) = &daemon {
            wait_until("the daemon to be ready", DEADLINE, async || {
                let (status, body) = daemon.http("/readyz").await?;
                if status == 200 { Ok(()) } else { Err(body) }
            })
            .await;
        }
        for identity in identities {
            let alter = format!(
                "ALTER TABLE items REPLICA IDENTITY {identity}; UPDATE items SET amount = 3 WHERE id = 9"
            );
            source.batch_execute(&alter).await.unwrap();
            let finished = site.installation.command(&["verify", "--json"], DEADLINE).await;
            let log = daemon.as_ref().map(|daemon| daemon.log()).unwrap_or_default();
            assert_eq!(
                finished.code(),
                0,
                "{identity}: {}{}\n{log}",
                finished.stdout,
                finished.stderr
            );
            assert_eq!(counts(&finished.json()), WHOLE.to_vec());
        }
        break_rows(&site).await;
        let (code, repaired) = run(&site, &["verify", "--json"]).await;
        assert_eq!(code, 1, "{repaired:#}");
        let (code, repaired) = run(&site, &["repair", "--apply", "--json"]).await;
        assert_eq!(code, 0, "{repaired:#}");
    }
}
