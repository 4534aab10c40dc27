//! 013: partitioned tables, by the table that is partitioned and by its partitions.

use crate::support::{Case, stop};
use crate::{case, follow, is};

const SOURCE: &str = "
    CREATE TABLE tab1 (a int PRIMARY KEY, b text) PARTITION BY LIST (a);
    CREATE TABLE tab1_1 (b text, a int NOT NULL);
    ALTER TABLE tab1 ATTACH PARTITION tab1_1 FOR VALUES IN (1, 2, 3);
    CREATE TABLE tab1_2 PARTITION OF tab1 FOR VALUES IN (4, 5, 6);
    CREATE TABLE tab1_def PARTITION OF tab1 DEFAULT";

/// Partitioned in another way than the source.
const AS_ROOT: &str = "
    CREATE TABLE tab1 (c text, a int PRIMARY KEY, b text) PARTITION BY LIST (a);
    CREATE TABLE tab1_1 (b text, c text DEFAULT 'sub1_tab1', a int NOT NULL);
    ALTER TABLE tab1 ALTER c SET DEFAULT 'sub1_tab1';
    ALTER TABLE tab1 ATTACH PARTITION tab1_1 FOR VALUES IN (1, 2, 3);
    CREATE TABLE tab1_2 PARTITION OF tab1 FOR VALUES IN (4, 5, 6) PARTITION BY LIST (a);
    CREATE TABLE tab1_2_1 (c text, b text, a int NOT NULL);
    ALTER TABLE tab1_2 ATTACH PARTITION tab1_2_1 FOR VALUES IN (5);
    CREATE TABLE tab1_2_2 PARTITION OF tab1_2 FOR VALUES IN (4, 6);
    CREATE TABLE tab1_def PARTITION OF tab1 DEFAULT";

/// A table for each partition.
const AS_LEAVES: &str = "
    CREATE TABLE tab1_1 (a int PRIMARY KEY, c text DEFAULT 'sub2_tab1_1', b text);
    CREATE TABLE tab1_2 (a int PRIMARY KEY, c text DEFAULT 'sub2_tab1_2', b text);
    CREATE TABLE tab1_def (a int PRIMARY KEY, b text, c text DEFAULT 'sub2_tab1_def')";
const LEAVES: &str = "INSERT INTO tab1_1 (a, b) SELECT a, b FROM tab1_1;
    INSERT INTO tab1_2 (a, b) SELECT a, b FROM tab1_2; INSERT INTO tab1_def (a, b) SELECT a, b FROM tab1_def;";

