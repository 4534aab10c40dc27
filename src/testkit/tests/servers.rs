//! The kit's parts together with real servers.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::time::Duration;

use regraft_testkit::{
    Cluster, ClusterOptions, Databases, Example, Proxy, assert_equal_mapping, certificates,
    connect, wait_until,
};

#[tokio::test]
async fn a_server_with_tls_shows_the_certificate_and_refuses_plain_connections() {
    let certificates = certificates();
    assert_ne!(certificates.authority, certificates.other_authority);
    let options = ClusterOptions {
        tls: Some(certificates.server),
        pg_hba: Some("hostssl all all 127.0.0.1/32 trust".into()),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client("postgres").await.unwrap();
    let row = client.query_one("SELECT current_setting('ssl')", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "on");
    let error = connect(&cluster.url("postgres")).await.unwrap_err().to_string();
    assert!(error.contains("no encryption"), "{error}");
}

#[tokio::test]
async fn connections_to_a_server_can_be_cut_and_made_again() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let proxy = Proxy::start(cluster.port()).await;
    let url = proxy.url(&cluster.url("postgres"));
    let client = connect(&url).await.unwrap();
    client.batch_execute("SELECT 1").await.unwrap();
    proxy.cut();
    assert!(client.batch_execute("SELECT 1").await.is_err());
    wait_until("a new connection", Duration::from_secs(10), async || {
        let client = connect(&url).await.map_err(|error| error.to_string())?;
        client.batch_execute("SELECT 1").await.map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "todos_active differs from its SELECT")]
async fn an_empty_target_is_not_equal() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let databases = Databases::of_example((&cluster, &cluster), Example::Todos, 50).await;
    let mapping = Example::Todos.mapping_sql();
    assert_equal_mapping(&databases.source, &databases.target, mapping).await;
}

#[tokio::test]
async fn a_target_filled_by_the_mapping_in_another_database_is_equal() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    for example in Example::ALL {
        let databases = Databases::of_example((&cluster, &cluster), example, 300).await;
        // The same seed gives the same rows, so the target can evaluate the mapping itself.
        for sql in [example.source_sql(), &example.seed_sql(300), example.mapping_sql()] {
            databases.target.batch_execute(sql).await.unwrap();
        }
        let mapping = example.mapping_sql();
        assert_equal_mapping(&databases.source, &databases.target, mapping).await;
    }
}
