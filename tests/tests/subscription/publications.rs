//! 024: tables leave a pipeline and come back. 025: publications of schemas. 037: what is not published.

use crate::support::{Case, Given, stop};
use crate::{case, follow, is};

const BOUNDS: &str = "SELECT count(*), min(a), max(a) FROM ";

/// The statement of a table whose rows are counted.
fn counted(table: &str) -> String {
    format!("-- regraft: counted\nINSERT INTO {table} SELECT a FROM {table};\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_leave_the_mapping_and_come_back() {
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name} (a int); ALTER TABLE {name} REPLICA IDENTITY FULL;
             INSERT INTO {name} SELECT generate_series(1, 10)"
        )
    };
    let case = case(&table("tab_1"), "CREATE TABLE tab_1 (a int)", &counted("tab_1")).await;
    let target = &case.databases.target;
    case.catch_up().await;
    is(target, &format!("{BOUNDS}tab_1"), &["10|1|10"], "the first table").await;
    case.at_source(&table("tab_2")).await;
    case.at_target("CREATE TABLE tab_2 (a int)").await;
    case.installation.write_mapping(&counted("tab_2"));
    case.catch_up().await;
    is(target, &format!("{BOUNDS}tab_2"), &["10|1|10"], "another one in its place").await;

    // Its rows are still there: they are not taken for rows of its own unasked, and do not come twice.
    case.at_source("INSERT INTO tab_1 VALUES (11)").await;
    case.installation.write_mapping(&format!("{}{}", counted("tab_1"), counted("tab_2")));
    let refused = case.run_once().await;
    assert_eq!(refused.code(), 4, "{}", refused.stderr);
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "tab_1"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let rows = crate::rows(target, &format!("{BOUNDS}tab_1")).await;
    assert_eq!(rows, ["11|1|11"], "the first table, copied anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_published() {
    let parent = "CREATE TABLE sch1.tab1_parent (a int PRIMARY KEY, b text) PARTITION BY LIST (a);
        CREATE TABLE tab1_child1 PARTITION OF sch1.tab1_parent FOR VALUES IN (1, 2, 3);
        CREATE TABLE tab1_child2 PARTITION OF sch1.tab1_parent FOR VALUES IN (4, 5, 6);";
    let source = format!(
        "CREATE SCHEMA sch1; CREATE TABLE sch1.tab1 AS SELECT generate_series(1, 10) AS a;
         CREATE TABLE sch1.tab2 AS SELECT generate_series(1, 10) AS a;
         ALTER TABLE sch1.tab1 REPLICA IDENTITY FULL; ALTER TABLE sch1.tab2 REPLICA IDENTITY FULL;
         {parent} INSERT INTO sch1.tab1_parent VALUES (1), (4);
         CREATE PUBLICATION tap_pub_schema FOR TABLES IN SCHEMA sch1 WITH (publish_via_partition_root = true)"
    );
    let target = format!(
        "CREATE SCHEMA sch1; CREATE TABLE sch1.tab1 (a int); CREATE TABLE sch1.tab2 (a int); {parent}"
    );
    let mapping = format!(
        "{}{}INSERT INTO sch1.tab1_parent SELECT a, b FROM sch1.tab1_parent;\n",
        counted("sch1.tab1"),
        counted("sch1.tab2")
    );
    let source_lines = "publication = \"tap_pub_schema\"";
    let given = Given {
        source: &source,
        target: &target,
        mapping: &mapping,
        source_lines,
        ..Given::default()
    };
    let (server, _) = crate::support::servers().await;
    if server.binaries().version().unwrap().major < 15 {
        return;
    }
    let case = Case::of(given).await;
    let target = &case.databases.target;
    let daemon = follow(&case).await;
    let parents = "SELECT * FROM sch1.tab1_parent ORDER BY 1";
    is(target, &format!("{BOUNDS}sch1.tab1"), &["10|1|10"], "the first table, copied").await;
    is(target, &format!("{BOUNDS}sch1.tab2"), &["10|1|10"], "the second table, copied").await;
    is(target, parents, &["1|", "4|"], "partitions in another schema, copied").await;
    case.at_source("INSERT INTO sch1.tab1 SELECT generate_series(11, 20)").await;
    case.at_source("INSERT INTO sch1.tab1_parent VALUES (2), (5)").await;
    case.settled().await;
    is(target, &format!("{BOUNDS}sch1.tab1"), &["20|1|20"], "inserts").await;
    is(target, parents, &["1|", "2|", "4|", "5|"], "inserts into partitions").await;

    case.at_source("CREATE TABLE sch1.tab3 AS SELECT generate_series(1, 10) AS a; ALTER TABLE sch1.tab3 REPLICA IDENTITY FULL").await;
    case.at_target("CREATE TABLE sch1.tab3 (a int)").await;
    case.settled().await;
    is(target, "SELECT count(*) FROM sch1.tab3", &["0"], "a table that is not mapped").await;
    stop(daemon).await;
    case.installation.write_mapping(&format!("{mapping}{}", counted("sch1.tab3")));
    let daemon = follow(&case).await;
    case.at_source("INSERT INTO sch1.tab3 VALUES (11)").await;
    case.settled().await;
    is(target, &format!("{BOUNDS}sch1.tab3"), &["11|1|11"], "a table that comes to the schema")
        .await;

    // What leaves the schema is not published any more: its table is held, and the others go on.
    case.at_source("ALTER TABLE sch1.tab3 SET SCHEMA public; INSERT INTO tab3 VALUES (12)").await;
    let held = |table: &str| {
        format!("SELECT count(*) = 1 FROM regraft.held WHERE source_table = '{table}'")
    };
    crate::support::until_true(target, "the table to be held", &held("tab3")).await;
    case.at_source("INSERT INTO sch1.tab1_parent VALUES (3)").await;
    case.settled().await;
    is(target, &format!("{BOUNDS}sch1.tab3"), &["11|1|11"], "a table that leaves the schema").await;
    assert_eq!(crate::rows(target, parents).await, ["1|", "2|", "3|", "4|", "5|"]);

    case.at_source("INSERT INTO sch1.tab1 VALUES (21)").await;
    case.settled().await;
    case.at_source("ALTER PUBLICATION tap_pub_schema DROP TABLES IN SCHEMA sch1; INSERT INTO sch1.tab1 VALUES (22)").await;
    case.held(&daemon, "RG2017").await;
    is(target, &format!("{BOUNDS}sch1.tab1"), &["21|1|21"], "the schema is not published any more")
        .await;
    stop(daemon).await;
}

