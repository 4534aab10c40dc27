//! The examples, the writer and the oracle, against one real server without regraft in between:
//! PostgreSQL itself runs the mapping.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::time::{Duration, Instant};

use regraft_throwaway::{
    Cluster, ClusterOptions, Example, Side, StopMode, Writer, WriterOptions, WriterReport, compare,
    sample,
};
use tokio_postgres::Client;

async fn prepared(cluster: &Cluster, example: Example, rows: u64) -> Client {
    cluster.create_database(example.name()).await.unwrap();
    let client = cluster.client(example.name()).await.unwrap();
    for sql in [example.source_sql(), &example.seed_sql(rows), example.target_sql()] {
        client.batch_execute(sql).await.unwrap();
    }
    client.batch_execute(example.mapping_sql()).await.unwrap();
    client
}

/// Empties the target and fills it by the mapping.
async fn refill(client: &Client, example: Example) {
    let targets: Vec<_> = example.tables().into_iter().map(|table| table.target).collect();
    client.batch_execute(&format!("TRUNCATE {}", targets.join(", "))).await.unwrap();
    client.batch_execute(example.mapping_sql()).await.unwrap();
}

async fn differences(client: &Client, example: Example) -> Vec<(u64, u64, u64)> {
    let mut found = Vec::new();
    for table in example.tables() {
        let result = compare(client, &table.select, client, &table.target, &table.columns).await;
        let result = result.unwrap();
        found.push((result.rows, result.missing, result.surplus));
    }
    found
}

async fn until(writer: &Writer, what: &str, reached: impl Fn(&WriterReport) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !reached(&writer.report()) {
        assert!(Instant::now() < deadline, "{what}: {:?}", writer.report());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_oracle_counts_missing_surplus_and_changed_rows() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let example = Example::AiWorkloads;
    let client = prepared(&cluster, example, 1000).await;
    let equal = differences(&client, example).await;
    assert_eq!(equal[0], (1000, 0, 0));
    assert!(equal.iter().all(|(rows, missing, surplus)| *rows > 500 && missing + surplus == 0));
    client
        .batch_execute(
            "DELETE FROM inference_config WHERE ctid IN (SELECT ctid FROM inference_config LIMIT 3);
             UPDATE model_metadata SET model_name = NULL WHERE model_name = '';
             UPDATE model_metadata SET status = 'changed é' WHERE id = md5('7')::uuid;
             INSERT INTO model_metadata (id) VALUES (gen_random_uuid());",
        )
        .await
        .unwrap();
    let found = differences(&client, example).await;
    assert_eq!(found[0], (1000, 1, 2));
    assert_eq!((found[3].1, found[3].2), (3, 0));
    let table = &example.tables()[0];
    let result = compare(&client, &table.select, &client, &table.target, &[]).await.unwrap();
    assert!(!result.is_equal());
    let (select, target) = ((&client, table.select.as_str()), (&client, table.target.as_str()));
    let missing = sample(&result, Side::Missing, select, target, &[]).await.unwrap();
    let surplus = sample(&result, Side::Surplus, select, target, &[]).await.unwrap();
    assert_eq!((missing.len(), surplus.len()), (1, 2));
    assert!(surplus.iter().any(|row| row.contains("changed é")));
}

#[tokio::test]
async fn the_oracle_counts_equal_rows_and_knows_null_from_empty() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let client = cluster.client("postgres").await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE t (\"A b\" numeric(6,2), b text, made int GENERATED ALWAYS AS (1) STORED);
             INSERT INTO t VALUES (1.5, ''), (1.5, ''), (2, NULL)",
        )
        .await
        .unwrap();
    let columns = ["\"A b\"".to_owned(), "B".to_owned()];
    let judge = async |select: &str, columns: &[String]| {
        let result = compare(&client, select, &client, "t", columns).await.unwrap();
        (result.missing, result.surplus)
    };
    let same = "SELECT * FROM (VALUES (1.5, ''), (1.5, ''), (2.00, NULL)) AS v -- no semicolon";
    assert_eq!(judge(same, &columns).await, (0, 0));
    assert_eq!(judge(same, &[]).await, (0, 0));
    assert_eq!(judge("SELECT * FROM (VALUES (1.5, ''), (2, NULL)) AS v", &columns).await, (0, 1));
    assert_eq!(judge("VALUES (1.5, ''), (1.5, ''), (2, '')", &columns).await, (1, 1));
    let error = compare(&client, "SELECT nope", &client, "t", &[]).await.unwrap_err();
    assert!(error.to_string().contains("nope"), "{error}");
    let error = compare(&client, "SELECT 1", &client, "t", &columns).await.unwrap_err();
    assert!(error.to_string().contains("1 columns for 2"), "{error}");
}

async fn writer_works(example: Example) {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let client = prepared(&cluster, example, 2000).await;
    assert!(differences(&client, example).await.iter().all(|(_, m, s)| m + s == 0));
    let options = WriterOptions { connections: 3, truncates: true, ..WriterOptions::default() };
    let writer = Writer::start(&cluster.url(example.name()), example, options);
    until(&writer, "every kind of transaction", |report| {
        report.transactions > 500 && report.rollbacks > 10 && report.truncates > 0
    })
    .await;
    cluster.restart(StopMode::Immediate).await.unwrap();
    let before = writer.report().transactions;
    until(&writer, "work after the crash", |report| report.transactions > before + 300).await;
    let report = writer.stop().await;
    assert_eq!((report.errors, report.first_error), (0, None));
    assert!(report.interruptions > 0 && report.changes > report.transactions);
    let client = cluster.client(example.name()).await.unwrap();
    let stale = differences(&client, example).await;
    assert!(stale.iter().all(|(_, missing, surplus)| missing + surplus > 0), "{stale:?}");
    refill(&client, example).await;
    let filled = differences(&client, example).await;
    assert!(filled.iter().all(|(rows, m, s)| *rows > 0 && m + s == 0), "{filled:?}");
}

#[tokio::test]
async fn the_writer_works_on_ai_workloads_and_survives_a_crash() {
    writer_works(Example::AiWorkloads).await;
}

#[tokio::test]
async fn the_writer_works_on_todos_and_survives_a_crash() {
    writer_works(Example::Todos).await;
}

#[tokio::test]
async fn a_rate_bounds_the_writer() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    prepared(&cluster, Example::Todos, 100).await;
    let options = WriterOptions { rate: Some(100), ..WriterOptions::default() };
    let begin = Instant::now();
    let writer = Writer::start(&cluster.url("todos"), Example::Todos, options);
    until(&writer, "fifty transactions", |report| report.transactions + report.rollbacks >= 50)
        .await;
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    assert_eq!(writer.stop().await.errors, 0);
}
