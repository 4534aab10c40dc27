//! A moment at which both servers can be asked anything: a snapshot of the source and one of the target
//! that hold the same transactions.
//!
//! ```text
//!  source ──mark 1────── snapshot S ──── mark 2 ────────── snapshot S2
//!  target ──────── ≥ 1 ────────────────────────── ≥ 2, T
//! ```
//!
//! When the target has come to the first mark, and no transaction is open that has written to the published
//! tables, every commit up to it can be seen in S. T has the second mark, so it has all that S has. When S2
//! shows nothing that S does not show, beside our own marks, and again no writer is open, then T has nothing
//! more: S and T are *exactly* the same moment. Else it is tried again, for a while.
//!
//! A source that is written to all the time has no such moment. One is made, where that is asked for, by a lock
//! that writers wait for until both snapshots are there.

use std::time::{Duration, Instant};

use regraft_core::{Code, Error, Lsn, Position, Result, Snapshot};
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use super::read::{BEGIN, POSITION_WAIT};
use crate::at;
use crate::catalog::tree;
use crate::chunks::parse_snapshot;
use crate::classify;

/// How long an exact moment is looked for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for the lock, and for the target while it is held.
const PAUSE: Duration = Duration::from_secs(10);
/// The pipeline passes over messages of other prefixes than its own.
const PREFIX: &str = "regraft audit";

/// What the two snapshots are to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Position of the target, as `X/X`.
    pub position: String,
    /// Both hold the same transactions.
    pub exact: bool,
    /// Transactions that ended at the source between the two snapshots, in whatever database.
    pub meanwhile: u64,
}

/// Sessions on both servers, for queries at one moment.
pub struct Audit {
    source: (Client, String),
    target: (Client, String),
    /// Writes marks at the source, and holds the lock.
    control: Client,
    name: String,
    publications: Vec<String>,
    pause: bool,
}

impl Audit {
    /// Sessions for the pipeline `name`, `control` being a second one at the source. With `pause`, writers
    /// of the published tables wait while a moment begins.
    ///
    /// # Errors
    /// When a session cannot be set up.
    pub async fn new(
        source: (Client, String),
        control: Client,
        target: (Client, String),
        (name, publications): (&str, Vec<String>),
        pause: bool,
    ) -> Result<Self> {
        for (client, place) in [(&source.0, &source.1), (&target.0, &target.1)] {
            let set = client.batch_execute("SET row_security = off").await;
            set.map_err(|error| classify(&error, place))?;
        }
        for client in [&source.0, &control] {
            // A mark has to be in the log, but not on a standby.
            let set = client.batch_execute("SET synchronous_commit = local").await;
            set.map_err(|error| classify(&error, &source.1))?;
        }
        let name = name.to_owned();
        Ok(Self { source, target, control, name, publications, pause })
    }

    /// The session at the source.
    pub fn source(&self) -> &Client {
        &self.source.0
    }

    /// The session at the target.
    pub fn target(&self) -> &Client {
        &self.target.0
    }

    /// What an error of the source means.
    pub fn at_source(&self, error: &tokio_postgres::Error) -> Error {
        classify(error, &format!("{}, verifying", self.source.1))
    }

    /// What an error of the target means.
    pub fn at_target(&self, error: &tokio_postgres::Error) -> Error {
        classify(error, &format!("{}, verifying", self.target.1))
    }

    /// Begins read-only transactions on both servers. Waits until the target follows, and all rows are
    /// copied; for ever, when no daemon runs.
    ///
    /// # Errors
    /// When a server cannot be asked, or writers cannot be made to wait.
    pub async fn begin(&self) -> Result<Moment> {
        if self.pause {
            return self.begin_paused().await;
        }
        let begun = Instant::now();
        let mut wait = POSITION_WAIT;
        loop {
            let moment = self.attempt().await?;
            if moment.exact || begun.elapsed() > PATIENCE {
                return Ok(moment);
            }
            self.end().await?;
            // Other times of day than those of a writer that works at intervals.
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(PATIENCE / 20);
        }
    }

    /// Ends both transactions.
    ///
    /// # Errors
    /// When a server cannot be asked.
    pub async fn end(&self) -> Result<()> {
        let ended = self.target.0.batch_execute("ROLLBACK").await;
        ended.map_err(|error| self.at_target(&error))?;
        let ended = self.source.0.batch_execute("ROLLBACK").await;
        ended.map_err(|error| self.at_source(&error))
    }

    async fn attempt(&self) -> Result<Moment> {
        let first = self.mark(&self.control).await?;
        self.begin_target(&first).await?;
        let ended = self.target.0.batch_execute("ROLLBACK").await;
        ended.map_err(|error| self.at_target(&error))?;
        let quiet = self.no_writer().await?;
        let before = self.begin_source().await?;
        let second = self.mark(&self.control).await?;
        let position = self.begin_target(&second).await?;
        // First the locks: what let go of them before can be seen after.
        let quiet = quiet && self.no_writer().await?;
        let after = self.snapshot(&self.control).await?;
        // All but the mark itself.
        let meanwhile = ended_between(&before, &after).saturating_sub(1);
        let exact = meanwhile == 0 && quiet;
        Ok(Moment { position: position.to_string(), exact, meanwhile })
    }

