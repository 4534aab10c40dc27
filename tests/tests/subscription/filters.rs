//! 028: filters of rows, which are the WHERE of a mapping.

use crate::support::stop;
use crate::{case, copies, follow, is, published};

const SOURCE: &str = "
    CREATE TABLE one (a int PRIMARY KEY, b text); ALTER TABLE one REPLICA IDENTITY FULL;
    CREATE TABLE two (c int PRIMARY KEY); CREATE TABLE three (a int PRIMARY KEY, b boolean);
    CREATE TABLE four (c int PRIMARY KEY);
    CREATE TABLE parted (a int PRIMARY KEY, b int) PARTITION BY RANGE (a);
    CREATE TABLE less_10k PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (10000);
    CREATE TABLE greater_10k PARTITION OF parted FOR VALUES FROM (10000) TO (MAXVALUE);
    CREATE TABLE large (a text NOT NULL, b text NOT NULL); ALTER TABLE large ALTER a SET STORAGE EXTERNAL;
    CREATE UNIQUE INDEX large_key ON large (a, b); ALTER TABLE large REPLICA IDENTITY USING INDEX large_key;
    CREATE TABLE viaroot (a int) PARTITION BY RANGE (a);
    CREATE TABLE viaroot_1 PARTITION OF viaroot FOR VALUES FROM (1) TO (20);
    INSERT INTO one VALUES (1, 'not replicated'), (1500, 'filtered'), (1980, 'not filtered');
    INSERT INTO one SELECT x, 'test ' || x FROM generate_series(990, 1002) AS x;
    INSERT INTO two SELECT generate_series(1, 20);
    INSERT INTO three SELECT x, x % 3 = 0 FROM generate_series(1, 10) AS x;
    INSERT INTO four SELECT generate_series(1, 10);
    INSERT INTO parted VALUES (1, 100), (7000, 101), (15000, 102), (5500, 300), (2, 200), (6005, 201), (16000, 103);
    INSERT INTO large VALUES (repeat('1234567890', 200), '1234567890')";
const TARGET: &str = "
    CREATE TABLE one (a int PRIMARY KEY, b text); CREATE TABLE two (c int PRIMARY KEY);
    CREATE TABLE three (a int PRIMARY KEY, b boolean); CREATE TABLE four (c int PRIMARY KEY);
    CREATE TABLE parted (a int PRIMARY KEY, b int);
    CREATE TABLE less_10k (a int PRIMARY KEY, b int); CREATE TABLE greater_10k (a int PRIMARY KEY, b int);
    CREATE TABLE large (a text NOT NULL, b text NOT NULL, PRIMARY KEY (a, b)); CREATE TABLE viaroot (a int)";
const MAPPING: &str = "
    INSERT INTO one SELECT a, b FROM one WHERE a > 1000 AND b <> 'filtered';
    INSERT INTO two SELECT c FROM two WHERE c % 2 = 0 OR c % 3 = 0;
    INSERT INTO three SELECT a, b FROM three;
    INSERT INTO four SELECT c FROM four;
    INSERT INTO parted SELECT a, b FROM parted WHERE a < 5000;
    INSERT INTO large SELECT a, b FROM large WHERE a = repeat('1234567890', 200) AND b < '10' COLLATE \"C\";
    -- regraft: append-only\nINSERT INTO viaroot SELECT a FROM viaroot WHERE a > 15;";

