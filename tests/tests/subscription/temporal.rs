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

/// As the source has them, and as the target does: no upsert can arbitrate by a key WITHOUT OVERLAPS.
const KEYS: [&str; 2] = ["(id, valid_at WITHOUT OVERLAPS)", "(id, valid_at)"];
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
        for (sql, key) in [&mut source, &mut target].into_iter().zip(KEYS) {
            let key = match *table {
                "temporal_pk" => format!(", PRIMARY KEY {key}"),
                "temporal_unique" => format!(", CONSTRAINT temporal_unique_key UNIQUE {key}"),
                _ => String::new(),
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
