//! 034: keys WITHOUT OVERLAPS, which are no B-trees.

use std::fmt::Write as _;

use regraft_testkit::{Binaries, Cluster, ClusterOptions};
use regraft_tests::NEWEST;
use tokio::sync::OnceCell;

use crate::support::{Case, Given, stop};
use crate::{follow, is};

/// Servers that have such keys.
async fn servers() -> &'static (Cluster, Cluster) {
    static SERVERS: OnceCell<(Cluster, Cluster)> = OnceCell::const_new();
    SERVERS
        .get_or_init(async || {
            let options = ClusterOptions {
                binaries: Some(Binaries::of_major(NEWEST).unwrap()),
                fsync: false,
                ..ClusterOptions::default()
            };
            let (source, target) =
                tokio::join!(Cluster::start(options.clone()), Cluster::start(options));
            (source.unwrap(), target.unwrap())
        })
        .await
}

const LOG: &str = "-- regraft: append-only";
const COUNTED: &str = "-- regraft: counted";
const KEYED: &str = "";

/// The row of a year, as SQL and as it is shown.
fn row(id: i32, a: char) -> String {
    format!("('[{id},{})', '[2000-01-01,2010-01-01)', '{a}')", id + 1)
}

fn shown(rows: &[(i32, char)]) -> Vec<String> {
    let row = |(id, a): &(i32, char)| format!("[{id},{})|[2000-01-01,2010-01-01)|{a}", id + 1);
    rows.iter().map(row).collect()
}

/// What a table has at the target.
async fn has(case: &Case, table: &str, rows: &[(i32, char)], what: &str) {
    let wanted = shown(rows);
    let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
    let query = format!("SELECT * FROM {table} ORDER BY id, valid_at");
    is(&case.databases.target, &query, &wanted, &format!("{table}: {what}")).await;
}

