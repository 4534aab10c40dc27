//! What a pipeline does, resolved once at the start: statements, and the source tables they read.

use std::time::{Duration, SystemTime};

use regraft_core::segment::Route;
use regraft_core::{Keyless, Mapper, Oid, ReplicaIdentity, TableName};

/// A mapping, ready to run.
pub struct Plan {
    /// Name of the pipeline.
    pub name: String,
    /// Statements in the order of the mapping.
    pub routes: Vec<Route>,
    /// For each statement, its mapper.
    pub mappers: Vec<Box<dyn Mapper>>,
    /// Source tables in the order in which they first occur.
    pub tables: Vec<PlannedTable>,
    /// How changes of other tables lead to rows of the source tables.
    pub traces: Vec<Trace>,
}

/// A statement that the source evaluates may read tables beside its source table. A change there
/// touches the source rows to which these columns lead.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Tells the trace from others: `public.child(parent_id) -> public.parent(id)`.
    pub name: String,
    /// The table whose changes are traced.
    pub from: TableName,
    /// Its `pg_class.oid`.
    pub oid: Oid,
    /// Columns of it, all of them in its replica identity.
    pub columns: Vec<String>,
    /// What old images are to hold, and the columns of its key.
    pub identity: (ReplicaIdentity, Vec<String>),
    /// The source table.
    pub to: TableName,
}

/// A source table of the mapping.
#[derive(Clone, Debug)]
pub struct PlannedTable {
    /// The table.
    pub table: TableName,
    /// Its `pg_class.oid` at the source, by which it stays the same table under another name.
    pub oid: Oid,
    /// Names of the key columns, in key order.
    pub key: Vec<String>,
    /// How it is followed when its rows have no key.
    pub keyless: Option<Keyless>,
    /// What old images are to hold.
    pub identity: ReplicaIdentity,
    /// Statements that read it.
    pub statements: Vec<usize>,
    /// Statements of it whose targets refer to one another: what one of them has to read of a source
    /// row, all of them read, so that their rows come and go together. Those that stand alone are left
    /// out.
    pub together: Vec<Vec<usize>>,
}

impl Plan {
    /// The tables all of whose changes have to be in the stream.
    pub fn published(&self) -> Vec<TableName> {
        let mut tables: Vec<_> = self.whole().map(|planned| planned.table.clone()).collect();
        for trace in &self.traces {
            if !tables.contains(&trace.from) {
                tables.push(trace.from.clone());
            }
        }
        tables
    }

    /// The same tables, by their `pg_class.oid`.
    pub fn published_oids(&self) -> Vec<Oid> {
        let tables = self.whole().map(|table| table.oid);
        tables.chain(self.traces.iter().map(|trace| trace.oid)).collect()
    }

    fn whole(&self) -> impl Iterator<Item = &PlannedTable> {
        self.tables.iter().filter(|planned| planned.keyless != Some(Keyless::Appended))
    }

    /// The tables of which new rows have to be in the stream, and must be alone: the server refuses changes
    /// of others to the application, once they are published.
    pub fn appended(&self) -> Vec<TableName> {
        let appended = self.tables.iter().filter(|table| table.keyless == Some(Keyless::Appended));
        appended.map(|planned| planned.table.clone()).collect()
    }

    /// Index of a source table.
    pub fn table(&self, name: &TableName) -> Option<usize> {
        self.tables.iter().position(|table| &table.table == name)
    }
}

/// Limits and choices of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Close a batch at this many source rows; where each change is kept, at this many changes.
    pub batch_rows: usize,
    /// Close a batch at this many bytes of row images.
    pub batch_bytes: usize,
    /// Close a batch at this age at the latest, once its last transaction is complete.
    pub batch_age: Duration,
    /// Copy existing rows.
    pub backfill: bool,
    /// Chunks read at the same time.
    pub readers: usize,
    /// Source rows per chunk.
    pub chunk_rows: u64,
    /// Bytes per chunk, above which it is split.
    pub chunk_bytes: usize,
    /// Source rows read per second at most, over all readers.
    pub rows_per_second: Option<u64>,
    /// End once everything is copied and the source's position of that moment is reached.
    pub until_caught_up: bool,
    /// Verify beside the stream; `None` does not even wait for requests.
    pub verify: Option<VerifyOptions>,
}

/// How much of its time verification may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VerifyOptions {
    /// Sweep over all rows and look at changed ones; else requests only.
    pub enabled: bool,
    /// Source rows that are compared per second, at most.
    pub rows_per_second: u64,
    /// Share of the time in which the source may be busy with it, above 0 and at most 1.
    pub source_share: f64,
    /// Source rows per range.
    pub chunk_rows: u64,
    /// Rows that are repaired without being asked, per hour; more stop the pipeline. `None` repairs none.
    pub repairs_per_hour: Option<u64>,
    /// Rows of which nothing is known to have changed are compared at the full rate once the proof of the
    /// oldest is older than this.
    pub due: Duration,
    /// When the daemon began: of what was never compared the proof is no younger.
    pub since: SystemTime,
}

impl VerifyOptions {
    /// From the beginning of a range to that of the next one, given its rows and how long the source
    /// was busy with it.
    pub(crate) fn pause(&self, rows: u64, source_time: Duration) -> Duration {
        #[allow(clippy::cast_precision_loss, reason = "a pause needs no precision")]
        let by_rows = rows as f64 / self.rows_per_second.max(1) as f64;
        let by_share = self.stretched(source_time).as_secs_f64();
        Duration::from_secs_f64(by_rows.max(by_share).min(3600.0))
    }

    /// The time of which this one is the share that the source may be busy.
    pub(crate) fn stretched(&self, time: Duration) -> Duration {
        Duration::from_secs_f64(time.as_secs_f64() / self.source_share.clamp(0.001, 1.0))
    }

    /// Changed keys that are looked at per look for them.
    pub(crate) fn recent_max(&self) -> usize {
        let share = usize::try_from(self.rows_per_second / 16).unwrap_or(usize::MAX);
        if self.enabled { share.clamp(1, 250) } else { 0 }
    }
}
