//! Nothing that regraft makes at the source keeps the application from writing.

use std::time::Duration;

use regraft_testkit::{Cluster, ClusterOptions, wait_until};
use regraft_tests::DEADLINE;

use crate::support::{Case, Given, assert_finding, assert_says, ready, servers, stop, until_true};

/// A table that the application can change, whose rows identify nothing that the server takes.
async fn refused(source: &str, mapping: &str, target: &str, parts: &[&str]) {
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let finding = case.regraft(&["check", "--json"]).await.json();
    let errors = crate::support::errors(&finding);
    assert!(
        errors.iter().any(|error| parts.iter().all(|part| error.to_string().contains(part))),
        "{parts:?}: {finding:#}"
    );
    let finished = case.run_once().await;
    assert_eq!(finished.code(), 3, "{}", finished.stderr);
    // The application writes as before, and nothing was made.
    case.at_source("UPDATE items SET name = 'x' WHERE id = 3; DELETE FROM items WHERE id = 4")
        .await;
    until_true(&case.databases.source, "no publication", "SELECT count(*) = 0 FROM pg_publication")
        .await;
}

const ITEMS: &str = "CREATE TABLE goods (id bigint PRIMARY KEY, name text)";
const COPY: &str = "INSERT INTO goods SELECT id, name FROM items";
const ROWS: &str = "INSERT INTO items SELECT i, 'n' FROM generate_series(1, 9) AS i";

