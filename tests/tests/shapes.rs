//! Sources whose stream does not tell everything that their SELECT reads.

use regraft_tests::{DEADLINE, Server, Site};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_others_inherit_from_is_refused() {
    let site = Site::new(
        "CREATE TABLE s (id int PRIMARY KEY, v text); CREATE TABLE child () INHERITS (s)",
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT id, v FROM s;",
    )
    .await;
    let finished = site.installation.command(&["run", "--until-caught-up"], DEADLINE).await;
    assert_eq!(finished.code(), 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("[RG3003]"), "{}", finished.stderr);
    assert!(finished.stderr.contains("other tables inherit from"), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_is_accepted_with_a_warning() {
    let site = Site::new(
        "CREATE TABLE s (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); \
         CREATE TABLE low PARTITION OF s FOR VALUES FROM (0) TO (100); \
         INSERT INTO s SELECT n, 'row' FROM generate_series(1, 9) AS n",
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT id, v FROM s;",
    )
    .await;
    let check = site.installation.command(&["check", "--json"], DEADLINE).await;
    assert_eq!(check.code(), 0, "{}", check.stderr);
    let findings = check.json()["findings"].clone();
    let findings = findings.as_array().unwrap();
    assert!(
        findings.iter().any(|f| f["severity"] == "warning"
            && f["what"].as_str().unwrap().contains("is partitioned")
            && f["remedy"].as_str().unwrap().contains("--recopy")),
        "{findings:?}"
    );
    site.catch_up().await;
    site.at_source()
        .await
        .batch_execute("TRUNCATE s; INSERT INTO s VALUES (5, 'new')")
        .await
        .unwrap();
    site.catch_up().await;
    site.assert_equal().await;
}

/// Up to version 17 the server refuses to go on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn changes_that_the_newest_server_leaves_out_without_a_publication_hold_the_pipeline() {
    let servers = (Server::Newest, Server::Newest);
    let source = "CREATE TABLE s (id int PRIMARY KEY, v text); INSERT INTO s VALUES (1, 'old');
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET client_min_messages = error', current_database()); END $$";
    let target = "CREATE TABLE t (id int PRIMARY KEY, v text)";
    let mapping = "INSERT INTO t SELECT id, v FROM s";
    let site = Site::between(servers, "dropped", ("", ""), &[source], target, mapping).await;
    site.catch_up().await;
    let mut daemon = site.run();
    site.settled().await;
    let source = site.at_source().await;
    source.batch_execute("DROP PUBLICATION regraft_dropped").await.unwrap();
    source.batch_execute("UPDATE s SET v = 'new'").await.unwrap();
    let error = site.held().await;
    assert!(error.contains("regraft_dropped"), "{error}");
    daemon.terminate(DEADLINE).await;
}
