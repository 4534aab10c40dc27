//! What is told of a pipeline: by the daemon itself as `/api/v1/status`, and from outside, as far as the ledger
//! and the servers know it, by `regraft status --json`. What one of them does not know is null there.

use regraft_core::Position;
use regraft_core::contract::Phase;
use regraft_pipeline::{Gets, HeldTable, LastError, Status, TableStatus, Verification};
use regraft_postgres::sessions::Waiting;
use serde::Serialize;

/// See the module.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Told {
    /// Name of the pipeline.
    pub(crate) name: String,
    pub(crate) phase: Phase,
    /// No error holds it, or a table of it.
    pub(crate) healthy: bool,
    /// The daemon, as it is seen from outside.
    pub(crate) daemon: Option<Daemon>,
    /// Everything up to here is in the target.
    pub(crate) position: Option<Position>,
    /// Bytes of the source's log that are not in the target yet.
    pub(crate) lag_bytes: Option<u64>,
    /// For how long something has been in the source that is not in the target, about.
    pub(crate) lag_seconds: Option<f64>,
    /// Since the daemon started, the target has once had everything. Only the daemon knows.
    pub(crate) caught_up: Option<bool>,
    /// Seconds until existing rows are copied, about. Only the daemon knows.
    pub(crate) copy_seconds_left: Option<f64>,
    /// Target tables.
    pub(crate) tables: Vec<ToldTable>,
    /// Source transactions applied since the daemon started. Only the daemon knows.
    pub(crate) transactions: Option<u64>,
    /// Source row changes applied since the daemon started. Only the daemon knows.
    pub(crate) changes: Option<u64>,
    /// From outside null while the ledger has none.
    pub(crate) verification: Option<ToldVerification>,
    /// Source tables that are held while the others go on.
    pub(crate) held: Vec<HeldTable>,
    /// The error that holds the pipeline, or ended it.
    pub(crate) last_error: Option<LastError>,
    /// Who has not answered for long.
    pub(crate) waiting: Vec<Waiting>,
    /// Why the pipeline is not ready. Only the daemon knows; null there when it is.
    pub(crate) unready: Option<String>,
    /// Of several targets, how this one gets at its changes. Only the daemon knows.
    pub(crate) stream: Option<Gets>,
}

/// The daemon in a [`Told`].
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Daemon {
    /// The process of the target that has the pipeline's lock for it.
    pub(crate) process: Option<i32>,
    /// Since it noted something in the ledger.
    pub(crate) seen_seconds: Option<f64>,
}

/// One target table in a [`Told`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ToldTable {
    /// Schema and table.
    pub(crate) target: String,
    /// Source table that it is made from.
    pub(crate) source: String,
    /// Rows written: since the daemon started; from outside since the statement is what it is.
    pub(crate) rows: u64,
    /// Rows deleted, likewise.
    pub(crate) deleted: u64,
    /// Chunks of the source table that are copied.
    pub(crate) chunks_done: u64,
    /// Chunks of the source table that are planned so far.
    pub(crate) chunks_total: u64,
    /// Chunks that there will be, about; from outside null until all are planned.
    pub(crate) chunks_expected: Option<u64>,
    /// All of them are planned. Only the ledger knows.
    pub(crate) planned: Option<bool>,
}

/// Verification in a [`Told`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ToldVerification {
    /// Rows that were equal: since the daemon started; from outside, in the last sweep.
    pub(crate) rows: u64,
    /// Every row was compared at most so many seconds ago.
    pub(crate) oldest_seconds: Option<f64>,
    /// How often every row was compared. Only the daemon knows.
    pub(crate) passes: Option<u64>,
    /// Source rows that are still to be looked at.
    pub(crate) unsettled: u64,
    /// How often the one of them was looked at that was most. Only the daemon knows.
    pub(crate) tries: Option<u32>,
    /// Findings that are open.
    pub(crate) findings_open: u64,
    /// Findings that a repair ended.
    pub(crate) repaired: u64,
    /// Why nothing can be compared now. Only the daemon knows.
    pub(crate) stopped: Option<String>,
}

impl Told {
    /// By the daemon itself.
    pub(crate) fn by_daemon(
        status: Status,
        waiting: Vec<Waiting>,
        unready: Option<String>,
        stream: Option<Gets>,
    ) -> Self {
        Self {
            name: status.name,
            phase: status.phase,
            healthy: status.healthy,
            daemon: None,
            position: status.position,
            lag_bytes: status.lag_bytes,
            lag_seconds: status.lag_seconds,
            caught_up: Some(status.caught_up),
            copy_seconds_left: status.copy_seconds_left,
            tables: status.tables.into_iter().map(ToldTable::from).collect(),
            transactions: Some(status.transactions),
            changes: Some(status.changes),
            verification: Some(status.verification.into()),
            held: status.held,
            last_error: status.last_error,
            waiting,
            unready,
            stream,
        }
    }
}

impl From<TableStatus> for ToldTable {
    fn from(table: TableStatus) -> Self {
        Self {
            target: table.target,
            source: table.source,
            rows: table.rows,
            deleted: table.deleted,
            chunks_done: table.chunks_done,
            chunks_total: table.chunks_total,
            chunks_expected: Some(table.chunks_expected),
            planned: None,
        }
    }
}

impl From<Verification> for ToldVerification {
    fn from(found: Verification) -> Self {
        Self {
            rows: found.rows,
            oldest_seconds: found.oldest_seconds,
            passes: Some(found.passes),
            unsettled: found.unsettled as u64,
            tries: Some(found.tries),
            findings_open: found.findings_open,
            repaired: found.repaired,
            stopped: found.stopped,
        }
    }
}
