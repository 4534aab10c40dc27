//! What stands under a pipeline changes: by the application's owners, by other tools, while the daemon runs
//! or while it does not. The application goes on, and what differs is told before a row moves.

mod beneath;
mod columns;
mod generated;
mod held;
mod held_names;
mod held_rows;
mod held_sides;
mod meaning;
mod partitions;
mod position;
mod publication;
mod targets;
mod writes;

#[path = "../support/mod.rs"]
mod support;

use regraft_testkit::Daemon;
use support::{Case, Given, ready, until_true};

/// Items with a joined table: what changes is read by key.
fn joined(extra: &str) -> Given<'_> {
    Given {
        source: "CREATE TABLE kinds (id int PRIMARY KEY, name text);
                 CREATE TABLE items (id bigint PRIMARY KEY, kind int, name text);
                 ALTER TABLE kinds REPLICA IDENTITY FULL;
                 INSERT INTO kinds VALUES (1, 'k');
                 INSERT INTO items SELECT i, 1, 'n' FROM generate_series(1, 50) AS i",
        target: "CREATE TABLE goods (id bigint PRIMARY KEY, name text, kind text)",
        mapping: "INSERT INTO goods SELECT i.id, i.name, k.name FROM items i JOIN kinds k ON k.id = i.kind;\n",
        extra,
        ..Given::default()
    }
}

/// Waits until the running daemon has looked at the catalogues: it notes what means nothing.
async fn looked_at(case: &Case, table: &str) {
    let target = &case.databases.target;
    let before = regraft_tests::number(target, "SELECT max(id) FROM regraft.standing").await;
    case.at_source(&format!("ALTER TABLE {table} ALTER COLUMN id SET STATISTICS 10")).await;
    let sql = format!("SELECT max(id) > {before} FROM regraft.standing");
    until_true(target, "a look at the catalogues", &sql).await;
}

/// What was held is accepted before the start, which would end otherwise: the rows are mended, and equal.
async fn goes_on(case: &Case) -> Daemon {
    let finished = case.regraft(&["resume", "--accept", "all"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let open = "SELECT count(*) = 0 FROM regraft.verifications WHERE finished_at IS NULL";
    until_true(&case.databases.target, "rows to be mended", open).await;
    case.settled().await;
    case.assert_equal().await;
    daemon
}