/// Tables that are copied and followed in these ways, under a replica identity.
async fn followed(identity: &str, tables: &[(&str, &str)]) {
    let (mut source, mut target, mut mapping) = (String::new(), String::new(), String::new());
    for (table, way) in tables {
        for sql in [&mut source, &mut target] {
            let key = match *table {
                "temporal_pk" => ", PRIMARY KEY (id, valid_at WITHOUT OVERLAPS)",
                "temporal_unique" => {
                    ", CONSTRAINT temporal_unique_key UNIQUE (id, valid_at WITHOUT OVERLAPS)"
                }
                _ => "",
            };
            let columns = "id int4range NOT NULL, valid_at daterange NOT NULL, a text";
            writeln!(sql, "CREATE TABLE {table} ({columns}{key});").unwrap();
        }
        let identity = identity.replace("INDEX", &format!("USING INDEX {table}_key"));
        let identity = identity.replace("temporal_pk_key", "temporal_pk_pkey");
        writeln!(source, "ALTER TABLE {table} REPLICA IDENTITY {identity};").unwrap();
        writeln!(source, "INSERT INTO {table} VALUES {};", row(1, 'a')).unwrap();
        let select = format!("SELECT id, valid_at, a FROM {table};");
        writeln!(mapping, "{way}\nINSERT INTO {table} {select}").unwrap();
    }
    let (from, to) = servers().await;
    let given = Given { source: &source, target: &target, mapping: &mapping, ..Given::default() };
    let case = Case::between(from, to, given).await;
    let daemon = follow(&case).await;
    for (table, _) in tables {
        has(&case, table, &[(1, 'a')], "copied").await;
    }
    for (table, way) in tables {
        let rows = [row(2, 'a'), row(3, 'a'), row(4, 'a')].join(", ");
        // The application may do that to a log, too; a log has new rows only.
        case.at_source(&format!(
            "INSERT INTO {table} VALUES {rows}; UPDATE {table} SET a = 'b' WHERE id = '[2,3)';
             DELETE FROM {table} WHERE id = '[3,4)'"
        ))
        .await;
        case.settled().await;
        let followed = [(1, 'a'), (2, 'b'), (4, 'a')];
        let new = [(1, 'a'), (2, 'a'), (3, 'a'), (4, 'a')];
        has(&case, table, if *way == LOG { &new } else { &followed }, identity).await;
    }
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_primary_key() {
    let tables = [("temporal_no_key", LOG), ("temporal_pk", KEYED), ("temporal_unique", LOG)];
    followed("DEFAULT", &tables).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_whole_row() {
    let tables =
        [("temporal_no_key", COUNTED), ("temporal_pk", KEYED), ("temporal_unique", COUNTED)];
    followed("FULL", &tables).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_an_index() {
    followed("INDEX", &[("temporal_pk", KEYED), ("temporal_unique", KEYED)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_nothing() {
    let tables = [("temporal_no_key", LOG), ("temporal_pk", LOG), ("temporal_unique", LOG)];
    followed("NOTHING", &tables).await;
}

/// Ranges that meet are split, joined and exchanged, and keys move, while rows are copied.
#[tokio::test(flavor = "multi_thread")]
async fn ranges_move_between_rows() {
    let tables = "CREATE EXTENSION btree_gist;
        CREATE TABLE t (id int, valid_at int4range, note text, n numeric(8, 2), PRIMARY KEY (id, valid_at WITHOUT OVERLAPS));
        ALTER TABLE t ALTER note SET STORAGE EXTERNAL";
    let source = format!(
        "{tables}; INSERT INTO t SELECT i % 50, int4range(i, i + 50), repeat('x', CASE WHEN i % 7 = 0 THEN 3000 ELSE 3 END), i
         FROM generate_series(0, 2999) AS i"
    );
    let mapping = "INSERT INTO t SELECT id, valid_at, note, n FROM t;";
    let (from, to) = servers().await;
    let given = Given { source: &source, target: tables, mapping, ..Given::default() };
    let case = Case::between(from, to, given).await;
    let mut daemon = case.installation.run();
    let middle = "lower(valid_at) + 20";
    for n in 0..20 {
        // Split: the first part keeps its row. Then the parts of another one change places.
        case.at_source(&format!(
            "BEGIN;
             WITH s AS (UPDATE t SET valid_at = int4range(lower(valid_at), {middle}) WHERE id = {n} RETURNING old.*)
                INSERT INTO t SELECT id, int4range({middle}, upper(valid_at)), note, n FROM s;
             UPDATE t SET n = n + 1 WHERE id = {n};
             DELETE FROM t WHERE id = {other} AND lower(valid_at) % 100 < 50;
             UPDATE t SET valid_at = int4range(lower(valid_at) - 50, upper(valid_at)) WHERE id = {other} AND lower(valid_at) > 50;
             UPDATE t SET id = -1 - id WHERE id = {moved}; COMMIT",
            other = n + 20,
            moved = n % 10 + 40,
        ))
        .await;
    }
    crate::support::ready(&mut daemon).await;
    case.settled().await;
    case.assert_equal().await;
    // Rows of the target that are not as they should be are overwritten by their key.
    case.at_target("UPDATE t SET note = 'other'").await;
    case.at_source("UPDATE t SET note = 'new', n = -n WHERE id < 5").await;
    case.settled().await;
    case.at_target("INSERT INTO t VALUES (100, '[1,5)', 'other', 0)").await;
    case.at_source("INSERT INTO t VALUES (100, '[1,5)', 'mine', 1)").await;
    case.settled().await;
    let left = "SELECT count(*) FROM t WHERE (id < 5 OR id = 100) AND note = 'other'";
    assert_eq!(crate::rows(&case.databases.target, left).await, ["0"]);
    // The others are found by comparing, and mended.
    assert_eq!(case.regraft(&["verify"]).await.code(), 1);
    let mended = case.regraft(&["repair", "--apply"]).await;
    assert_eq!(mended.code(), 0, "{}\n{}", mended.stdout, mended.stderr);
    case.assert_equal().await;
    stop(daemon).await;
}

/// No upsert can arbitrate by such a key, so what could meet rows of others is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_may_hold_is_refused() {
    let source = "CREATE TABLE s (id int PRIMARY KEY, during int4range NOT NULL)";
    let target = "CREATE EXTENSION btree_gist; CREATE TABLE t (id int, during int4range, PRIMARY KEY (id, during WITHOUT OVERLAPS))";
    let (from, to) = servers().await;
    let mapping = "INSERT INTO t SELECT id, during FROM s;";
    let given = Given { source, target, mapping, ..Given::default() };
    let case = Case::between(from, to, given).await;
    case.refused(3, "RG3005", "mapping.sql:1:1", &["public.t", "WITHOUT OVERLAPS"]).await;
    case.at_target("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id)").await;
    case.catch_up().await;
}
