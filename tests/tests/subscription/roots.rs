//! 013, its second half: partitions by the table at their root, and one of them by itself.

use regraft_testkit::Daemon;

use crate::support::{Case, stop};
use crate::{accepted, case, copies, follow, is};

const SOURCE: &str = "
    CREATE TABLE tab1 (a int PRIMARY KEY, b text) PARTITION BY LIST (a); CREATE TABLE tab1_1 (b text, a int NOT NULL);
    ALTER TABLE tab1 ATTACH PARTITION tab1_1 FOR VALUES IN (1, 2, 3);
    CREATE TABLE tab1_2 PARTITION OF tab1 FOR VALUES IN (4, 5, 6); CREATE TABLE tab1_def PARTITION OF tab1 DEFAULT;
    CREATE TABLE tab2 (a int PRIMARY KEY, b text) PARTITION BY LIST (a); CREATE TABLE tab2_1 (b text, a int NOT NULL);
    ALTER TABLE tab2 ATTACH PARTITION tab2_1 FOR VALUES IN (0, 1, 2, 3);
    CREATE TABLE tab2_2 PARTITION OF tab2 FOR VALUES IN (5, 6);
    CREATE TABLE tab3 (a int PRIMARY KEY, b text) PARTITION BY LIST (a);
    CREATE TABLE tab3_1 PARTITION OF tab3 FOR VALUES IN (0, 1, 2, 3, 5, 6);
    CREATE TABLE tab4 (a int PRIMARY KEY) PARTITION BY LIST (a);
    CREATE TABLE tab4_1 PARTITION OF tab4 FOR VALUES IN (-1, 0, 1) PARTITION BY LIST (a);
    CREATE TABLE tab4_1_1 PARTITION OF tab4_1 FOR VALUES IN (-1, 0, 1);
    INSERT INTO tab2 VALUES (1); INSERT INTO tab4 VALUES (-1)";

/// The root of one table, and the partition of another by itself.
const SOME: &str = "
    CREATE TABLE tab2 (a int PRIMARY KEY, c text DEFAULT 'one_tab2', b text) PARTITION BY RANGE (a);
    CREATE TABLE tab2_1 (c text DEFAULT 'one_tab2', b text, a int NOT NULL);
    ALTER TABLE tab2 ATTACH PARTITION tab2_1 FOR VALUES FROM (0) TO (10);
    CREATE TABLE tab3_1 (c text DEFAULT 'one_tab3_1', b text, a int NOT NULL PRIMARY KEY)";

/// All roots, of which one is partitioned otherwise and the others not at all.
const ALL: &str = "
    CREATE TABLE tab1 (a int PRIMARY KEY, c text DEFAULT 'two_tab1', b text) PARTITION BY HASH (a);
    CREATE TABLE tab1_part1 (b text, c text DEFAULT 'two_tab1', a int NOT NULL);
    ALTER TABLE tab1 ATTACH PARTITION tab1_part1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE tab1_part2 PARTITION OF tab1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE tab2 (a int PRIMARY KEY, c text DEFAULT 'two_tab2', b text);
    CREATE TABLE tab3 (a int PRIMARY KEY, c text DEFAULT 'two_tab3', b text);
    CREATE TABLE tab3_1 (a int PRIMARY KEY, c text DEFAULT 'two_tab3_1', b text);
    CREATE TABLE tab4 (a int PRIMARY KEY); CREATE TABLE tab4_1 (a int PRIMARY KEY)";

/// The two pipelines.
struct Both {
    some: Case,
    all: Case,
}

impl Both {
    async fn at_source(&self, sql: &str) {
        for case in [&self.some, &self.all] {
            case.at_source(sql).await;
            case.settled().await;
        }
    }

    /// What these tables hold, each row with the default of its table.
    async fn hold(&self, keys: &[i32], what: &str) {
        let Self { some, all } = self;
        for (case, prefix, tables) in
            [(some, "one", &["tab2", "tab3_1"][..]), (all, "two", &["tab1", "tab2", "tab3"])]
        {
            for table in tables {
                let row = |key| format!("{prefix}_{table}|{key}");
                let wanted: Vec<_> = keys.iter().map(row).collect();
                let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
                let query = format!("SELECT c, a FROM {table} ORDER BY 1, 2");
                is(&case.databases.target, &query, &wanted, what).await;
            }
        }
    }
}

