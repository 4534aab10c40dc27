//! `regraft verify --rules`.

use regraft_testkit::Example;
use regraft_tests::{DEADLINE, Site, SiteOptions};
use serde_json::{Value, json};

use crate::{verify, write};

const SOURCE: &str = "CREATE TABLE orders (id int PRIMARY KEY, customer int, total int);
    INSERT INTO orders SELECT n, n % 10, n FROM generate_series(1, 200) AS n;";
const TARGET: &str = "CREATE TABLE sales (id int PRIMARY KEY, customer int, total int);";
const MAPPING: &str = "INSERT INTO sales SELECT id, customer, total FROM orders;";

async fn site(rules: &[(&str, &str)]) -> Site {
    let site = Site::new(SOURCE, TARGET, MAPPING).await;
    site.catch_up().await;
    std::fs::create_dir(site.installation.path("rules")).unwrap();
    for (name, text) in rules {
        std::fs::write(site.installation.path(&format!("rules/{name}.sql")), text).unwrap();
    }
    site
}

const ONLY: [&str; 3] = ["--without-rows", "--rules", "rules"];
const TOTALS: (&str, &str) = (
    "1_totals",
    "-- What customers spent.\n-- source\nSELECT customer, sum(total) FROM orders GROUP BY 1;\n\
     -- target\nSELECT customer, sum(total) FROM sales GROUP BY 1 ORDER BY 2 DESC -- another order\n",
);

fn results(report: &Value) -> Vec<&str> {
    let rules = report["rules"].as_array().unwrap();
    rules.iter().map(|rule| rule["result"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_hold_fail_and_are_refused_with_their_places() {
    let site = site(&[
        TOTALS,
        ("2_order", "-- source\nSELECT id FROM orders ORDER BY id\n-- target\nSELECT id FROM sales ORDER BY -id\n"),
        ("3_none", "-- none\nSELECT 1 WHERE false"),
        ("4_negative", "-- none on target\nSELECT id, total FROM sales WHERE total < 0;"),
        ("5_wrong", "-- none on source\n-- ünd hier:\nSELECT id,\n  nosuch FROM orders"),
        ("6_write", "-- none on target\nDELETE FROM sales RETURNING id"),
        ("7_close", "-- none on target\nSELECT 1) TO PROGRAM 'true' --"),
        ("8_value", "-- none on target\nSELECT ('x' || id)::int FROM sales"),
    ])
    .await;
    let (code, report) = verify(&site, &ONLY).await;
    let expected = ["passed", "failed", "passed", "passed", "error", "error", "error", "error"];
    assert_eq!((code, results(&report)), (1, expected.to_vec()), "{report:#}");
    let rules = &report["rules"];
    assert_eq!(
        (&rules[0]["rows"], &rules[0]["exact"]),
        (&json!({"source": 10, "target": 10}), &json!(true))
    );
    assert_eq!((&rules[1]["order_differs"], &rules[1]["differ"]), (&json!(true), &json!(0)));
    assert_eq!(rules[4]["error"]["place"], "rules/5_wrong.sql:4:3", "{report:#}");
    assert!(rules[5]["error"]["what"].as_str().unwrap().contains("read-only"), "{report:#}");
    assert_eq!(rules[6]["error"]["place"], "rules/7_close.sql:2:9", "{report:#}");
    assert!(!rules[7]["error"]["what"].as_str().unwrap().contains("x1"), "no values: {report:#}");

    let target = site.at_target().await;
    target.batch_execute("UPDATE sales SET total = -4711 WHERE id = 13").await.unwrap();
    let (code, report) = verify(&site, &ONLY).await;
    assert_eq!(
        (code, &results(&report)[..4]),
        (1, &["failed", "failed", "passed", "failed"][..]),
        "{report:#}"
    );
    assert_eq!(
        (&report["rules"][0]["differ"], &report["rules"][3]["differ"]),
        (&json!(2), &json!(1))
    );
    assert!(!report.to_string().contains("4711"), "{report:#}");
    let (_, report) = verify(&site, &[&ONLY[..], &["--show-values"]].concat()).await;
    assert_eq!(report["rules"][3]["examples"], json!([{"side": "target", "row": "13\t-4711"}]));

    // Files that are no rules keep all of it from being started.
    std::fs::write(site.installation.path("rules/2_order.sql"), "-- source\nSELECT 1\n").unwrap();
    std::fs::write(site.installation.path("rules/3_none.sql"), "-- none\nSELECT 1;\n  SELECT 2")
        .unwrap();
    let finished = site.installation.command(&[&["verify"], &ONLY[..]].concat(), DEADLINE).await;
    assert_eq!(finished.code(), 2, "{}", finished.stderr);
    for place in ["rules/2_order.sql:1:1", "rules/3_none.sql:3:3"] {
        assert!(finished.stderr.contains(place), "{place}: {}", finished.stderr);
    }
    let finished = site.installation.command(&["verify", "--rules", "nowhere.sql"], DEADLINE).await;
    assert_eq!(finished.code(), 2, "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_the_example_hold() {
    let site = Site::of_example(Example::AiWorkloads, 300, SiteOptions::default()).await;
    site.catch_up().await;
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/ai-workloads/rules");
    let (code, report) = verify(&site, &["--without-rows", "--rules", rules]).await;
    assert_eq!((code, results(&report)), (0, vec!["passed"; 2]), "{report:#}");
    let target = site.at_target().await;
    target.batch_execute("DELETE FROM training_metrics WHERE model_id = (SELECT min(model_id::text)::uuid FROM training_metrics)").await.unwrap();
    let (code, report) = verify(&site, &["--without-rows", "--rules", rules]).await;
    assert_eq!((code, results(&report)), (1, vec!["failed", "passed"]), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_under_load_is_not_called_failed() {
    let site = site(&[TOTALS]).await;
    let mut daemon = site.run();
    let writer =
        write(site.at_source().await, "UPDATE orders SET total = total + 1 WHERE id < 100");
    let (code, report) = verify(&site, &[&ONLY[..], &["--pause-writes"]].concat()).await;
    assert_eq!((code, results(&report)), (0, vec!["passed"]), "{report:#}\n{}", daemon.log());
    drop(writer);
    // Now and then there is time between two changes.
    let writer = write(
        site.at_source().await,
        "UPDATE orders SET total = total + 1 WHERE id < 10; SELECT pg_sleep(0.5)",
    );
    let (code, report) = verify(&site, &ONLY).await;
    assert_eq!(code, 0, "{report:#}\n{}", daemon.log());
    drop(writer);
    assert!(daemon.ended().is_none(), "{}", daemon.log());
}
