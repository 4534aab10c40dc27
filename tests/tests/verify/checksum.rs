//! `regraft verify --checksum`.

use regraft_tests::{DEADLINE, Site};
use serde_json::{Value, json};

use crate::{verify, write};

const SOURCE: &str = "
    CREATE TABLE files (region text, id int, content bytea, body text, n numeric, PRIMARY KEY (region, id));
    ALTER TABLE files ALTER content SET STORAGE EXTERNAL;
    INSERT INTO files SELECT CASE n % 2 WHEN 0 THEN 'Ä' ELSE 'b' END, n, decode(repeat(md5(n::text), 100), 'hex'),
        CASE WHEN n % 5 > 0 THEN 'löng ' || n END, n / 3.0 FROM generate_series(1, 500) AS n;
    INSERT INTO files SELECT 'large', n, decode(repeat('0011223344556677', 1000000), 'hex'), 'x', 1
        FROM generate_series(1, 2) AS n;";
const TARGET: &str = "
    CREATE TABLE files (region text, id int, content bytea, body text, n numeric(10, 2), PRIMARY KEY (region, id));
    ALTER TABLE files ALTER content SET STORAGE EXTERNAL;";
const MAPPING: &str = "INSERT INTO files SELECT region, id, content, body, n FROM files;";
const ONLY: [&str; 9] = [
    "--without-rows",
    "--checksum",
    "sha256",
    "--column",
    "files.content",
    "--column",
    "public.files.body",
    "--column",
    "files.n",
];

fn counts(report: &Value) -> Vec<[u64; 3]> {
    let of =
        |sum: &Value| ["missing", "surplus", "different"].map(|name| sum[name].as_u64().unwrap());
    report["checksums"].as_array().unwrap().iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_told_whose_values_differ() {
    let site = Site::new(SOURCE, TARGET, MAPPING).await;
    site.catch_up().await;
    let (code, report) = verify(&site, &ONLY).await;
    assert_eq!((code, counts(&report)), (0, vec![[0; 3]; 3]), "{report:#}");
    for sum in report["checksums"].as_array().unwrap() {
        assert_eq!(
            (&sum["rows"], &sum["exact"]),
            (&json!({"source": 502, "target": 502}), &json!(true))
        );
        assert_eq!(sum["sums"]["source"], sum["sums"]["target"]);
    }
    let target = site.at_target().await;
    target
        .batch_execute(
            "UPDATE files SET content = set_byte(content, 1000, 255 # get_byte(content, 1000)) WHERE id = 77; \
             UPDATE files SET content = set_byte(content, 7999999, 1) WHERE region = 'large' AND id = 2; \
             UPDATE files SET body = '' WHERE id = 10; DELETE FROM files WHERE id = 4; \
             INSERT INTO files VALUES ('a', 4, NULL, NULL, NULL)",
        )
        .await
        .unwrap();
    let (code, report) = verify(&site, &ONLY).await;
    assert_eq!((code, counts(&report)), (1, vec![[1, 1, 2], [1, 1, 1], [1, 1, 0]]), "{report:#}");
    let sum = &report["checksums"][0];
    assert_ne!(sum["sums"]["source"], sum["sums"]["target"]);
    let told = |difference: &str, region: &str, id: &str| {
        let key = json!({"difference": difference, "key": {"region": region, "id": id}});
        assert!(sum["keys"].as_array().unwrap().contains(&key), "{key}: {report:#}");
    };
    told("different", "b", "77");
    told("different", "large", "2");
    told("missing", "Ä", "4");
    told("surplus", "a", "4");
    let (code, report) =
        verify(&site, &["--without-rows", "--checksum", "md5", "--column", "files.body"]).await;
    assert_eq!((code, counts(&report)), (1, vec![[1, 1, 1]]), "{report:#}");

    let unknown = ["verify", "--checksum", "md5", "--column", "files.nosuch"];
    let finished = site.installation.command(&unknown, DEADLINE).await;
    assert_eq!(finished.code(), 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("files.nosuch"), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_is_no_difference() {
    let site = Site::new(SOURCE, TARGET, MAPPING).await;
    site.catch_up().await;
    let daemon = site.run();
    let writer = write(
        site.at_source().await,
        "UPDATE files SET body = body || 'x' WHERE id = 3; \
        DELETE FROM files WHERE id = 5; INSERT INTO files VALUES ('b', 5, 'x', 'y', 1)",
    );
    let only = ["--without-rows", "--checksum", "md5", "--column", "files.body"];
    let (code, report) = verify(&site, &only).await;
    assert_eq!(code, 0, "{report:#}\n{}", daemon.log());
    let (code, report) = verify(&site, &[&only[..], &["--pause-writes"]].concat()).await;
    assert_eq!((code, counts(&report)), (0, vec![[0; 3]]), "{report:#}\n{}", daemon.log());
    drop(writer);
}
