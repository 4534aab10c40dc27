//! The scenarios of PostgreSQL's own tests of logical replication (`src/test/subscription/t`), written anew for
//! regraft with mappings that copy each table as it is. Which of them apply, and what came of it, is in
//! `docs/subscription.md`; every call of [`is`] is one of the assertions that it counts.

mod bugs;
mod changes;
mod columns;
mod conflicts;
mod filters;
mod indexes;
mod large;
mod lists;
mod partitions;
mod prepared;
mod privileges;
mod publications;
mod roots;
mod schemas;
mod temporal;
mod transactions;
mod truncate;
mod twophase;
mod types;

#[path = "../support/mod.rs"]
mod support;

use regraft_testkit::{Daemon, wait_until};
use regraft_tests::DEADLINE;
use tokio_postgres::{Client, SimpleQueryMessage};

use support::{Case, Given};

/// Asserts what a query gives, as psql prints it without alignment: one text per row, and NULL is nothing.
pub(crate) async fn is(client: &Client, query: &str, wanted: &[&str], what: &str) {
    assert_eq!(rows(client, query).await, wanted, "{what}: {query}");
}

/// What a query gives, in the same form.
pub(crate) async fn rows(client: &Client, query: &str) -> Vec<String> {
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
pub(crate) async fn same(case: &Case, query: &str, count: usize, what: &str) {
    let wanted = rows(&case.databases.source, query).await;
    assert_eq!(wanted.len(), count, "{what}: {wanted:#?}");
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
pub(crate) async fn follow(case: &Case) -> Daemon {
    let mut daemon = case.installation.run();
    support::ready(&mut daemon).await;
    case.settled().await;
    daemon
}

/// How many attempts of the daemon ended with this code.
pub(crate) async fn failures(daemon: &Daemon, code: &str) -> Result<u64, String> {
    let (_, metrics) = daemon.http("/metrics").await?;
    let series = format!("regraft_errors_total{{code=\"{code}\"}} ");
    let count = metrics.lines().find_map(|line| line.strip_prefix(&series));
    Ok(count.map_or(0, |count| count.parse().unwrap()))
}

/// Waits until an attempt that begins from now on has ended with this code.
pub(crate) async fn fails_again(daemon: &Daemon, code: &str) {
    let before = failures(daemon, code).await.unwrap();
    wait_until("another attempt to fail", DEADLINE, async || {
        // The first may have begun before.
        let now = failures(daemon, code).await?;
        if now >= before + 2 { Ok(()) } else { Err(format!("{now} attempts, {before} before")) }
    })
    .await;
}
