//! What a statement costs that the source evaluates for the keys of changes: the same load, followed by
//! a streamed statement, by the same one made such that it cannot be streamed, and by an aggregate of
//! another table that is joined, to whose rows the changes are traced.

use std::path::Path;

use regraft_core::{Code, Error, Result};
use regraft_throwaway::{Cluster, mapped_tables};
use tokio_postgres::Client;

use crate::drain::{Drain, equal, one, servers, sql};
use crate::report::{Group, Measured, Report, Way};

const SOURCE: &str = "legacy";
const OBJECT: &str = "changes";
/// Lines of an order.
const LINES: u64 = 5;
/// Changes per transaction, taken in turn.
const TRANSACTIONS: [u64; 5] = [1, 10, 100, 1000, 250];
const STATEMENTS: [(&str, &str, &str); 3] = [
    (
        "streamed",
        "CREATE TABLE t (id bigint PRIMARY KEY, order_id bigint, label text, total numeric)",
        "INSERT INTO t SELECT id, order_id, coalesce(label, 'none'), amount * pieces FROM lines",
    ),
    (
        "read by key: the same SELECT, with a subquery",
        "CREATE TABLE t (id bigint PRIMARY KEY, order_id bigint, label text, total numeric)",
        "INSERT INTO t SELECT id, order_id, (SELECT coalesce(label, 'none')), amount * pieces FROM lines",
    ),
    (
        "read by key: an aggregate per order, traced",
        "CREATE TABLE t (id bigint PRIMARY KEY, customer text, lines bigint, total numeric)",
        "INSERT INTO t SELECT o.id, o.customer, count(l.id), sum(l.amount * l.pieces) \
         FROM orders AS o LEFT JOIN lines AS l ON l.order_id = o.id GROUP BY o.id",
    ),
];

/// Measures.
pub(crate) async fn run(changes: u64, rounds: usize, pg_bin: Option<&Path>) -> Result<Report> {
    let options = servers(pg_bin)?;
    let source = Cluster::start(options.clone()).await?;
    let target = Cluster::start(options).await?;
    source.create_database(SOURCE).await?;
    let client = source.client(SOURCE).await?;
    eprintln!("making {changes} changes");
    load(&client, changes).await?;
    let mut ways: Vec<_> = STATEMENTS.iter().map(|(name, ..)| Way::new(name)).collect();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for (at, (name, table, mapping)) in STATEMENTS.iter().enumerate() {
            let slot = format!("read_{at}_{round}");
            sql(&client, &format!("SELECT pg_copy_logical_replication_slot('{OBJECT}', '{slot}')"))
                .await?;
            target.create_database(&slot).await?;
            let new = target.client(&slot).await?;
            sql(&new, table).await?;
            let drain = Drain {
                source: source.url(SOURCE),
                slot: &slot,
                publication: OBJECT,
                target: target.url(&slot),
                foreign_keys: "checked",
                mapping,
            };
            ways[at].seconds.push(drain.run().await?);
            equal(&client, &new, &mapped_tables(mapping), name).await?;
        }
    }
    let groups =
        vec![Group { title: "updates followed by a statement", measured: Measured::Work, ways }];
    Ok(Report { unit: "changes", count: changes, groups })
}

/// The trace needs old values of lines. Each line is updated once, in another order than that of the orders, so that in the end every row of
/// the targets has been written.
async fn load(client: &Client, changes: u64) -> Result<()> {
    let tables = format!(
        "CREATE TABLE orders (id bigint PRIMARY KEY, customer text NOT NULL);
         CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, place bigint UNIQUE,
             label text, amount numeric(10, 2), pieces int NOT NULL);
         CREATE INDEX ON lines (order_id);
         ALTER TABLE lines REPLICA IDENTITY FULL;
         INSERT INTO orders SELECT n, 'customer ' || n % 1000 FROM generate_series(0, {changes} / {LINES}) AS n;
         INSERT INTO lines SELECT n, n / {LINES}, row_number() OVER (ORDER BY md5(n::text)),
             CASE WHEN n % 3 > 0 THEN 'line ' || n END, n % 1000 / 100.0, n % 9 FROM generate_series(1, {changes}) AS n;
         DELETE FROM orders AS o WHERE NOT EXISTS (SELECT FROM lines AS l WHERE l.order_id = o.id);
         CREATE PUBLICATION {OBJECT} FOR TABLE orders, lines;
         SELECT pg_create_logical_replication_slot('{OBJECT}', 'pgoutput')"
    );
    // The slot has to be made in a transaction of its own.
    for statement in tables.split(';') {
        sql(client, statement).await?;
    }
    sql(client, "VACUUM ANALYZE").await?;
    let mut from = 1;
    for size in TRANSACTIONS.iter().cycle() {
        if from > changes {
            break;
        }
        let update = format!(
            "UPDATE lines SET pieces = pieces + 1, label = label || '!' \
             WHERE place BETWEEN {from} AND {}",
            from + size - 1
        );
        sql(client, &update).await?;
        from += size;
    }
    let left = one(client, "SELECT count(*)::text FROM lines WHERE pieces = 0").await?;
    if left == "0" { Ok(()) } else { Err(Error::new(Code::Internal, "some lines are unchanged")) }
}