async fn both() -> (Both, [Daemon; 2]) {
    let some = case(SOURCE, SOME, &copies(&[("tab2", "a, b"), ("tab3_1", "a, b")])).await;
    let tables = [("tab1", "a, b"), ("tab2", "a, b"), ("tab3", "a, b"), ("tab4", "a")];
    let all = case(SOURCE, ALL, &copies(&tables)).await;
    let daemons = [follow(&some).await, follow(&all).await];
    (Both { some, all }, daemons)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_all_partitions_are_rows_of_their_root() {
    let (both, daemons) = both().await;
    let (one, two) = (&both.some.databases.target, &both.all.databases.target);
    let (root, below) = ("SELECT a FROM tab4 ORDER BY 1", "SELECT a FROM tab4_1 ORDER BY 1");
    is(one, "SELECT c, a FROM tab2", &["one_tab2|1"], "the root is copied").await;
    is(two, root, &["-1"], "a root of roots is copied").await;
    is(two, below, &[], "what is below it, not by itself").await;

    both.at_source(
        "INSERT INTO tab1 VALUES (1), (0); INSERT INTO tab1_1 (a) VALUES (3); INSERT INTO tab1_2 VALUES (5);
         INSERT INTO tab2 VALUES (0), (3), (5); INSERT INTO tab3 VALUES (1), (0), (3), (5); INSERT INTO tab4 VALUES (0)",
    )
    .await;
    both.hold(&[0, 1, 3, 5], "inserts").await;
    is(two, root, &["-1", "0"], "inserts below the root of roots").await;
    is(two, below, &[], "and nowhere else").await;
    both.at_source("INSERT INTO tab4_1 VALUES (1)").await;
    is(two, root, &["-1", "0", "1"], "an insert into the middle of it").await;
    is(two, below, &[], "and nowhere else").await;

    let update = |from: i32, to: i32| {
        ["tab1", "tab2", "tab3"]
            .map(|table| format!("UPDATE {table} SET a = {to} WHERE a = {from};"))
            .concat()
    };
    both.at_source(&update(5, 6)).await;
    both.hold(&[0, 1, 3, 6], "updates").await;
    both.at_source(&update(6, 2)).await;
    both.hold(&[0, 1, 2, 3], "updates from partition to partition").await;

    both.at_source("DELETE FROM tab1; DELETE FROM tab2; DELETE FROM tab3").await;
    is(one, "SELECT a FROM tab2", &[], "deletes of tab2").await;
    is(two, "SELECT a FROM tab1", &[], "deletes of tab1").await;
    is(two, "SELECT a FROM tab2", &[], "deletes of tab2").await;
    is(two, "SELECT a FROM tab3", &[], "deletes of tab3").await;

    both.at_source("INSERT INTO tab1 VALUES (1), (2), (5); INSERT INTO tab2 VALUES (1), (2), (5); INSERT INTO tab3 VALUES (1), (2), (5)").await;
    both.some.at_target("INSERT INTO tab2 (a) VALUES (9)").await;
    both.at_source("TRUNCATE tab1, tab2, tab3").await;
    is(one, "SELECT a FROM tab2", &[], "TRUNCATE of tab2").await;
    is(two, "SELECT a FROM tab1", &[], "TRUNCATE of tab1").await;
    is(two, "SELECT a FROM tab2", &[], "TRUNCATE of tab2").await;
    is(two, "SELECT a FROM tab3", &[], "TRUNCATE of tab3").await;
    is(two, "SELECT a FROM tab3_1", &[], "what is not mapped").await;
    for daemon in daemons {
        stop(daemon).await;
    }
}

/// A column goes and comes again, behind another one; what the mapping says of it is said anew.
#[tokio::test(flavor = "multi_thread")]
async fn columns_of_a_root_are_made_anew() {
    let (both, daemons) = both().await;
    let (one, two) = (&both.some.databases.target, &both.all.databases.target);
    both.at_source("INSERT INTO tab2 VALUES (0, 'old'); TRUNCATE tab2").await;
    let tables = [("tab1", "a, b"), ("tab2", "a, c, b"), ("tab3", "a, b"), ("tab4", "a")];
    both.some.installation.write_mapping(&copies(&[("tab2", "a, c, b"), ("tab3_1", "a, b")]));
    both.all.installation.write_mapping(&copies(&tables));
    let rows = "SELECT c, a, b FROM tab2 ORDER BY 1, 2";
    for (case, target) in [(&both.some, one), (&both.all, two)] {
        case.at_source(
            "ALTER TABLE tab2 DROP b, ADD COLUMN c text DEFAULT 'source_tab2', ADD b text;
             INSERT INTO tab2 (a, b) VALUES (1, 'xxx'), (3, 'yyy'), (5, 'zzz'); INSERT INTO tab2 (a, b, c) VALUES (6, 'aaa', 'xxx_c')",
        )
        .await;
        accepted(case).await;
        let wanted = ["source_tab2|1|xxx", "source_tab2|3|yyy", "source_tab2|5|zzz", "xxx_c|6|aaa"];
        is(target, rows, &wanted, "columns of another order").await;
    }
    for daemon in daemons {
        stop(daemon).await;
    }
}

/// Tables are altered at the target, then at the source; found by a unique index.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_of_the_target_is_altered() {
    let source = "CREATE TABLE tab5 (a int NOT NULL, b int); CREATE UNIQUE INDEX tab5_a_idx ON tab5 (a);
        ALTER TABLE tab5 REPLICA IDENTITY USING INDEX tab5_a_idx; CREATE TABLE beside (a int PRIMARY KEY)";
    let target = "CREATE TABLE tab5 (a int NOT NULL, b int, c int) PARTITION BY LIST (a);
        CREATE TABLE tab5_1 PARTITION OF tab5 DEFAULT; CREATE UNIQUE INDEX tab5_a_idx ON tab5 (a);
        CREATE TABLE beside (a int PRIMARY KEY)";
    let case = case(source, target, &copies(&[("tab5", "a, b"), ("beside", "a")])).await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    let rows = "SELECT a, b, c FROM tab5 ORDER BY 1";
    case.at_source("INSERT INTO tab5 VALUES (1, 1); UPDATE tab5 SET a = 2 WHERE a = 1").await;
    case.settled().await;
    is(target, "SELECT a, b FROM tab5 ORDER BY 1", &["2|1"], "before").await;
    case.at_target(
        "ALTER TABLE tab5 DETACH PARTITION tab5_1; ALTER TABLE tab5_1 DROP COLUMN b; ALTER TABLE tab5_1 ADD COLUMN b int;
         ALTER TABLE tab5 ATTACH PARTITION tab5_1 DEFAULT",
    )
    .await;
    case.at_source("UPDATE tab5 SET a = 3 WHERE a = 2").await;
    case.settled().await;
    is(target, rows, &["3|1|"], "a partition of the target has another order of columns").await;
    case.installation.write_mapping(&copies(&[("tab5", "a, b, c"), ("beside", "a")]));
    case.at_source(
        "ALTER TABLE tab5 DROP COLUMN b, ADD COLUMN c int; ALTER TABLE tab5 ADD COLUMN b int;
         UPDATE tab5 SET c = 1 WHERE a = 3",
    )
    .await;
    accepted(&case).await;
    is(target, rows, &["3||1"], "columns of the source are made anew").await;
    case.at_target("ALTER TABLE tab5 REPLICA IDENTITY NOTHING").await;
    case.at_source("UPDATE tab5 SET a = 4 WHERE a = 3").await;
    case.settled().await;
    is(target, "SELECT a, b, c FROM tab5_1", &["4||1"], "whatever identity the target has").await;
    stop(daemon).await;
}
