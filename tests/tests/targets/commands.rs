//! What the commands say of several targets.

use serde_json::{Value, json};

use crate::support::{assert_says, errors, ready, servers};
use crate::{DEADLINE, Fanned, stop};

const SOURCE: &str = "CREATE TABLE items (id bigint PRIMARY KEY, name text);
    INSERT INTO items SELECT i, 'n' || i FROM generate_series(1, 50) AS i;
    CREATE TABLE others (id bigint PRIMARY KEY)";
const TARGET: &str =
    "CREATE SCHEMA shop; CREATE TABLE shop.goods (id bigint PRIMARY KEY, name text);
    CREATE TABLE goods (id bigint PRIMARY KEY, name text)";
const MAPPING: &str = "INSERT INTO goods SELECT id, name FROM items;\n";

/// Both targets in one server.
async fn two(name: &str) -> Fanned {
    let (source, target) = servers().await;
    Fanned::make(name, (source, SOURCE), (&[target, target], TARGET), MAPPING).await
}

async fn command(fanned: &Fanned, arguments: &[&str]) -> regraft_testkit::Finished {
    fanned.installation.command(arguments, DEADLINE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_name_their_target() {
    let fanned = two("names").await;
    let mapping = "INSERT INTO goods SELECT id, name FROM items;\n\
                   INSERT INTO b.goods SELECT id, name FROM items;\n\
                   INSERT INTO b.shop.goods SELECT id, name FROM items WHERE id > 40;\n";
    fanned.installation.write_mapping(mapping);
    let report = command(&fanned, &["check", "--json"]).await.json();
    assert_eq!(report["findings"], json!([]), "{report:#}");
    let targets: Vec<_> = report["statements"].as_array().unwrap().iter().collect();
    let targets: Vec<_> = targets.iter().map(|statement| &statement["target"]).collect();
    assert_eq!(targets, ["public.goods", "b.public.goods", "b.shop.goods"]);
    let finished = command(&fanned, &["run", "--until-caught-up", "--json"]).await;
    assert_eq!(finished.code(), 0, "{finished:?}");
    let told = finished.json();
    assert_eq!(told["name"], "names");
    let mut rows: Vec<_> = told["targets"].as_array().unwrap().iter().collect();
    rows.sort_by_key(|told| told["target"].to_string());
    let rows: Vec<_> = rows.iter().map(|told| json!([told["target"], told["rows"]])).collect();
    assert_eq!(json!(rows), json!([["b", 60], [null, 50]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_that_does_not_fit_the_targets_is_refused_with_its_place() {
    let fanned = two("unfit").await;
    let cases = [
        (
            "INSERT INTO d.shop.goods SELECT id, name FROM items;",
            "mapping.sql:1:13",
            "name one of b",
        ),
        (
            "INSERT INTO goods SELECT id, name FROM items;",
            "mapping.sql",
            "no statement about [targets.b]",
        ),
        (
            "INSERT INTO b.goods SELECT id, name FROM items;",
            "mapping.sql",
            "no statement about [target]",
        ),
        (
            "INSERT INTO a.b.c.goods SELECT id FROM items;",
            "mapping.sql:1:13",
            "at most a schema and a name",
        ),
    ];
    for (mapping, place, said) in cases {
        fanned.installation.write_mapping(mapping);
        let report = command(&fanned, &["check", "--json"]).await.json();
        let errors = errors(&report);
        let found = errors.iter().any(|error| {
            let text = format!("{} {}", error["what"], error["remedy"]);
            error["code"] == "RG1003"
                && error["where"].as_str().unwrap().ends_with(place)
                && text.contains(said)
        });
        assert!(found, "{mapping}: {report:#}");
    }
    // Where each has a name, a statement names one.
    let config = std::fs::read_to_string(fanned.installation.path("regraft.toml")).unwrap();
    fanned.installation.write_config(&config.replace("[target]", "[targets.a]"));
    fanned.installation.write_mapping("INSERT INTO goods SELECT id, name FROM items;\nINSERT INTO b.goods SELECT id, name FROM items;\n");
    let finished = command(&fanned, &["check"]).await;
    assert_eq!(finished.code(), 1, "{finished:?}");
    assert!(finished.stdout.contains("INSERT INTO a.goods"), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_about_all_targets_or_about_one() {
    let fanned = two("about").await;
    let mut daemon = fanned.installation.run();
    ready(&mut daemon).await;
    let status = command(&fanned, &["status", "--json"]).await.json();
    let all = status["targets"].as_array().unwrap();
    let of = |told: &Value| json!([told["target"], told["name"], told["phase"]]);
    let told: Vec<_> = all.iter().map(of).collect();
    assert_eq!(json!(told), json!([[null, "about", "streaming"], ["b", "about.b", "streaming"]]));
    let one = command(&fanned, &["status", "--json", "--target", "b"]).await.json();
    assert_eq!(one["name"], "about.b");
    let text = command(&fanned, &["status"]).await.stdout;
    assert!(text.contains("[target]\n") && text.contains("\n[targets.b]\n"), "{text}");
    // A row that differs in one of them.
    let b = regraft_testkit::connect(&fanned.targets[1]).await.unwrap();
    b.batch_execute("UPDATE goods SET name = 'other' WHERE id = 7").await.unwrap();
    let finished = command(&fanned, &["verify", "--json"]).await;
    assert_eq!(finished.code(), 1, "{finished:?}");
    let report = finished.json();
    let different = |at: usize| report["targets"][at]["tables"][0]["different"].clone();
    assert_eq!((different(0), different(1)), (json!(0), json!(1)), "{report:#}");
    assert_eq!(command(&fanned, &["repair", "--apply", "--target", "b"]).await.code(), 0);
    assert_eq!(command(&fanned, &["verify"]).await.code(), 0);
    assert_eq!(command(&fanned, &["resume"]).await.code(), 0);
    let unknown = command(&fanned, &["status", "--target", "z"]).await;
    assert_says(&unknown, 2, "RG1004", &["no such target", "name one of target, b"]);
    let plain = command(&fanned, &["status", "--json", "--target", "target"]).await.json();
    assert_eq!(plain["name"], "about");
    // Tables are those of one target.
    for arguments in [&["verify", "--tables", "goods"], &["run", "--recopy", "items"]] {
        let which = command(&fanned, arguments).await;
        assert_says(&which, 2, "RG1004", &["several targets", "--target target, or --target b"]);
    }
    stop(daemon).await;
    // Without a daemon, what follows one target lets the source forget nothing of the other.
    fanned.source.batch_execute("INSERT INTO items VALUES (100, 'late')").await.unwrap();
    let before = fanned.confirmed().await;
    assert_eq!(command(&fanned, &["verify", "--target", "b"]).await.code(), 0);
    assert_eq!(fanned.confirmed().await, before);
    let mut daemon = fanned.installation.run();
    ready(&mut daemon).await;
    fanned.assert_exact(0).await;
    fanned.assert_exact(1).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_target_does_not_answer_is_told_beside_the_other() {
    let fanned = two("beside").await;
    let finished = command(&fanned, &["run", "--until-caught-up"]).await;
    assert_eq!(finished.code(), 0, "{finished:?}");
    let (source, _) = servers().await;
    let away = format!("postgres://postgres@127.0.0.1:{}/none", source.port());
    fanned.configure(&[fanned.targets[0].clone(), away], "", "");
    let finished = command(&fanned, &["status", "--json"]).await;
    assert_eq!(finished.code(), 3, "{finished:?}");
    let told = finished.json();
    assert_eq!(told["targets"][0]["phase"], "stopped", "{told:#}");
    assert_eq!(told["targets"][1]["target"], "b");
    assert!(told["targets"][1]["errors"][0]["code"].is_string(), "{told:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_for_all_goes_with_all() {
    let fanned = two("goes").await;
    assert_eq!(command(&fanned, &["run", "--until-caught-up"]).await.code(), 0);
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'regraft_goes'";
    let count = async || fanned.source.query_one(slots, &[]).await.unwrap().get::<_, i64>(0);
    let one = command(&fanned, &["teardown", "--apply", "--target", "b"]).await;
    assert!(one.stdout.contains("which the other targets use"), "{one:?}");
    assert_eq!(count().await, 1);
    let all = command(&fanned, &["teardown", "--apply"]).await;
    assert_eq!(all.code(), 0, "{all:?}");
    assert_eq!(count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_added_to_one_that_has_run_whichever_comes_first() {
    let fanned = two("added").await;
    for (first, both) in [("[target]", "[targets.b]"), ("[targets.b]", "[target]")] {
        fanned.configure(&fanned.targets, "", "");
        let config = std::fs::read_to_string(fanned.installation.path("regraft.toml")).unwrap();
        let mapping = std::fs::read_to_string(fanned.installation.path("mapping.sql")).unwrap();
        // Without the other one, and its statement.
        let (start, end) = config.split_once(both).unwrap();
        let rest = end.find("\n[").map_or("", |at| &end[at..]);
        fanned.installation.write_config(&format!("{start}{rest}"));
        let named = both.contains('b');
        let lines = mapping.lines().filter(|line| line.contains("INTO b.") != named);
        fanned.installation.write_mapping(&lines.collect::<Vec<_>>().join("\n"));
        let finished = command(&fanned, &["run", "--until-caught-up"]).await;
        assert_eq!(finished.code(), 0, "{first}: {finished:?}");
        fanned.configure(&fanned.targets, "", "");
        let report = command(&fanned, &["check", "--json"]).await.json();
        assert_eq!(errors(&report), Vec::<Value>::new(), "{report:#}");
        let finished = command(&fanned, &["run", "--until-caught-up"]).await;
        assert_eq!(finished.code(), 0, "{first}: {finished:?}");
        assert_eq!(command(&fanned, &["verify"]).await.code(), 0);
        assert_eq!(command(&fanned, &["teardown", "--apply"]).await.code(), 0);
        for url in &fanned.targets {
            let target = regraft_testkit::connect(url).await.unwrap();
            target.batch_execute("TRUNCATE goods").await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_one_target_follows_reaches_it() {
    let (source, target) = servers().await;
    let sql = format!("{SOURCE}; CREATE TABLE events (at int, what text)");
    let tables = format!("{TARGET}; CREATE TABLE events (at int, what text)");
    let targets = (&[target, target][..], tables.as_str());
    let fanned = Fanned::make("only", (source, &sql), targets, MAPPING).await;
    let mapping = format!(
        "{MAPPING}INSERT INTO b.goods SELECT id, name FROM items;\n\
         -- regraft: append-only\nINSERT INTO b.events SELECT at, what FROM events;\n"
    );
    fanned.installation.write_mapping(&mapping);
    let mut daemon = fanned.installation.run();
    ready(&mut daemon).await;
    for round in 0..5 {
        let sql = format!(
            "INSERT INTO events VALUES ({round}, 'x'), ({round}, 'x'); UPDATE items SET name = 'r{round}'"
        );
        fanned.source.batch_execute(&sql).await.unwrap();
        fanned.assert_exact(0).await;
        fanned.assert_exact(1).await;
    }
    let b = regraft_testkit::connect(&fanned.targets[1]).await.unwrap();
    let events = "SELECT count(*) FROM events";
    assert_eq!(b.query_one(events, &[]).await.unwrap().get::<_, i64>(0), 10);
    stop(daemon).await;
    // In two ways it is not followed.
    let two = mapping
        .replace(MAPPING, &format!("{MAPPING}INSERT INTO events SELECT at, what FROM events;\n"));
    fanned.source.batch_execute("ALTER TABLE events REPLICA IDENTITY FULL").await.unwrap();
    fanned.installation.write_mapping(
        &two.replace("INSERT INTO events", "-- regraft: counted\nINSERT INTO events"),
    );
    let report = command(&fanned, &["check", "--json"]).await.json();
    let said = |error: &Value| error["what"].as_str().unwrap().contains("for another target");
    assert!(errors(&report).iter().any(said), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_missing_are_printed_for_each_target() {
    let fanned = two("ddl").await;
    for url in &fanned.targets {
        let target = regraft_testkit::connect(url).await.unwrap();
        target.batch_execute("DROP TABLE goods").await.unwrap();
    }
    let printed = command(&fanned, &["check", "--ddl"]).await.stdout;
    let (first, second) = printed.split_once("-- [targets.b]\n").unwrap();
    assert!(first.starts_with("-- [target]\n"), "{printed}");
    for part in [first, second] {
        assert_eq!(part.matches("CREATE TABLE").count(), 1, "{printed}");
    }
}
