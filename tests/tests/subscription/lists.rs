//! 031, its second half: some columns of partitions, and publications that somebody else made.

use crate::support::{assert_says, stop, until_true};
use crate::{case, copies, follow, is, published};

/// A table without a key whose two partitions have each its own, over different columns.
fn parted(name: &str, columns: &str, lists: [&str; 2]) -> String {
    format!(
        "CREATE TABLE {name} ({columns}) PARTITION BY LIST (a);
         CREATE TABLE {name}_1 PARTITION OF {name} FOR VALUES IN ({}); ALTER TABLE {name}_1 ADD PRIMARY KEY (a);
         CREATE TABLE {name}_2 PARTITION OF {name} FOR VALUES IN ({}); ALTER TABLE {name}_2 ADD PRIMARY KEY (b);
         ALTER TABLE {name}_1 REPLICA IDENTITY USING INDEX {name}_1_pkey;
         ALTER TABLE {name}_2 REPLICA IDENTITY USING INDEX {name}_2_pkey;",
        lists[0], lists[1]
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_have_keys_of_their_own() {
    let (low, odd) = (["1, 2, 3, 4, 5", "6, 7, 8, 9, 10"], ["1, 3", "2, 4"]);
    let single = "CREATE TABLE part_d (a int, b int) PARTITION BY LIST (a);
        CREATE TABLE part_d_1 PARTITION OF part_d FOR VALUES IN (1, 3); ALTER TABLE part_d_1 ADD PRIMARY KEY (a);
        ALTER TABLE part_d_1 REPLICA IDENTITY USING INDEX part_d_1_pkey;";
    let all = [
        parted("part_a", "a int, b int, c int", low),
        parted("part_b", "a int, b int", low),
        parted("part_c", "a int, b int, c int", odd),
    ];
    let source = format!(
        "{} {single} INSERT INTO part_a VALUES (1, 3), (6, 4); INSERT INTO part_b VALUES (1, 1), (6, 2);
         INSERT INTO part_c VALUES (1, 3, 5), (2, 4, 6); INSERT INTO part_d VALUES (1, 2)",
        all.concat()
    );
    let target = format!(
        "{} {} {} {single} CREATE TABLE part_d_2 PARTITION OF part_d FOR VALUES IN (2, 4)",
        parted("part_a", "b int, a int", low),
        all[1],
        all[2]
    );
    let with = |c_1| {
        let keyed = copies(&[
            ("part_b_1", "a, b"),
            ("part_b_2", "a, b"),
            ("part_c_1", c_1),
            ("part_c_2", "a, b"),
        ]);
        format!(
            "{keyed}\n-- regraft: append-only\nINSERT INTO part_a SELECT b, a FROM part_a;
             -- regraft: append-only\nINSERT INTO part_d (a) SELECT a FROM part_d;"
        )
    };
    let case = case(&source, &target, &with("a, c")).await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    let rows = |table: &str| format!("SELECT * FROM {table} ORDER BY a, b");
    case.at_source(
        "INSERT INTO part_a VALUES (2, 5), (7, 6); INSERT INTO part_b VALUES (2, 3), (7, 4);
         INSERT INTO part_c VALUES (3, 7, 8), (4, 9, 10); INSERT INTO part_d VALUES (3, 4)",
    )
    .await;
    case.settled().await;
    is(
        target,
        "SELECT a, b FROM part_a ORDER BY a, b",
        &["1|3", "2|5", "6|4", "7|6"],
        "by the root, in another order",
    )
    .await;
    is(target, &rows("part_b"), &["1|1", "2|3", "6|2", "7|4"], "each by itself").await;
    is(target, &rows("part_c"), &["1||5", "2|4|", "3||8", "4|9|"], "other columns of each").await;
    is(target, &rows("part_d"), &["1|", "3|"], "one column of a root").await;
    stop(daemon).await;

    case.installation.write_mapping(&with("a"));
    let recopied = case.regraft(&["run", "--until-caught-up", "--recopy", "part_c_1"]).await;
    assert_eq!(recopied.code(), 0, "{}", recopied.stderr);
    let daemon = follow(&case).await;
    case.at_source("TRUNCATE part_c; INSERT INTO part_c VALUES (1, 3, 5), (2, 4, 6)").await;
    case.settled().await;
    is(target, &rows("part_c"), &["1||", "2|4|"], "other columns than before").await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_of_everything_have_all_columns() {
    let table = "CREATE TABLE mixed (a int PRIMARY KEY, b int, c int)";
    for of in ["ALL TABLES", "TABLES IN SCHEMA public"] {
        let source = format!(
            "{table}; INSERT INTO mixed VALUES (1, 2, 3); CREATE PUBLICATION given FOR {of}"
        );
        let case = published(&source, table, &copies(&[("mixed", "a, b, c")])).await;
        let daemon = follow(&case).await;
        case.at_source("INSERT INTO mixed VALUES (4, 5, 6)").await;
        case.settled().await;
        let rows = "SELECT * FROM mixed ORDER BY a";
        is(&case.databases.target, rows, &["1|2|3", "4|5|6"], of).await;
        stop(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn some_columns_of_a_root_and_of_what_is_below_it() {
    let parted = "CREATE TABLE root (a int PRIMARY KEY, b int, c int) PARTITION BY RANGE (a);
        CREATE TABLE root_1 PARTITION OF root FOR VALUES FROM (1) TO (10); CREATE TABLE root_2 PARTITION OF root FOR VALUES FROM (10) TO (20);
        CREATE TABLE t (a int, b int, c int) PARTITION BY RANGE (a);
        CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (1) TO (10) PARTITION BY RANGE (a);
        CREATE TABLE t_2 PARTITION OF t_1 FOR VALUES FROM (1) TO (10);
        CREATE TABLE tab7 (a int PRIMARY KEY, b int, c int, d int);";
    let source = format!(
        "{parted} CREATE TABLE less (a int PRIMARY KEY, b int, c int, d int GENERATED ALWAYS AS (a + 1) STORED);
         ALTER TABLE less DROP COLUMN c; INSERT INTO less VALUES (1, 2); INSERT INTO root VALUES (1, 2, 3), (10, 20, 30);
         INSERT INTO t VALUES (1, 2, 3); INSERT INTO tab7 VALUES (1, 22, 333, 4444)"
    );
    let target = format!("{parted} CREATE TABLE less (a int PRIMARY KEY, b int, c int, d int)");
    let mapping = format!(
        "{} -- regraft: append-only\nINSERT INTO t_1 (a) SELECT a FROM t_1;",
        copies(&[("root", "a"), ("less", "a, b"), ("tab7", "a, b")])
    );
    let case = case(&source, &target, &mapping).await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    let rows = |table: &str| format!("SELECT * FROM {table} ORDER BY a");
    is(target, &rows("less"), &["1|2||"], "beside dropped and generated columns, copied").await;
    case.at_source(
        "INSERT INTO root VALUES (2, 3, 4), (11, 21, 31); INSERT INTO t VALUES (4, 5, 6); INSERT INTO less VALUES (3, 4);
         INSERT INTO tab7 VALUES (2, 33, 444, 5555); UPDATE tab7 SET b = b * 2, c = c * 3, d = d * 4",
    )
    .await;
    case.settled().await;
    is(target, &rows("less"), &["1|2||", "3|4||"], "the same, followed").await;
    is(target, &rows("root"), &["1||", "2||", "10||", "11||"], "of a root").await;
    is(target, &rows("t"), &["1||", "4||"], "of what is in the middle").await;
    is(target, &rows("tab7"), &["1|44||", "2|66||"], "by the first key").await;
    stop(daemon).await;
}

/// A schema that holds a root, and beside it the partition that is in another schema.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_of_a_schema_and_of_a_partition() {
    let table = "CREATE SCHEMA s1; CREATE TABLE s1.t (a int PRIMARY KEY, b int, c int) PARTITION BY RANGE (a);
        CREATE TABLE t_1 PARTITION OF s1.t FOR VALUES FROM (1) TO (10);";
    let source = format!(
        "{table} INSERT INTO s1.t VALUES (1, 2, 3);
         CREATE PUBLICATION given FOR TABLES IN SCHEMA s1, TABLE t_1 WITH (publish_via_partition_root)"
    );
    let case = published(&source, table, &copies(&[("s1.t", "a, b, c")])).await;
    let daemon = follow(&case).await;
    case.at_source("INSERT INTO s1.t VALUES (4, 5, 6)").await;
    case.settled().await;
    let rows = "SELECT * FROM s1.t ORDER BY a";
    is(&case.databases.target, rows, &["1|2|3", "4|5|6"], "published twice").await;
    stop(daemon).await;
}

/// Which columns come is said by the mapping. A publication with a list of its own is refused, and holds the table
/// where it comes to have one.
#[tokio::test(flavor = "multi_thread")]
async fn lists_of_publications_are_refused() {
    let tables = "CREATE TABLE mixed (a int PRIMARY KEY, b int, c int); CREATE TABLE beside (a int PRIMARY KEY);";
    let source = format!("{tables} CREATE PUBLICATION given FOR TABLE mixed (a, c), beside");
    let case = published(&source, tables, &copies(&[("mixed", "a, b"), ("beside", "a")])).await;
    assert_says(&case.run_once().await, 3, "RG2010", &["public.mixed"]);
    case.at_source("ALTER PUBLICATION given SET TABLE mixed, beside").await;
    let daemon = follow(&case).await;
    case.at_source("ALTER PUBLICATION given SET TABLE mixed (a, c), beside; INSERT INTO mixed VALUES (1, 1, 1)").await;
    let held = "SELECT count(*) = 1 FROM regraft.held WHERE source_table = 'mixed'";
    until_true(&case.databases.target, "the table to be held", held).await;
    let rows = "SELECT count(*) = 0 FROM mixed";
    until_true(&case.databases.target, "nothing to have come in part", rows).await;
    stop(daemon).await;
}
