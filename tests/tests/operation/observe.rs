//! Secure connections, and what the daemon tells: health, metrics, status, check.

use std::collections::BTreeMap;

use regraft_testkit::{
    Auth, Certificates, Cluster, ClusterOptions, Example, Installation, Setup, TlsFiles,
    certificates, wait_until,
};
use regraft_tests::DEADLINE;
use serde_json::{Value, json};

use crate::support::{Case, Given, everything_printed, ready, stop};

/// TLS on, and nobody gets in over TCP without it and a SCRAM password.
async fn secured(tls: TlsFiles) -> Cluster {
    let pg_hba = "hostssl all all all scram-sha-256\nhostssl replication all all scram-sha-256";
    let options = ClusterOptions {
        auth: Auth::Scram,
        tls: Some(tls),
        pg_hba: Some(pg_hba.to_owned()),
        settings: vec![("ssl_min_protocol_version".to_owned(), "TLSv1.3".to_owned())],
        ..ClusterOptions::default()
    };
    Cluster::start(options).await.unwrap()
}

/// An address that checks the server's certificate and name.
fn verified(cluster: &Cluster, database: &str, authority: &std::path::Path) -> String {
    let url = cluster.url(database).replace("@127.0.0.1:", "@localhost:");
    format!("{url}?sslmode=verify-full&sslrootcert={}&channel_binding=require", authority.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_servers_are_reached_with_verify_full_and_scram_by_secrets_in_files() {
    let Certificates { authority, server, .. } = certificates();
    let example = Example::AiWorkloads;
    let (source, target) = tokio::join!(secured(server.clone()), secured(server));
    source.create_database("legacy").await.unwrap();
    target.create_database("modern").await.unwrap();
    let (old, new) =
        (source.client("legacy").await.unwrap(), target.client("modern").await.unwrap());
    old.batch_execute(example.source_sql()).await.unwrap();
    old.batch_execute(&example.seed_sql(500)).await.unwrap();
    new.batch_execute(example.target_sql()).await.unwrap();
    let setup = Setup { mapping: example.mapping_sql().to_owned(), ..Setup::default() };
    let installation = Installation::new(&setup);
    let file = |name: &str, text: &str| std::fs::write(installation.path(name), text).unwrap();
    file("ca.pem", &authority);
    let authority = installation.path("ca.pem");
    file("source.url", &format!("{}\n", verified(&source, "legacy", &authority)));
    file("target.url", &verified(&target, "modern", &authority));
    installation.write_config(&format!(
        "name = \"secure\"\n[source]\nurl_file = \"source.url\"\n\
         [target]\nurl_file = \"target.url\"\n[mapping]\nfile = \"mapping.sql\"\n\
         [http]\nlisten = \"127.0.0.1:{}\"\n[log]\nlevel = \"trace\"\n",
        installation.http_port()
    ));
    let checked = installation.command(&["check"], DEADLINE).await;
    assert_eq!(checked.code(), 0, "{}\n{}", checked.stdout, checked.stderr);
    let finished = installation.command(&["run", "--until-caught-up"], DEADLINE).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    regraft_testkit::assert_equal_mapping(&old, &new, example.mapping_sql()).await;
    let mut daemon = installation.run();
    ready(&mut daemon).await;
    // All of its sessions are encrypted, the replication session too.
    let sessions = "SELECT bool_and(ssl AND version = 'TLSv1.3'), count(*), \
                    count(*) FILTER (WHERE backend_type = 'walsender') \
                    FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                    WHERE application_name = 'regraft secure'";
    for (client, walsenders) in [(&old, 1), (&new, 0)] {
        let row = client.query_one(sessions, &[]).await.unwrap();
        let (encrypted, count, senders): (bool, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert!(encrypted && count > 0, "{row:?}");
        assert_eq!(senders, walsenders);
    }
    // A password that is changed is read anew, at the next connection.
    old.batch_execute("ALTER ROLE postgres PASSWORD 'anders-8Wq'").await.unwrap();
    let url =
        verified(&source, "legacy", &authority).replace(source.password().unwrap(), "anders-8Wq");
    file("source.url", &url);
    old.batch_execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots")
        .await
        .unwrap();
    old.batch_execute("DELETE FROM ai_workloads WHERE id::text < '8'").await.unwrap();
    crate::support::settled(&old, &new, "secure").await;
    regraft_testkit::assert_equal_mapping(&old, &new, example.mapping_sql()).await;
    let mut told = String::new();
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/status", "/"] {
        told.push_str(&daemon.http(path).await.unwrap().1);
    }
    stop(daemon).await;
    told.push_str(&everything_printed(&installation));
    for secret in [source.password().unwrap(), target.password().unwrap(), "anders-8Wq"] {
        assert!(!told.contains(secret), "a password is told");
    }
}

/// The samples of a text for Prometheus, and the metrics that have HELP and TYPE.
/// <https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details>
fn parse_metrics(text: &str) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
    let (mut samples, mut kinds, mut helped) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(help.len() > 10, "{line}");
            helped.push(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(helped.last().map(String::as_str), Some(name), "HELP comes before TYPE");
            kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            let value = if value == "+Inf" { f64::INFINITY } else { value.parse().expect(line) };
            assert_eq!(samples.insert(series.to_owned(), value), None, "twice: {line}");
        }
    }
    for series in samples.keys() {
        let name = series.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let known = kinds.contains_key(name) || base.is_some_and(|base| kinds[base] == "histogram");
        assert!(known, "{series} has no TYPE");
    }
    (samples, kinds)
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_was_done() {
    let case = Case::usual().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("UPDATE items SET amount = 0 WHERE id <= 3").await;
    case.at_source("DELETE FROM items WHERE id > 18; INSERT INTO items VALUES (77, 'x', 1, NULL)")
        .await;
    case.settled().await;
    let (status, text) = daemon.http("/metrics").await.unwrap();
    assert_eq!(status, 200);
    case.assert_discreet(&text);
    let (samples, kinds) = parse_metrics(&text);
    let want = [
        ("regraft_lag_bytes", "gauge"),
        ("regraft_lag_seconds", "gauge"),
        ("regraft_apply_lag_seconds", "histogram"),
        ("regraft_rows_total", "counter"),
        ("regraft_changes_total", "counter"),
        ("regraft_transactions_total", "counter"),
        ("regraft_batch_rows", "histogram"),
        ("regraft_batch_bytes", "histogram"),
        ("regraft_batch_seconds", "histogram"),
        ("regraft_chunks_done", "gauge"),
        ("regraft_chunks_planned", "gauge"),
        ("regraft_chunk_rereads_total", "counter"),
        ("regraft_reconnects_total", "counter"),
        ("regraft_phase", "gauge"),
        ("regraft_build_info", "gauge"),
    ];
    for (name, kind) in want {
        assert_eq!(kinds.get(name).map(String::as_str), Some(kind), "{name}\n{text}");
    }
    let value = |series: &str| *samples.get(series).unwrap_or_else(|| panic!("{series}\n{text}"));
    let goods = |operation| {
        value(&format!("regraft_rows_total{{table=\"public.goods\",operation=\"{operation}\"}}"))
    };
    assert_eq!((goods("upsert"), goods("delete")), (24.0, 2.0), "{text}");
    let items = |operation| {
        value(&format!("regraft_changes_total{{table=\"public.items\",operation=\"{operation}\"}}"))
    };
    assert_eq!((items("insert"), items("update"), items("delete")), (1.0, 3.0, 2.0), "{text}");
    assert_eq!(value("regraft_chunks_done{table=\"public.items\"}"), 1.0);
    assert_eq!(value("regraft_phase{phase=\"streaming\"}"), 1.0);
    assert_eq!(value("regraft_reconnects_total{server=\"source\"}"), 0.0);
    // A lost connection is counted by its server.
    let kill =
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = ";
    case.at_source(&format!("{kill}'{}'", case.slot())).await;
    regraft_testkit::wait_until("the reconnect to be counted", DEADLINE, async || {
        let (samples, _) = parse_metrics(&daemon.http("/metrics").await?.1);
        let seen = samples.get("regraft_reconnects_total{server=\"source\"}").copied();
        if seen == Some(1.0) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    ready(&mut daemon).await;
    stop(daemon).await;
}

/// Asserts the fields of a status that scripts rely on.
fn assert_status(status: &Value, name: &str, phase: &str) {
    assert_eq!(status["name"], name, "{status:#}");
    assert_eq!(status["phase"], phase, "{status:#}");
    // Nobody runs it: that is not well.
    assert_eq!(status["healthy"], phase != "stopped", "{status:#}");
    let position: regraft_core::Lsn = status["position"].as_str().unwrap().parse().unwrap();
    assert!(position > regraft_core::Lsn(0), "{status:#}");
    assert!(status["lag_bytes"].is_u64() && status["lag_seconds"].is_number(), "{status:#}");
    assert!(status.get("verification").is_some(), "{status:#}");
    assert_eq!(status["waiting"], json!([]), "{status:#}");
    assert_eq!(status["last_error"], Value::Null, "{status:#}");
    let tables = status["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 1, "{status:#}");
    assert_eq!(tables[0]["target"], "public.goods", "{status:#}");
    assert!(tables[0]["rows"].as_u64().unwrap() >= 20, "{status:#}");
    assert_eq!(
        (&tables[0]["chunks_done"], &tables[0]["chunks_total"]),
        (&json!(1), &json!(1)),
        "{status:#}"
    );
}

/// The names of the fields, in the tables and in the verification, too.
fn fields(status: &Value) -> [Vec<String>; 3] {
    [status, &status["tables"][0], &status["verification"]]
        .map(|part| part.as_object().unwrap().keys().cloned().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_has_the_same_shape_everywhere() {
    let case = Case::usual().await;
    let unknown = case.regraft(&["status"]).await;
    crate::support::assert_says(&unknown, 3, "RG5003", &[&case.name, "regraft run", "target ("]);
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let (code, body) = daemon.http("/api/v1/status").await.unwrap();
    assert_eq!(code, 200);
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_status(&status, &case.name, "streaming");
    assert_eq!([&status["unready"], &status["copy_seconds_left"]], [&Value::Null; 2], "{status:#}");
    wait_until("every row to be compared", DEADLINE, async || {
        let (_, body) = daemon.http("/api/v1/status").await?;
        let status: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let verification = &status["verification"];
        match (verification["passes"].as_u64(), verification["tries"].as_u64()) {
            (Some(1..), Some(_)) => Ok(()),
            _ => Err(status.to_string()),
        }
    })
    .await;
    assert_eq!(case.health(&daemon).await.unwrap().0, 200);
    assert_eq!(daemon.http("/").await.unwrap().0, 200);
    assert_eq!(daemon.http("/nothing").await.unwrap().0, 404);
    let outside = case.regraft(&["status", "--json"]).await.json();
    assert_status(&outside, &case.name, "streaming");
    // What only one of the two knows is null at the other.
    assert_eq!(fields(&status), fields(&outside));
    for unknown in ["caught_up", "copy_seconds_left", "transactions", "changes", "unready"] {
        assert_eq!(outside[unknown], Value::Null, "{unknown}: {outside:#}");
    }
    assert_eq!((&status["caught_up"], &status["daemon"]), (&true.into(), &Value::Null));
    assert!(outside["daemon"]["process"].is_i64(), "{outside:#}");
    let planned = |status: &Value| status["tables"][0]["planned"].clone();
    assert_eq!((planned(&status), planned(&outside)), (Value::Null, true.into()));
    let expected = |status: &Value| status["tables"][0]["chunks_expected"].clone();
    assert_eq!((expected(&status), expected(&outside)), (json!(1), json!(1)));
    let table = case.regraft(&["status"]).await;
    assert_eq!(table.code(), 0);
    for part in [&case.name, "streaming", "public.goods", "public.items", "1/1", "lag", "position"]
    {
        assert!(table.stdout.contains(part), "{part}: {}", table.stdout);
    }
    stop(daemon).await;
    assert_status(&case.regraft(&["status", "--json"]).await.json(), &case.name, "stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_says_how_much_is_to_come_before_it_is_planned() {
    let source = "CREATE TABLE items (id bigint, name text, amount integer, at timestamptz, PRIMARY KEY (id))
                      PARTITION BY RANGE (id);
                  CREATE TABLE items_1 PARTITION OF items FOR VALUES FROM (1) TO (2000);
                  CREATE TABLE items_2 PARTITION OF items FOR VALUES FROM (2000) TO (9000);
                  INSERT INTO items SELECT i, 'rowvalue4711', i, now() FROM generate_series(1, 5000) AS i;
                  ANALYZE items, items_1, items_2";
    let extra = "[backfill]\nchunk_rows = 100\nrows_per_second = 500\n";
    let case = Case::of(Given { source, extra, ..Given::default() }).await;
    let daemon = case.installation.run();
    let table = wait_until("the copy to begin", DEADLINE, async || {
        let (_, body) = daemon.http("/api/v1/status").await?;
        let status: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let table = status["tables"][0].clone();
        if table["chunks_done"].as_u64() > Some(0) { Ok(table) } else { Err(body) }
    })
    .await;
    assert_eq!(table["chunks_expected"], 50, "{table}");
    assert!(table["chunks_total"].as_u64() < Some(50), "{table}");
    stop(daemon).await;
    case.installation.write_mapping(&case.mapping);
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_shown_while_the_source_is_away() {
    let source = Cluster::start(ClusterOptions::default()).await.unwrap();
    let target = &crate::support::servers().await.1;
    let case = Case::between(&source, target, Given::default()).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    source.stop(regraft_testkit::StopMode::Immediate).await.unwrap();
    regraft_testkit::wait_until("the daemon to notice", DEADLINE, async || {
        let (status, body) = case.health(&daemon).await?;
        let (ready, _) = daemon.http("/readyz").await?;
        if (status, ready) == (503, 503) && body.contains("RG2001") { Ok(()) } else { Err(body) }
    })
    .await;
    let status = case.regraft(&["status", "--json"]).await;
    assert_eq!(status.code(), 0, "{}", status.stderr);
    assert_eq!(status.json()["lag_bytes"], Value::Null);
    assert!(case.regraft(&["status"]).await.stdout.contains("does not answer"));
    source.start_again().await.unwrap();
    ready(&mut daemon).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_a_report_for_machines() {
    let mapping = "INSERT INTO goods\nSELECT id, name, amount FROM items;\n\n\
                   INSERT INTO tags SELECT id, t.word \
                   FROM items CROSS JOIN LATERAL unnest(words) AS t (word);\n";
    let source = format!("{}; ALTER TABLE items ADD COLUMN words text[]", crate::support::SOURCE);
    let target = "CREATE TABLE goods (id bigint PRIMARY KEY, name text, amount smallint);
                  CREATE TABLE tags (item bigint, word text, PRIMARY KEY (word, item))";
    let case = Case::of(Given { source: &source, target, mapping, ..Given::default() }).await;
    let finished = case.regraft(&["check", "--json"]).await;
    assert_eq!(finished.code(), 0, "{}\n{}", finished.stdout, finished.stderr);
    let report = finished.json();
    let statements = report["statements"].as_array().unwrap();
    assert_eq!(statements.len(), 2, "{report:#}");
    for (statement, (target, line)) in
        statements.iter().zip([("public.goods", 1), ("public.tags", 4)])
    {
        assert_eq!(statement["target"], target, "{report:#}");
        assert_eq!(statement["source"], "public.items", "{report:#}");
        assert_eq!(statement["line"], line, "{report:#}");
        assert_eq!(statement["mode"], "streamed", "{report:#}");
        assert!(statement["file"].as_str().unwrap().ends_with("mapping.sql"), "{report:#}");
        assert!(!statement["message"].as_str().unwrap().is_empty(), "{report:#}");
    }
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2, "{report:#}");
    for (finding, part) in findings.iter().zip(["smallint", "CREATE INDEX"]) {
        assert_eq!(finding["severity"], "warning", "{report:#}");
        assert!(finding["code"].as_str().unwrap().starts_with("RG"), "{report:#}");
        let told = format!(
            "{} {}",
            finding["what"].as_str().unwrap(),
            finding["remedy"].as_str().unwrap()
        );
        assert!(told.contains(part), "{part}: {report:#}");
        assert!(finding["where"].as_str().unwrap().contains("mapping.sql:"), "{report:#}");
    }
    let text = case.regraft(&["check"]).await;
    assert_eq!(text.code(), 0);
    assert!(text.stdout.contains("0 errors, 2 warnings"), "{}", text.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_json_when_asked_for() {
    let case = Case::of(Given {
        extra: "[log]\nformat = \"json\"\nlevel = \"debug\"\n",
        ..Given::default()
    })
    .await;
    let finished = case.run_once().await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.stderr.lines().count() > 2, "{}", finished.stderr);
    for line in finished.stderr.lines() {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    let finished = case.regraft(&["run", "--until-caught-up", "--json"]).await;
    let summary = finished.json();
    for field in [
        "ending",
        "position",
        "rows",
        "changes",
        "transactions",
        "seconds",
        "lag_p50_seconds",
        "lag_p99_seconds",
        "tables",
    ] {
        assert!(summary.get(field).is_some(), "{field}: {summary:#}");
    }
    assert_eq!(summary["ending"], "caught_up");
}
