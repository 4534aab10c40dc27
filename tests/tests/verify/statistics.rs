//! `regraft verify --statistics`.

use regraft_tests::{Site, number};
use serde_json::{Value, json};

use crate::{verify, write};

const SOURCE: &str = "
    CREATE TABLE items (id bigint PRIMARY KEY, name text, amount numeric, share float8, on_day date, took interval,
        content bytea, tags jsonb, good boolean, kind int[],
        at_time time, zoned timetz, code uuid, price money, small real);
    INSERT INTO items SELECT n, CASE WHEN n % 7 > 0 THEN 'item ' || n END, n / 7.0,
        CASE n WHEN 5 THEN 'NaN' WHEN 6 THEN 'Infinity' WHEN 7 THEN '-0' ELSE sqrt(n) END, date '2024-01-01' + n % 50,
        CASE n % 2 WHEN 0 THEN interval '1 mon' ELSE interval '30 days' END, decode(md5(n::text), 'hex'),
        jsonb_build_object('a', n % 9), n % 3 = 0, ARRAY[n % 4], time '00:00' + n * interval '1 min', timetz '12:00+02', md5(n::text)::uuid, n::money, n / 3.0
    FROM generate_series(1, 1000) AS n;
    CREATE TABLE busy (id int PRIMARY KEY, n bigint);
    INSERT INTO busy SELECT n, 0 FROM generate_series(1, 10) AS n;";
const TARGET: &str = "
    CREATE DOMAIN share AS float8;
    CREATE TABLE goods (id bigint PRIMARY KEY, name varchar(40), amount numeric(20, 4), share share, on_day timestamptz,
        took interval, content bytea, tags jsonb, good boolean, kind int[],
        at_time time, zoned timetz, code uuid, price money, small real);
    CREATE TABLE empty (id bigint PRIMARY KEY, name text);
    CREATE TABLE busy (id int PRIMARY KEY, n bigint);";
const MAPPING: &str = "
    INSERT INTO goods SELECT id, name, amount, share, on_day, took, content, tags, good, kind,
        at_time, zoned, code, price, small FROM items;
    INSERT INTO empty SELECT id, name FROM items WHERE id < 0;
    INSERT INTO busy SELECT id, n FROM busy;";
const ONLY: [&str; 2] = ["--statistics", "--without-rows"];

async fn site() -> Site {
    let site = Site::new(SOURCE, TARGET, MAPPING).await;
    site.catch_up().await;
    site
}

/// What differs: `column figure`.
fn differ(report: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for table in report["statistics"]["tables"].as_array().unwrap() {
        for column in table["columns"].as_array().unwrap() {
            let figures = column["figures"].as_array().unwrap().iter();
            let figures = figures.filter(|figure| figure["equal"] == false);
            found.extend(figures.map(|figure| {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                format!("{} {}", text(&column["column"]), text(&figure["figure"]))
            }));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_tell_what_differs_and_no_values() {
    let site = site().await;
    let (code, report) = verify(&site, &ONLY).await;
    assert_eq!((code, differ(&report)), (0, vec![]), "{report:#}");
    assert_eq!((&report["statistics"]["exact"], &report["tables"]), (&json!(true), &json!([])));
    let target = site.at_target().await;
    // No server has figures of its own that would not be the same: the rows lie in another order.
    target
        .batch_execute("UPDATE goods SET good = good WHERE id % 3 = 0; UPDATE goods SET share = share WHERE id < 20")
        .await
        .unwrap();
    let (code, report) = verify(&site, &["--statistics"]).await;
    assert_eq!((code, differ(&report)), (0, vec![]), "{report:#}");
    assert_eq!(report["tables"][0]["rows"], 1000, "the rows are compared, too");

    target
        .batch_execute(
            "UPDATE goods SET name = 'secret' WHERE id = 1000; UPDATE goods SET amount = 4711.25 WHERE id = 4; \
             UPDATE goods SET content = content || '\\x00' WHERE id = 8; \
             UPDATE goods SET good = NULL WHERE id = 9; INSERT INTO empty VALUES (1, NULL)",
        )
        .await
        .unwrap();
    let (code, report) = verify(&site, &ONLY).await;
    let told = differ(&report);
    assert_eq!(code, 1, "{report:#}");
    for figure in [
        "name max",
        "name length_mean",
        "amount max",
        "amount mean",
        "amount stddev",
        "content length_max",
        "good nulls",
        "good mean",
        "id count",
        "name nulls",
    ] {
        assert!(told.iter().any(|known| known == figure), "{figure}: {told:?}");
    }
    assert!(
        !told.iter().any(|known| known.starts_with("on_day") || known == "amount min"),
        "{told:?}"
    );
    assert!(
        !report.to_string().contains("secret") && !report.to_string().contains("4711"),
        "{report:#}"
    );
    let finished = site
        .installation
        .command(&["verify", "--statistics", "--without-rows"], regraft_tests::DEADLINE);
    let printed = finished.await.stdout;
    assert!(printed.contains("public.goods differs") && !printed.contains("4711"), "{printed}");
    let (_, report) = verify(&site, &[&ONLY[..], &["--show-values"]].concat()).await;
    assert!(
        report.to_string().contains("secret") && report.to_string().contains("4711.25"),
        "{report:#}"
    );

    // A table that is large by its statistics gets an estimate, of the same values on both sides.
    target
        .execute("UPDATE pg_class SET reltuples = 1e9 WHERE relname = 'busy'", &[])
        .await
        .unwrap();
    let (code, report) = verify(&site, &[&ONLY[..], &["--tables", "busy"]].concat()).await;
    assert_eq!((code, differ(&report)), (0, vec![]), "{report:#}");
    assert_eq!(report["statistics"]["tables"][0]["columns"][0]["distinct_exact"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_is_no_difference_and_hides_none_while_it_is_paused() {
    let site = site().await;
    let daemon = site.run();
    let writer = write(site.at_source().await, "UPDATE busy SET n = n + id WHERE id < 8");
    let (code, report) = verify(&site, &ONLY).await;
    assert_eq!(code, 0, "{report:#}\n{}", daemon.log());
    let paused = [&ONLY[..], &["--pause-writes"]].concat();
    for _ in 0..3 {
        let (code, report) = verify(&site, &paused).await;
        assert_eq!((code, differ(&report)), (0, vec![]), "{report:#}");
        assert_eq!(report["statistics"]["exact"], true);
    }
    let target = site.at_target().await;
    target.execute("UPDATE busy SET n = -1 WHERE id = 9", &[]).await.unwrap();
    let (code, report) = verify(&site, &paused).await;
    assert_eq!(code, 1, "{report:#}");
    assert!(differ(&report).contains(&"n min".to_owned()), "{report:#}");
    drop(writer);
    assert!(number(&target, "SELECT max(n) FROM busy").await > 0);
}