#[tokio::test(flavor = "multi_thread")]
async fn a_deferrable_primary_key_is_refused_before_it_is_published() {
    let source =
        format!("CREATE TABLE items (id bigint PRIMARY KEY DEFERRABLE, name text); {ROWS}");
    refused(&source, COPY, ITEMS, &["RG3001", "DEFERRABLE"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferrable_primary_key_of_a_joined_table_is_refused() {
    let source = "CREATE TABLE kinds (id int PRIMARY KEY, name text);
         CREATE TABLE items (id bigint PRIMARY KEY DEFERRABLE, kind int, name text);
         INSERT INTO items SELECT i, 1, 'n' FROM generate_series(1, 9) AS i;
         INSERT INTO kinds VALUES (1, 'k')";
    let mapping = "INSERT INTO goods SELECT k.id, string_agg(i.name, ',' ORDER BY i.id) FROM kinds k \
                   JOIN items i ON i.kind = k.id GROUP BY k.id";
    refused(source, mapping, ITEMS, &["public.items"]).await;
}

/// Two partitions; the second one is altered.
fn partitions(second: &str) -> String {
    format!(
        "CREATE TABLE items (id bigint PRIMARY KEY, name text) PARTITION BY RANGE (id);
         CREATE TABLE items_low PARTITION OF items FOR VALUES FROM (MINVALUE) TO (5);
         CREATE TABLE items_high PARTITION OF items FOR VALUES FROM (5) TO (MAXVALUE);
         {ROWS}; {second}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_identity_is_refused_by_name() {
    let source = partitions("ALTER TABLE items_high REPLICA IDENTITY NOTHING");
    let parts = ["RG2016", "public.items_high", "NOTHING", "REPLICA IDENTITY DEFAULT"];
    refused(&source, COPY, ITEMS, &parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_key_of_its_own_is_refused_by_name() {
    let source = format!(
        "CREATE TABLE items (id bigint NOT NULL, name text) PARTITION BY RANGE (id);
         CREATE TABLE items_low PARTITION OF items FOR VALUES FROM (MINVALUE) TO (5);
         CREATE TABLE items_high PARTITION OF items FOR VALUES FROM (5) TO (MAXVALUE);
         CREATE UNIQUE INDEX items_id ON ONLY items (id);
         CREATE UNIQUE INDEX items_low_id ON items_low (id);
         ALTER INDEX items_id ATTACH PARTITION items_low_id;
         CREATE UNIQUE INDEX items_high_id ON items_high (id);
         ALTER INDEX items_id ATTACH PARTITION items_high_id;
         ALTER TABLE items REPLICA IDENTITY USING INDEX items_id;
         ALTER TABLE items_low REPLICA IDENTITY USING INDEX items_low_id; {ROWS}"
    );
    let parts = ["RG2016", "public.items_high", "no primary key"];
    refused(&source, COPY, ITEMS, &parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_does_not_identify_rows_as_its_table_does_is_refused() {
    // Statements without owner columns need whole old rows; the server judges each partition by itself.
    let source = partitions("ALTER TABLE items REPLICA IDENTITY FULL");
    let mapping = "INSERT INTO goods SELECT length(name) * 1000 + id, name FROM items";
    let parts = ["RG3001", "ALTER TABLE \\\"public\\\".\\\"items_high\\\" REPLICA IDENTITY FULL"];
    refused(&source, mapping, ITEMS, &parts).await;
}

/// Attaches a partition under a running daemon: the application can write again within moments, and the
/// operator hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_identity_that_is_attached_later_does_not_harm_for_long() {
    let source = "
        CREATE TABLE items (id bigint PRIMARY KEY, name text) PARTITION BY RANGE (id);
        CREATE TABLE items_low PARTITION OF items FOR VALUES FROM (MINVALUE) TO (5);
        INSERT INTO items SELECT i, 'n' FROM generate_series(1, 4) AS i;
        CREATE TABLE other (id bigint PRIMARY KEY, name text);
        INSERT INTO other VALUES (1, 'o')";
    let target = "CREATE TABLE goods (id bigint PRIMARY KEY, name text);
                  CREATE TABLE others (id bigint PRIMARY KEY, name text)";
    let mapping = "INSERT INTO goods SELECT id, name FROM items;
                   INSERT INTO others SELECT id, name FROM other;";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source(
        "CREATE TABLE items_high (id bigint PRIMARY KEY, name text);
         ALTER TABLE items_high REPLICA IDENTITY NOTHING;
         INSERT INTO items_high VALUES (7, 'seven');
         ALTER TABLE items ATTACH PARTITION items_high FOR VALUES FROM (5) TO (MAXVALUE)",
    )
    .await;
    let error = case.held(&daemon, "RG2016").await;
    let what = error["what"].as_str().unwrap();
    assert!(what.contains("public.items_high") && what.contains("taken out"), "{error:#}");
    case.at_source("UPDATE items SET name = 'free' WHERE id = 7").await;
    stop(daemon).await;
    // What was missed is not passed over, also after the table was published again by hand.
    case.at_source(&format!(
        "ALTER TABLE items_high REPLICA IDENTITY DEFAULT; ALTER PUBLICATION {} ADD TABLE items",
        case.slot()
    ))
    .await;
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG2017", &["public.items", "--recopy public.items"]);
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "items"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
    case.at_source("UPDATE items SET name = name || '!'; DELETE FROM items WHERE id = 1").await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_columns_under_full_identity_are_published_where_the_server_wants_them() {
    let Ok(binaries) = regraft_testkit::Binaries::of_major(18) else {
        panic!("PostgreSQL 18 is missing: ./setup 18");
    };
    let options = ClusterOptions { binaries: Some(binaries), ..ClusterOptions::default() };
    let source = Cluster::start(options).await.unwrap();
    let given = Given {
        source: "CREATE TABLE items (id bigint PRIMARY KEY, name text,
                     size int GENERATED ALWAYS AS (length(name)) STORED);
                 ALTER TABLE items REPLICA IDENTITY FULL;
                 INSERT INTO items (id, name) VALUES (1, 'a'), (2, 'b')",
        target: ITEMS,
        mapping: COPY,
        ..Given::default()
    };
    let case = Case::between(&source, &servers().await.1, given).await;
    case.catch_up().await;
    case.at_source("UPDATE items SET name = 'abc' WHERE id = 1; DELETE FROM items WHERE id = 2")
        .await;
    case.catch_up().await;
    case.assert_equal().await;
    // A column that no publication carries is another matter.
    let given = Given {
        source: "CREATE TABLE items (id bigint PRIMARY KEY, name text,
                     size int GENERATED ALWAYS AS (length(name)) VIRTUAL);
                 ALTER TABLE items REPLICA IDENTITY FULL;
                 INSERT INTO items (id, name) VALUES (1, 'a')",
        target: ITEMS,
        mapping: COPY,
        ..Given::default()
    };
    let case = Case::between(&source, &servers().await.1, given).await;
    let finding = case.only_finding().await;
    assert_finding(&finding, "RG2016", "source (", &["\"size\"", "public.items"]);
    case.at_source("UPDATE items SET name = 'abc' WHERE id = 1").await;
}

/// A table that has left the mapping is not published any more: nobody would guard it.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_leaves_the_mapping_is_not_published_any_more() {
    let source = "
        CREATE TABLE items (id bigint PRIMARY KEY, name text);
        CREATE TABLE other (id bigint PRIMARY KEY, name text)";
    let target = "CREATE TABLE goods (id bigint PRIMARY KEY, name text);
                  CREATE TABLE others (id bigint PRIMARY KEY, name text)";
    let mapping = "INSERT INTO goods SELECT id, name FROM items;
                   INSERT INTO others SELECT id, name FROM other;";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    case.catch_up().await;
    case.installation.write_mapping("INSERT INTO goods SELECT id, name FROM items");
    let finished = case.regraft(&["run", "--until-caught-up", "--accept-mapping"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.at_source("ALTER TABLE other DROP CONSTRAINT other_pkey; UPDATE other SET name = 'x'")
        .await;
}

/// The table is locked at that very moment, and has children that are not published.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_is_freed_as_well() {
    let case = Case::usual().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let locker = regraft_testkit::connect(&case.databases.source_url).await.unwrap();
    case.at_source("ALTER TABLE items DROP CONSTRAINT items_pkey").await;
    locker.batch_execute("BEGIN; LOCK TABLE items IN SHARE UPDATE EXCLUSIVE MODE").await.unwrap();
    wait_until("the application to be free", DEADLINE, async || {
        let sql = "UPDATE items SET amount = 5 WHERE id = 3";
        case.databases.source.batch_execute(sql).await.map_err(|error| error.to_string())
    })
    .await;
    case.held(&daemon, "RG2016").await;
    locker.batch_execute("COMMIT").await.unwrap();
    stop(daemon).await;
}

/// Advice that is followed while the daemon runs must not harm either.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_is_taken_away_under_a_running_daemon_frees_the_application() {
    let case = Case::usual().await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("ALTER TABLE items DROP CONSTRAINT items_pkey").await;
    let error = case.held(&daemon, "RG2016").await;
    assert!(error["what"].as_str().unwrap().contains("no primary key"), "{error:#}");
    case.at_source("UPDATE items SET amount = 5 WHERE id = 3").await;
    stop(daemon).await;
}

/// Whoever reads two tables has one of them when it comes to the other. Were it to wait there, an application that
/// locks both the other way round would be ended by the server after a second.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_locks_several_tables_meets_no_deadlock() {
    let verify = "[verify]\nrows_per_second = 100000\nsource_percent = 100\n";
    let case = Case::of(crate::joined(verify)).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let application = regraft_testkit::connect(&case.databases.source_url).await.unwrap();
    for round in 0..5 {
        application.batch_execute("BEGIN; LOCK TABLE kinds").await.unwrap();
        // It is read by key, with its kind.
        case.at_source(&format!("UPDATE items SET name = 'new {round}' WHERE id < 9")).await;
        wait_until("a read to be hindered", DEADLINE, async || {
            let told = daemon.log().matches("a read waits for a lock").count();
            if told > round { Ok(()) } else { Err(told.to_string()) }
        })
        .await;
        application.batch_execute("LOCK TABLE items; COMMIT").await.unwrap();
        case.settled().await;
    }
    case.assert_equal().await;
    stop(daemon).await;
}

/// The same of every session, at each step of a start and of a copy: none waits for a table with another one in
/// hand, which an application that truncates both, or a partitioned table, would be ended for.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_waits_for_a_table_with_another_one_in_hand() {
    const WAITS: &str = "SELECT coalesce(string_agg(format('%s waits for %s with %s in hand: %s', a.application_name, \
            w.relation::regclass, h.relation::regclass, a.query), E'\\n'), '') \
        FROM pg_locks w JOIN pg_locks h ON h.pid = w.pid AND h.granted AND h.locktype = 'relation' \
            AND h.relation >= 16384 AND h.relation <> w.relation JOIN pg_stat_activity a ON a.pid = w.pid \
        WHERE NOT w.granted AND w.locktype = 'relation' AND a.datname = current_database() \
            AND a.application_name LIKE 'regraft %' AND w.waitstart < now() - interval '300 ms'";
    let source = "CREATE TABLE items (part int, id int, name text, PRIMARY KEY (part, id)) PARTITION BY LIST (part);
                  CREATE TABLE items_0 PARTITION OF items FOR VALUES IN (0);
                  CREATE TABLE items_1 PARTITION OF items FOR VALUES IN (1);
                  INSERT INTO items SELECT i % 2, i, 'n' FROM generate_series(1, 400) AS i";
    for locked in ["items", "items_0", "items_1"] {
        let case = Case::of(Given {
            source,
            target: "CREATE TABLE goods (part int, id int, name text, PRIMARY KEY (part, id))",
            mapping: "INSERT INTO goods SELECT part, id, name FROM items",
            extra: "[backfill]\nchunk_rows = 10\n",
            ..Given::default()
        })
        .await;
        let application = regraft_testkit::connect(&case.databases.source_url).await.unwrap();
        // Each step meets it sooner or later: it goes from lock to lock.
        let mut daemon = case.installation.run();
        for _ in 0..6 {
            let lock = format!("BEGIN; LOCK TABLE ONLY {locked} IN ACCESS EXCLUSIVE MODE");
            application.batch_execute(&lock).await.unwrap();
            for _ in 0..20 {
                let waits: String =
                    case.databases.source.query_one(WAITS, &[]).await.unwrap().get(0);
                assert_eq!(waits, "");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            application.batch_execute("COMMIT").await.unwrap();
        }
        ready(&mut daemon).await;
        case.assert_equal().await;
        stop(daemon).await;
    }
}
