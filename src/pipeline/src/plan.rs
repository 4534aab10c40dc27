//! What a pipeline does, resolved once at the start: statements, and the source tables they read.

use regraft_core::segment::Route;
use regraft_core::{Mapper, Oid, TableName};

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
    /// Statements that read it.
    pub statements: Vec<usize>,
}

impl Plan {
    /// The tables whose changes have to be in the stream.
    pub fn published(&self) -> Vec<TableName> {
        let mut tables: Vec<_> = self.tables.iter().map(|planned| planned.table.clone()).collect();
        for trace in &self.traces {
            if !tables.contains(&trace.from) {
                tables.push(trace.from.clone());
            }
        }
        tables
    }

    /// Index of a source table.
    pub fn table(&self, name: &TableName) -> Option<usize> {
        self.tables.iter().position(|table| &table.table == name)
    }
}

/// Limits and choices of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Close a batch at this many net source rows.
    pub batch_rows: usize,
    /// Close a batch at this many bytes of row images.
    pub batch_bytes: usize,
    /// Close a batch at this age at the latest, once its last transaction is complete.
    pub batch_age: std::time::Duration,
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
}