/// What is not mapped is neither sent nor written, be it a table, one that others inherit from, or partitions.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_mapped_is_not_published() {
    let source = "CREATE TABLE tab1 AS SELECT generate_series(1, 10) AS a;
        CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent);
        CREATE TABLE parent1 (a int); CREATE TABLE child1 (b int) INHERITS (parent1);
        CREATE TABLE root1 (a int) PARTITION BY RANGE (a);
        CREATE TABLE part1 PARTITION OF root1 FOR VALUES FROM (0) TO (100);
        CREATE TABLE part2 PARTITION OF root1 FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (a);
        CREATE TABLE part2_1 PARTITION OF part2 FOR VALUES FROM (100) TO (150);
        INSERT INTO root1 VALUES (1), (101)";
    let target = "CREATE TABLE tab1 (a int); CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent);
        CREATE TABLE parent1 (a int); CREATE TABLE child1 (b int) INHERITS (parent1);
        CREATE TABLE root1 (a int); CREATE TABLE part1 (a int); CREATE TABLE part2 (a int); CREATE TABLE part2_1 (a int)";
    let mapping = "-- regraft: append-only\nINSERT INTO child1 (a, b) SELECT a, b FROM child1;";
    let case = case(source, target, mapping).await;
    let daemon = follow(&case).await;
    let (at_source, target) = (&case.databases.source, &case.databases.target);
    is(target, "SELECT count(*) FROM tab1", &["0"], "not copied").await;
    // The changes that a slot gives by the publications of the pipeline.
    let spy = format!("{}_spy", case.name);
    case.at_source(&format!("SELECT pg_create_logical_replication_slot('{spy}', 'pgoutput')"))
        .await;
    case.at_source(
        "INSERT INTO tab1 SELECT generate_series(11, 20);
         INSERT INTO child SELECT i, i FROM generate_series(11, 20) AS i; INSERT INTO root1 VALUES (2), (102)",
    )
    .await;
    let publications = "SELECT string_agg(quote_ident(pubname), ',') FROM pg_publication";
    let publications = crate::rows(at_source, publications).await.remove(0);
    let sent = format!(
        "SELECT count(*) FROM pg_logical_slot_get_binary_changes('{spy}', NULL, NULL, 'proto_version', '1',
            'publication_names', '{publications}') AS c WHERE get_byte(c.data, 0) = ascii('I')"
    );
    is(at_source, &sent, &["0"], "not sent").await;
    case.at_source("INSERT INTO child1 SELECT i, i FROM generate_series(11, 20) AS i").await;
    assert_eq!(crate::rows(at_source, &sent).await, ["10"], "what is mapped is sent");
    case.settled().await;
    is(target, "SELECT count(*) FROM tab1", &["0"], "not followed").await;
    is(target, "SELECT count(*) FROM child", &["0"], "nor one that inherits").await;
    is(target, "SELECT count(*) FROM child1", &["10"], "one that inherits and is mapped").await;
    for table in ["root1", "part1", "part2", "part2_1"] {
        is(target, &format!("SELECT count(*) FROM {table}"), &["0"], table).await;
    }
    case.at_source(&format!("SELECT pg_drop_replication_slot('{spy}')")).await;
    stop(daemon).await;
}

/// Publications of others say nothing about what the pipeline follows.
#[tokio::test(flavor = "multi_thread")]
async fn publications_of_others_do_not_matter() {
    for (other, what) in [("TABLE tab2", "of another table"), ("ALL TABLES", "of all tables")] {
        let source = format!(
            "CREATE TABLE tab1 (a int PRIMARY KEY); CREATE TABLE tab2 (a int PRIMARY KEY);
             CREATE PUBLICATION tap_pub1 FOR {other}; INSERT INTO tab1 VALUES (1)"
        );
        let case = case(
            &source,
            "CREATE TABLE tab1 (a int PRIMARY KEY)",
            "INSERT INTO tab1 SELECT a FROM tab1;",
        )
        .await;
        let daemon = follow(&case).await;
        case.at_source("INSERT INTO tab1 VALUES (2)").await;
        case.settled().await;
        is(&case.databases.target, "SELECT * FROM tab1 ORDER BY a", &["1", "2"], what).await;
        stop(daemon).await;
    }
}
