//! The scenarios of PostgreSQL's own tests of logical replication (`src/test/subscription/t`), written anew for
//! regraft with mappings that copy each table as it is. Which of them apply, and what came of it, is in
//! `docs/subscription.md`; every call of [`is`] is one of the assertions that it counts.

mod changes;
mod columns;
mod filters;
mod partitions;
mod schemas;
mod transactions;
mod truncate;

#[path = "../support/mod.rs"]
mod support;

use tokio_postgres::{Client, SimpleQueryMessage};

use support::{Case, Given};

/// Asserts what a query gives, as psql prints it without alignment: one text per row, and NULL is nothing.
pub(crate) async fn is(client: &Client, query: &str, wanted: &[&str], what: &str) {
    let answer = client.simple_query(query).await.unwrap();
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let cells: Vec<_> = (0..row.len()).map(|at| row.get(at).unwrap_or_default()).collect();
            Some(cells.join("|"))
        }
        _ => None,
    };
    let found: Vec<_> = answer.iter().filter_map(row).collect();
    assert_eq!(found, wanted, "{what}: {query}");
}

/// A pipeline between databases of its own.
pub(crate) async fn case(source: &str, target: &str, mapping: &str) -> Case {
    Case::of(Given { source, target, mapping, ..Given::default() }).await
}

/// Starts the daemon, and waits until all is copied.
pub(crate) async fn follow(case: &Case) -> regraft_testkit::Daemon {
    let mut daemon = case.installation.run();
    support::ready(&mut daemon).await;
    case.settled().await;
    daemon
}