async fn both(cases: [&Case; 2], sql: &str) {
    for case in cases {
        case.at_source(sql).await;
        case.settled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_followed_by_their_root_and_by_themselves() {
    let root = case(SOURCE, AS_ROOT, "INSERT INTO tab1 (a, b) SELECT a, b FROM tab1;").await;
    let leaves = case(SOURCE, AS_LEAVES, LEAVES).await;
    let daemons = [follow(&root).await, follow(&leaves).await];
    let cases = [&root, &leaves];
    let (one, two) = (&root.databases.target, &leaves.databases.target);
    let all = "SELECT c, a FROM tab1 ORDER BY 1, 2";
    let of = |table: &str| format!("SELECT c, a FROM {table} ORDER BY 1, 2");

    both(cases, "INSERT INTO tab1 VALUES (1); INSERT INTO tab1_1 (a) VALUES (3); INSERT INTO tab1_2 VALUES (5); INSERT INTO tab1 VALUES (0)").await;
    is(one, all, &["sub1_tab1|0", "sub1_tab1|1", "sub1_tab1|3", "sub1_tab1|5"], "inserts").await;
    is(one, "SELECT a FROM tab1_2_1 ORDER BY 1", &["5"], "into the partition of a partition").await;
    is(one, "SELECT a FROM tab1_2_2 ORDER BY 1", &[], "into no other").await;
    is(two, &of("tab1_1"), &["sub2_tab1_1|1", "sub2_tab1_1|3"], "inserts into tab1_1").await;
    is(two, &of("tab1_2"), &["sub2_tab1_2|5"], "inserts into tab1_2").await;
    is(two, &of("tab1_def"), &["sub2_tab1_def|0"], "inserts into tab1_def").await;

    both(
        cases,
        "UPDATE tab1 SET a = 2 WHERE a = 1; UPDATE tab1 SET a = 6 WHERE a = 5; UPDATE tab1 SET a = 4 WHERE a = 6;
         UPDATE tab1 SET a = 6 WHERE a = 4",
    )
    .await;
    is(
        one,
        all,
        &["sub1_tab1|0", "sub1_tab1|2", "sub1_tab1|3", "sub1_tab1|6"],
        "updates within partitions",
    )
    .await;
    is(one, "SELECT a FROM tab1_2_1 ORDER BY 1", &[], "out of a partition of the target").await;
    is(one, "SELECT a FROM tab1_2_2 ORDER BY 1", &["6"], "into another one").await;
    is(two, &of("tab1_1"), &["sub2_tab1_1|2", "sub2_tab1_1|3"], "updates of tab1_1").await;
    is(two, &of("tab1_2"), &["sub2_tab1_2|6"], "updates of tab1_2").await;
    is(two, &of("tab1_def"), &["sub2_tab1_def|0"], "tab1_def is as it was").await;

    both(cases, "UPDATE tab1 SET a = 1 WHERE a = 0; UPDATE tab1 SET a = 4 WHERE a = 1").await;
    is(
        one,
        all,
        &["sub1_tab1|2", "sub1_tab1|3", "sub1_tab1|4", "sub1_tab1|6"],
        "from partition to partition",
    )
    .await;
    is(one, "SELECT a FROM tab1_2_2 ORDER BY 1", &["4", "6"], "at the target, too").await;
    is(two, &of("tab1_1"), &["sub2_tab1_1|2", "sub2_tab1_1|3"], "tab1_1 is as it was").await;
    is(two, &of("tab1_2"), &["sub2_tab1_2|4", "sub2_tab1_2|6"], "a row comes into tab1_2").await;
    is(two, "SELECT a FROM tab1_def ORDER BY 1", &[], "and goes from tab1_def").await;

    both(cases, "DELETE FROM tab1 WHERE a IN (2, 3, 5); DELETE FROM tab1_2").await;
    is(one, "SELECT a FROM tab1", &[], "deletes").await;
    is(two, "SELECT a FROM tab1_1", &[], "deletes of tab1_1").await;
    is(two, "SELECT a FROM tab1_2", &[], "deletes of tab1_2").await;

    leaves.at_target("INSERT INTO tab1_2 (a) VALUES (2)").await;
    leaves.at_source("TRUNCATE tab1_2").await;
    leaves.settled().await;
    is(two, "SELECT a FROM tab1_2 ORDER BY 1", &[], "TRUNCATE of a partition").await;
    root.at_target("INSERT INTO tab1 (a) VALUES (1), (2), (5)").await;
    both(cases, "TRUNCATE tab1").await;
    is(one, "SELECT a FROM tab1 ORDER BY 1", &[], "TRUNCATE of all").await;
    is(
        two,
        "SELECT a FROM tab1_1 UNION ALL SELECT a FROM tab1_def",
        &[],
        "TRUNCATE of all partitions",
    )
    .await;
    for daemon in daemons {
        stop(daemon).await;
    }
}

/// Triggers of the target that are enabled for replicas, where it is trusted.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_fire_triggers_of_replicas() {
    let target = format!(
        "{AS_LEAVES}; CREATE TABLE fired (tab text, op text, at text, level text, old int, new int);
         CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO public.fired SELECT TG_RELNAME, TG_OP, TG_WHEN, TG_LEVEL, NULL, NEW.a; RETURN NULL; END $$;
         CREATE TRIGGER fires AFTER INSERT OR UPDATE ON tab1_1 FOR EACH ROW EXECUTE FUNCTION fire();
         CREATE TRIGGER fires AFTER INSERT OR UPDATE ON tab1_2 FOR EACH ROW EXECUTE FUNCTION fire();
         ALTER TABLE tab1_2 ENABLE REPLICA TRIGGER fires"
    );
    let case = case(SOURCE, &target, LEAVES).await;
    let config = std::fs::read_to_string(case.installation.path("regraft.toml")).unwrap();
    let trusted = config.replace("[target]\n", "[target]\nforeign_keys = \"trusted\"\n");
    case.installation.write_config(&trusted);
    let daemon = follow(&case).await;
    case.at_source("INSERT INTO tab1 VALUES (1), (3), (5), (0)").await;
    case.settled().await;
    let fired = "SELECT * FROM fired ORDER BY 1, 2, 3, 5, 6";
    is(&case.databases.target, fired, &["tab1_2|INSERT|AFTER|ROW||5"], "an insert").await;
    stop(daemon).await;
}

/// Rows of partitions without a key, through their root.
#[tokio::test(flavor = "multi_thread")]
async fn counted_rows_move_between_partitions() {
    let source = "CREATE TABLE p (a int, b text) PARTITION BY LIST (a);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p DEFAULT;
        ALTER TABLE p REPLICA IDENTITY FULL; ALTER TABLE p1 REPLICA IDENTITY FULL; ALTER TABLE p2 REPLICA IDENTITY FULL;
        INSERT INTO p VALUES (1, 'x'), (1, 'x'), (2, NULL)";
    let mapping = "-- regraft: counted\nINSERT INTO p SELECT a, b FROM p;";
    let case = case(source, "CREATE TABLE p (a int, b text)", mapping).await;
    let daemon = follow(&case).await;
    case.at_source("UPDATE p SET a = 3 WHERE ctid = '(0,1)' AND tableoid = 'p1'::regclass; UPDATE p SET a = 1 WHERE b IS NULL").await;
    case.settled().await;
    is(
        &case.databases.target,
        "SELECT a, b FROM p ORDER BY 1, 2",
        &["1|x", "1|", "3|x"],
        "moved rows",
    )
    .await;
    stop(daemon).await;
}