    async fn begin_paused(&self) -> Result<Moment> {
        let fail = |error| self.at_source(&error);
        let tables = "SELECT DISTINCT format('%I.%I', schemaname, tablename) FROM pg_publication_tables \
                      WHERE pubname = ANY ($1) ORDER BY 1";
        let tables = self.control.query(tables, &[&self.publications]).await.map_err(fail)?;
        let tables: Vec<String> = tables.iter().map(|row| row.get(0)).collect();
        // What waits for the lock makes others wait, too.
        let lock = format!(
            "BEGIN; SET LOCAL lock_timeout = {}; LOCK TABLE {} IN SHARE MODE",
            PAUSE.as_millis(),
            tables.join(", ")
        );
        let made = async {
            self.control.batch_execute(&lock).await.map_err(fail)?;
            let end = self.mark(&self.source.0).await?;
            self.begin_source().await?;
            let timed = tokio::time::timeout(PAUSE, self.begin_target(&end)).await;
            timed.unwrap_or_else(|_| {
                let what = format!("the target did not come to {end} within {} s", PAUSE.as_secs());
                Err(Error::new(Code::VerificationRefused, what)
                    .at(self.target.1.clone())
                    .remedy("try again when the lag is small, see `regraft status`"))
            })
        };
        let position = made.await;
        self.control.batch_execute("ROLLBACK").await.map_err(fail)?;
        Ok(Moment { position: position?.to_string(), exact: true, meanwhile: 0 })
    }

    /// Commits something that the stream carries; gives the end of the log before it.
    async fn mark(&self, client: &Client) -> Result<Position> {
        let sql = "SELECT pg_current_wal_insert_lsn(), pg_logical_emit_message(true, $1, 'mark')";
        let row = client.query_one(sql, &[&PREFIX]).await;
        Ok(Lsn(row.map_err(|error| self.at_source(&error))?.get::<_, PgLsn>(0).into()).into())
    }

    /// Begins at the source; gives the snapshot.
    async fn begin_source(&self) -> Result<Snapshot> {
        let begun = self.source.0.batch_execute(BEGIN).await;
        begun.map_err(|error| self.at_source(&error))?;
        self.snapshot(&self.source.0).await
    }

    async fn snapshot(&self, client: &Client) -> Result<Snapshot> {
        let row = client.query_one("SELECT pg_current_snapshot()::text", &[]).await;
        parse_snapshot(row.map_err(|error| self.at_source(&error))?.get(0))
    }

    /// Begins at the target, at a position of at least this, with all copied and nothing left to be read.
    async fn begin_target(&self, not_before: &Position) -> Result<Position> {
        // Tables that are held are left out.
        let sql = "WITH followed AS (SELECT source FROM regraft.statements WHERE pipeline = $1 AND statement >= 0) \
                   SELECT position, NOT EXISTS (SELECT FROM regraft.chunks WHERE pipeline = $1 AND done_at IS NULL \
                       AND source_schema || '.' || source_table IN (SELECT source FROM followed)) \
                       AND NOT EXISTS (SELECT FROM regraft.tables WHERE pipeline = $1 AND NOT fully_planned \
                       AND source_schema || '.' || source_table IN (SELECT source FROM followed)) \
                   FROM regraft.pipelines WHERE name = $1";
        loop {
            let begun = self.target.0.batch_execute(BEGIN).await;
            begun.map_err(|error| self.at_target(&error))?;
            let row = self.target.0.query_one(sql, &[&self.name]).await;
            let row = row.map_err(|error| self.at_target(&error))?;
            let position = at::position(&row, 0)?;
            if position.covers(not_before) && row.get(1) {
                return Ok(position);
            }
            let ended = self.target.0.batch_execute("ROLLBACK").await;
            ended.map_err(|error| self.at_target(&error))?;
            tokio::time::sleep(POSITION_WAIT).await;
        }
    }

    /// No transaction is open that wrote to a published table. What has committed and cannot be seen yet still
    /// holds its locks.
    async fn no_writer(&self) -> Result<bool> {
        let sql = format!(
            "WITH t AS MATERIALIZED (\
                       SELECT format('%I.%I', schemaname, tablename)::regclass AS oid \
                       FROM pg_publication_tables WHERE pubname = ANY ($1)) \
                   SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'relation' \
                       AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') \
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                       AND relation IN (SELECT p.oid FROM t, LATERAL ({}) AS p))",
            tree("t.oid")
        );
        let row = self.control.query_one(&sql, &[&self.publications]).await;
        Ok(row.map_err(|error| self.at_source(&error))?.get(0))
    }
}

/// Transactions that ended between two snapshots.
fn ended_between(before: &Snapshot, after: &Snapshot) -> u64 {
    let has_ended = |xid: &&u64| !after.running.contains(xid) && **xid < after.xmax;
    let ended = before.running.iter().filter(has_ended).count() as u64;
    let open = after.running.iter().filter(|&&xid| xid >= before.xmax).count() as u64;
    ended + (after.xmax - before.xmax.min(after.xmax)).saturating_sub(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_between_snapshots_are_counted() {
        let ended = |before: &str, after: &str| {
            ended_between(&Snapshot::parse(before).unwrap(), &Snapshot::parse(after).unwrap())
        };
        assert_eq!(ended("10:10:", "10:10:"), 0);
        assert_eq!(ended("10:10:", "11:11:"), 1);
        assert_eq!(ended("8:10:8", "8:12:8,11"), 1, "10 ended; 8 and 11 are open");
        assert_eq!(ended("8:10:8,9", "10:10:"), 2);
    }
}
