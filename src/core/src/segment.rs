//! What the batcher hands to a sink.

use std::sync::Arc;
use std::time::SystemTime;

use crate::change::Transaction;
use crate::chunk::ChunkScope;
use crate::error::{Code, Error, Result};
use crate::key::Key;
use crate::position::Position;
use crate::relation::TableName;
use crate::row::{Row, Rows};
use crate::sql::quote;

/// One statement of the mapping, as the pipeline and the sink need to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Source table whose rows contribute.
    pub source: TableName,
    /// Target table that the rows go to.
    pub target: TableName,
    /// Target columns, in the order of the output row.
    pub columns: Vec<RouteColumn>,
    /// For each source key column, in key order, the output column that copies it. `None` when some
    /// key column is not copied: contributions are then found by evaluating the full old image.
    pub owner: Option<Vec<usize>>,
    /// A source row gives at most one row.
    pub single: bool,
    /// A source row gives exactly one row: there is neither a WHERE nor a set-returning function.
    pub total: bool,
    /// The target key is made of owner columns only, so that a row with the same owner replaces the
    /// old one by itself.
    pub key_is_owner: bool,
    /// Source rows have no key: rows of the target are counted, and none of its keys tells them apart.
    pub keyless: bool,
    /// Key columns of the source table, in key order.
    pub source_key: Vec<String>,
    /// A changed contribution is removed and inserted as a whole: it has several rows, and nothing
    /// references them.
    pub rewrite: bool,
    /// Equality conditions, as SQL over the target's columns, that tell this statement's rows from
    /// those of other statements of the same target (`"kind" = 'a'`). Empty when it is alone.
    pub only: Vec<String>,
    /// Where the statement stands, `mapping.sql:3:1`.
    pub place: String,
}

impl Route {
    /// Different source rows, or statements, can mean the same target key: a row of the target must be
    /// looked at before it is overwritten. Elsewhere the key says whose row it is.
    pub fn guarded(&self, key: &[String]) -> bool {
        if self.keyless {
            return false;
        }
        let in_key = |at: usize| self.columns.get(at).is_some_and(|c| key.contains(&c.name));
        let owner = self.owner.as_ref();
        !owner.is_some_and(|owner| owner.iter().all(|&at| in_key(at)))
            || self.only.iter().any(|condition| !self.only_column(condition).is_some_and(in_key))
    }

    /// The output column tells whose row of the target it is.
    pub fn tells(&self, column: usize) -> bool {
        self.owner.iter().flatten().any(|&at| at == column)
            || self.only.iter().any(|condition| self.only_column(condition) == Some(column))
    }

    /// The output column of a condition of `only`.
    fn only_column(&self, condition: &str) -> Option<usize> {
        let starts = |c: &RouteColumn| condition.starts_with(&format!("{} = ", quote(&c.name)));
        self.columns.iter().position(starts)
    }
}

/// One output column of a [`Route`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteColumn {
    /// Target column.
    pub name: String,
    /// SQL name of the type of the expression, valid on the target: values are sent as this type and
    /// the target converts them as an assignment does.
    pub sql_type: String,
    /// Values are their texts: one of the servers does not read the type's binary form, or has none.
    pub text: bool,
}

/// Writes for the target, to be made in one target transaction together with the segments that
/// follow it, up to and including the first one with a [`Commit`].
#[derive(Debug, Default)]
pub struct Segment {
    /// In the form that the sink takes.
    pub payload: Payload,
    /// Source tables whose copying anew starts with this commit.
    pub anew: Vec<TableName>,
    /// Chunks whose rows are in the payload, or in earlier segments of the same commit.
    pub chunks_done: Vec<ChunkDone>,
    /// Rows that could not be carried whole; the commit records that they are to be read.
    pub to_read: Vec<KeysToRead>,
    /// Present when the target transaction ends with this segment.
    pub commit: Option<Commit>,
}

impl Segment {
    /// The net effect, for a sink that takes that form.
    ///
    /// # Errors
    /// [`Code::Internal`] for a log: written as a net effect it would be nothing at all.
    pub fn net(&self) -> Result<&[TableWrites]> {
        match &self.payload {
            Payload::Net(writes) => Ok(writes),
            Payload::Log(_) => Err(other_form("a log", "the net effect")),
        }
    }

    /// The log, for a sink that takes that form.
    ///
    /// # Errors
    /// [`Code::Internal`] for a net effect, in which changes are missing.
    pub fn log(&self) -> Result<&[Entry]> {
        match &self.payload {
            Payload::Log(entries) => Ok(entries),
            Payload::Net(_) => Err(other_form("the net effect", "a log")),
        }
    }
}

fn other_form(given: &str, taken: &str) -> Error {
    Error::new(Code::Internal, format!("{given} was given to a sink that takes {taken}"))
}

/// What came of the changes of a segment, in the form that the sink takes ([`crate::Takes::form`]).
#[derive(Debug)]
pub enum Payload {
    /// For sinks that have rows: within a segment each source key occurs at most once per statement. At most one for
    /// each statement.
    Net(Vec<TableWrites>),
    /// For sinks that have a history: nothing is netted away. In the order of the changes in the stream; rows that
    /// were read stand where they joined it.
    Log(Vec<Entry>),
}

impl Default for Payload {
    fn default() -> Self {
        Payload::Net(Vec::new())
    }
}

