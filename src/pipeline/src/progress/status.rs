//! The state of a pipeline at one moment, as it is shown.

use std::time::SystemTime;

use regraft_core::contract::Phase;
use regraft_core::{Drifted, Error, Position};
use serde::{Deserialize, Serialize};

/// An error as the status shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastError {
    /// Stable code.
    pub code: String,
    /// What happened, and where.
    pub what: String,
    /// What to do next.
    pub remedy: Option<String>,
    /// When, as seconds since 1970 on this machine's clock; in the ledger, on the target's.
    pub at: u64,
    /// Source tables that it is about, where something is not the same any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
}

impl LastError {
    /// As of now.
    pub fn of(error: &Error) -> Self {
        Self {
            code: error.code().as_str().to_owned(),
            what: match error.place() {
                Some(place) => format!("{place}: {}", error.what()),
                None => error.what().to_owned(),
            },
            remedy: error.remedy_text().map(str::to_owned),
            at: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_secs()),
            tables: error.drift().map(Drifted::shown).unwrap_or_default(),
        }
    }
}

/// A source table that is held while the others go on.
#[derive(Clone, Debug, Serialize)]
pub struct HeldTable {
    /// Schema and table.
    pub table: String,
    /// Seconds since 1970 on the target's clock.
    pub since: u64,
    /// The rows in the target are as they were at this position of the source.
    pub position: String,
    /// Code of the error that holds it.
    pub code: String,
    /// What is not the same any more, and where.
    pub what: String,
    /// What to do next.
    pub remedy: String,
}

impl std::fmt::Display for HeldTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let HeldTable { table, position, code, what, .. } = self;
        write!(f, "{table} is held at {position}: [{code}] {what}")
    }
}

/// The state of a pipeline at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// Name of the pipeline.
    pub name: String,
    /// What it is doing.
    pub phase: Phase,
    /// No error holds it, or a table of it.
    pub healthy: bool,
    /// Everything up to here is in the target.
    pub position: Option<Position>,
    /// Bytes of the source's log that are not in the target yet, once that is known.
    pub lag_bytes: Option<u64>,
    /// For how long something has been in the source that is not in the target, about; 0 when nothing
    /// is. While the source does not answer, the time since its last answer. `None` until it is known.
    pub lag_seconds: Option<f64>,
    /// Since the daemon started, the target has once had everything that was in the source.
    pub caught_up: bool,
    /// Seconds until existing rows are copied, about, by how fast this daemon was; `None` when they are, and
    /// until that is known.
    pub copy_seconds_left: Option<f64>,
    /// Target tables.
    pub tables: Vec<TableStatus>,
    /// Source transactions applied since the daemon started.
    pub transactions: u64,
    /// Source row changes applied since the daemon started.
    pub changes: u64,
    /// What verification has found, since the daemon started.
    pub verification: Verification,
    /// Source tables that are held while the others go on.
    pub held: Vec<HeldTable>,
    /// The error that holds the pipeline.
    pub last_error: Option<LastError>,
}

impl Status {
    /// Of a pipeline that is not there yet: its servers are not asked, or its slot is being made.
    pub fn starting(name: &str, last_error: Option<LastError>) -> Self {
        Self {
            name: name.to_owned(),
            phase: Phase::Starting,
            healthy: last_error.is_none(),
            position: None,
            lag_bytes: None,
            lag_seconds: None,
            caught_up: false,
            copy_seconds_left: None,
            tables: Vec::new(),
            transactions: 0,
            changes: 0,
            verification: Verification::default(),
            held: Vec::new(),
            last_error,
        }
    }
}

/// What verification has found, in a [`Status`].
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// Rows that were equal.
    pub rows: u64,
    /// Every row was compared at most so many seconds ago; since the daemon started where it was never.
    pub oldest_seconds: Option<f64>,
    /// How often every row was compared, since the statements are what they are.
    pub passes: u64,
    /// Source rows that are still to be looked at, because they changed or were not equal.
    pub unsettled: usize,
    /// How often the one of them was looked at that was most.
    pub tries: u32,
    /// Findings that are open.
    pub findings_open: u64,
    /// Findings that a repair ended.
    pub repaired: u64,
    /// Why nothing can be compared now: a lock of the source, say.
    pub stopped: Option<String>,
}

/// One target table in a [`Status`].
#[derive(Clone, Debug, Serialize)]
pub struct TableStatus {
    /// Schema and table.
    pub target: String,
    /// Source table that it is made from.
    pub source: String,
    /// Rows written since the daemon started: inserted or updated.
    pub rows: u64,
    /// Rows deleted since the daemon started.
    pub deleted: u64,
    /// Chunks of the source table that are copied.
    pub chunks_done: u64,
    /// Chunks of the source table that are planned so far.
    pub chunks_total: u64,
    /// Chunks of the source table that there will be, about; once all are planned, exactly.
    pub chunks_expected: u64,
}