#[tokio::test(flavor = "multi_thread")]
async fn rows_pass_a_filter_or_do_not() {
    let case = case(SOURCE, TARGET, MAPPING).await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    let one = "SELECT a, b FROM one ORDER BY 1, 2";
    is(target, one, &["1001|test 1001", "1002|test 1002", "1980|not filtered"], "one, copied")
        .await;
    is(target, "SELECT count(c), min(c), max(c) FROM two", &["13|2|20"], "two, copied").await;
    is(target, "SELECT count(c), min(c), max(c) FROM four", &["10|1|10"], "four, copied").await;
    is(target, "SELECT count(a) FROM three", &["10"], "three, copied").await;
    is(target, "SELECT count(*) FROM large", &["0"], "a large value, copied").await;

    case.at_source(
        "INSERT INTO one VALUES (800, 'test 800'); INSERT INTO one VALUES (1600, 'test 1600');
         INSERT INTO one VALUES (1601, 'test 1601'); INSERT INTO one VALUES (1602, 'filtered');
         INSERT INTO one VALUES (1700, 'test 1700'); UPDATE one SET b = NULL WHERE a = 1600;
         UPDATE one SET b = 'test 1601 updated' WHERE a = 1601; UPDATE one SET b = 'test 1602 updated' WHERE a = 1602;
         DELETE FROM one WHERE a = 1700; INSERT INTO two VALUES (21), (22), (23), (24), (25);
         INSERT INTO four VALUES (0), (11), (12); INSERT INTO viaroot VALUES (14), (15), (16)",
    )
    .await;
    case.settled().await;
    is(target, "SELECT count(c), min(c), max(c) FROM two", &["16|2|24"], "two, followed").await;
    is(target, "SELECT count(c), min(c), max(c) FROM four", &["13|0|12"], "four, followed").await;
    let wanted = [
        "1001|test 1001",
        "1002|test 1002",
        "1601|test 1601 updated",
        "1602|test 1602 updated",
        "1980|not filtered",
    ];
    is(target, one, &wanted, "rows come into the filter and leave it").await;

    case.at_source(
        "INSERT INTO parted VALUES (4000, 400), (4001, 401), (4002, 402); INSERT INTO less_10k VALUES (4500, 450);
         INSERT INTO less_10k VALUES (5600, 123); INSERT INTO greater_10k VALUES (14000, 1950);
         UPDATE less_10k SET b = 30 WHERE a = 4001; DELETE FROM less_10k WHERE a = 4002",
    )
    .await;
    case.settled().await;
    let wanted = ["1|100", "2|200", "4000|400", "4001|30", "4500|450"];
    is(target, "SELECT a, b FROM parted ORDER BY 1, 2", &wanted, "by the root of partitions").await;
    case.at_source("UPDATE large SET b = '1'").await;
    case.settled().await;
    is(
        target,
        "SELECT a = repeat('1234567890', 200), b FROM large",
        &["t|1"],
        "a large value comes into the filter",
    )
    .await;
    is(target, "SELECT a FROM viaroot", &["16"], "rows without a key").await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_have_filters_of_their_own() {
    let mapping = "INSERT INTO less_10k SELECT a, b FROM less_10k WHERE a < 6000; INSERT INTO greater_10k SELECT a, b FROM greater_10k;";
    let case = case(SOURCE, TARGET, mapping).await;
    let daemon = follow(&case).await;
    let target = &case.databases.target;
    is(target, "SELECT a, b FROM less_10k ORDER BY 1", &["1|100", "2|200", "5500|300"], "a filter")
        .await;
    is(target, "SELECT a, b FROM greater_10k ORDER BY 1", &["15000|102", "16000|103"], "and none")
        .await;
    stop(daemon).await;
}

/// A publication of everything, or of a schema, takes all rows, whatever filter another one has.
#[tokio::test(flavor = "multi_thread")]
async fn publications_of_everything_filter_nothing() {
    let tables = "CREATE SCHEMA s; CREATE TABLE s.x (x int PRIMARY KEY); CREATE TABLE s.parted (x int PRIMARY KEY) PARTITION BY RANGE (x);
        CREATE TABLE part (LIKE s.parted); ALTER TABLE s.parted ATTACH PARTITION part DEFAULT;
        ALTER TABLE part REPLICA IDENTITY USING INDEX part_pkey;";
    let filtered =
        copies(&[("s.x", "x")]) + "INSERT INTO part (x) SELECT x FROM part WHERE x > 10;";
    for (of, mapping) in
        [("ALL TABLES", copies(&[("s.x", "x")])), ("TABLES IN SCHEMA s, TABLE part", filtered)]
    {
        let source = format!(
            "{tables} INSERT INTO s.x VALUES (0), (5), (10), (15), (20); INSERT INTO s.parted VALUES (1), (20);
             CREATE PUBLICATION other FOR TABLE s.x WHERE (x > 10); CREATE PUBLICATION given FOR {of}"
        );
        let case = published(&source, tables, &mapping).await;
        let daemon = follow(&case).await;
        let target = &case.databases.target;
        is(target, "SELECT count(x) FROM s.x", &["5"], of).await;
        case.at_source("INSERT INTO s.x VALUES (-99), (99); INSERT INTO s.parted VALUES (5), (25)")
            .await;
        case.settled().await;
        is(target, "SELECT count(x) FROM s.x", &["7"], of).await;
        if mapping.contains("WHERE") {
            is(target, "SELECT x FROM part ORDER BY 1", &["20", "25"], "a filter of the partition")
                .await;
        }
        stop(daemon).await;
    }
}