impl Payload {
    /// Rows that it brings, those that are counted away included; of a log its entries.
    pub fn rows(&self) -> usize {
        match self {
            Payload::Net(writes) => {
                writes.iter().flat_map(TableWrites::brings).map(Rows::len).sum()
            }
            Payload::Log(entries) => entries.len(),
        }
    }

    /// Bytes of them.
    pub fn bytes(&self) -> usize {
        match self {
            Payload::Net(writes) => {
                writes.iter().flat_map(TableWrites::brings).map(Rows::size).sum()
            }
            Payload::Log(entries) => entries.iter().map(Entry::size).sum(),
        }
    }
}

/// One step of a log: what became of the contribution of one source row to one statement.
///
/// Whoever puts for each source key the rows of `after` in the place of those that it had, entry after entry, has
/// what the statement gives: an entry is whole, and needs no search for the rows that it replaces. A change of a
/// source key is two entries, in this order: the old key's rows go, the new key's come.
///
/// A change that the stream could not carry whole has no entry: its source key is read
/// ([`Segment::to_read`]), which gives a later entry of the kind [`EntryKind::Read`]. Neither has a change of a row
/// that is none of the statement: it is known to give no rows before it and after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Index of the statement in the mapping.
    pub statement: usize,
    /// Where it comes from.
    pub kind: EntryKind,
    /// The source row that it is of. `None` when rows of the source have no key: then the rows of `before` go, each
    /// of them once, and those of `after` come; and of [`EntryKind::Cleared`].
    pub key: Option<Key>,
    /// The rows from before. `None` when they are not known: the stream did not carry the old row whole, or none was
    /// there to be asked for it. Never filled from earlier changes: the same change says the same whenever it comes.
    pub before: Option<Rows>,
    /// The rows from now on; none when the source row went, or gives none.
    pub after: Rows,
    /// The change that it is of; `None` for what was read.
    pub cause: Option<Cause>,
}

impl Entry {
    /// Bytes of its rows and key.
    pub fn size(&self) -> usize {
        let key = self.key.as_ref().map_or(0, |key| key.0.len());
        key + self.before.as_ref().map_or(0, Rows::size) + self.after.size()
    }
}

/// Where an [`Entry`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A change of the stream.
    Change,
    /// A row that was there before the stream began, from a chunk.
    Copied,
    /// A source row that the stream could not carry whole, as it is now; without rows when it is gone.
    Read,
    /// All rows of the statement went: by a TRUNCATE, which is its cause, or to be copied anew.
    Cleared,
}

/// The change of the stream that an [`Entry`] is of. Where entries may come again, it tells one from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The source transaction.
    pub transaction: Arc<Transaction>,
    /// Changes that the stream gave of it before this one, of whichever tables.
    pub number: u64,
}

/// The net effect of a segment on the rows of one statement, in the order in which it takes place.
#[derive(Debug, Default)]
pub struct TableWrites {
    /// Index of the statement in the mapping.
    pub statement: usize,
    /// First: all rows of this statement go.
    pub clear: bool,
    /// Then: contributions with these owner values (a row of the owner columns each) lose every row
    /// that is not in `upserts`.
    pub replaced: Rows,
    /// For statements without owner columns: whole old output rows; those whose target key is not in
    /// `upserts` go.
    pub withdrawn: Rows,
    /// For statements over rows without a key: whole output rows, each of which takes away one that is equal to
    /// it, of several exactly one.
    pub uncounted: Rows,
    /// Then: rows with these target keys come to be, or become this.
    pub upserts: Rows,
    /// With them: rows whose target keys are not in the target after the removals, unless the target
    /// held rows that the pipeline did not write.
    pub fresh: Rows,
    /// Last: in-place changes of contributions that the stream could not carry whole.
    pub patches: Vec<PatchGroup>,
}

impl TableWrites {
    /// What counts as the size of a batch.
    fn brings(&self) -> [&Rows; 3] {
        [&self.upserts, &self.fresh, &self.uncounted]
    }

    /// Rows that are there after the segment: `upserts` and `fresh`.
    pub fn arriving(&self) -> impl Iterator<Item = Row<'_>> {
        self.upserts.iter().chain(self.fresh.iter())
    }
}

/// Patches that set the same columns.
#[derive(Debug, Default)]
pub struct PatchGroup {
    /// Output columns that are set.
    pub columns: Vec<usize>,
    /// Each patch must find exactly one row: the statement is total and its backfill is done.
    pub expect_rows: bool,
    /// For each patch: the owner values that the rows have now, then the new value of each column.
    pub rows: Rows,
}

/// A chunk that is complete with this commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkDone {
    /// Id in the ledger.
    pub id: i64,
    /// Rows that the chunk wrote.
    pub rows: u64,
}

/// Rows of one source table whose contributions have to be read from the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysToRead {
    /// Source table.
    pub table: TableName,
    /// [`ChunkScope::Keys`] or [`ChunkScope::Traced`].
    pub scope: ChunkScope,
}

/// The end of a target transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The position that the target has with it.
    pub position: Position,
    /// The last source transaction in it; `None` where there is none.
    pub last: Option<Transaction>,
    /// Commit times, on the source's clock, of the source transactions in it, in commit order.
    pub commit_times: Vec<SystemTime>,
    /// Source row changes in it, before the net effect was taken.
    pub changes: u64,
    /// Transactions of the source may wait until the position is durable.
    pub awaited: bool,
}
