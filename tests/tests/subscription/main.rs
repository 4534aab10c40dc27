//! The scenarios of PostgreSQL's own tests of logical replication (`src/test/subscription/t`), written anew for
//! regraft with mappings that copy each table as it is. Which of them apply, and what came of it, is in
//! `docs/subscription.md`; every call of [`is`] is one of the assertions that it counts.

mod changes;
mod columns;
mod filters;
mod large;
mod lists;
mod partitions;
mod prepared;
mod roots;
mod schemas;
mod transactions;
mod truncate;
mod types;

#[path = "../support/mod.rs"]
mod support;

use tokio_postgres::{Client, SimpleQueryMessage};

use support::{Case, Given};

/// Asserts what a query gives, as psql prints it without alignment: one text per row, and NULL is nothing.
pub(crate) async fn is(client: &Client, query: &str, wanted: &[&str], what: &str) {
    assert_eq!(printed(client, query).await, wanted, "{what}: {query}");
}

async fn printed(client: &Client, query: &str) -> Vec<String> {
    let answer = client.simple_query(query).await.unwrap();
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let cells: Vec<_> = (0..row.len()).map(|at| row.get(at).unwrap_or_default()).collect();
            Some(cells.join("|"))
        }
        _ => None,
    };
    answer.iter().filter_map(row).collect()
}

/// Asserts that a query gives at the target what it gives at the source, and that those are this many rows.
pub(crate) async fn same(case: &Case, query: &str, rows: usize, what: &str) {
    let wanted = printed(&case.databases.source, query).await;
    assert_eq!(wanted.len(), rows, "{what}: {wanted:#?}");
    let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
    is(&case.databases.target, query, &wanted, what).await;
}

/// Waits until tables are held because the source changed, then goes on with what the mapping is now.
pub(crate) async fn accepted(case: &Case) {
    let target = &case.databases.target;
    let held = "SELECT count(*) > 0 FROM regraft.held";
    support::until_true(target, "a table to be held", held).await;
    let accepted = case.regraft(&["resume", "--accept"]).await;
    assert_eq!(accepted.code(), 0, "{}", accepted.stderr);
    let over = "SELECT (SELECT count(*) FROM regraft.held) = 0
        AND (SELECT count(*) FROM regraft.verifications WHERE finished_at IS NULL) = 0";
    support::until_true(target, "its rows to be compared and mended", over).await;
    case.settled().await;
}

/// Statements that copy these columns of these tables.
pub(crate) fn copies(tables: &[(&str, &str)]) -> String {
    let copy = |(table, columns): &(&str, &str)| {
        format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM {table};\n")
    };
    tables.iter().map(copy).collect()
}

/// A pipeline between databases of its own.
pub(crate) async fn case(source: &str, target: &str, mapping: &str) -> Case {
    Case::of(Given { source, target, mapping, ..Given::default() }).await
}

/// A pipeline with a publication that was there before, named `given`.
pub(crate) async fn published(source: &str, target: &str, mapping: &str) -> Case {
    let source_lines = "publication = \"given\"";
    Case::of(Given { source, target, mapping, source_lines, ..Given::default() }).await
}

/// Starts the daemon, and waits until all is copied.
pub(crate) async fn follow(case: &Case) -> regraft_testkit::Daemon {
    let mut daemon = case.installation.run();
    support::ready(&mut daemon).await;
    case.settled().await;
    daemon
}
