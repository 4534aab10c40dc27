//! The traits between the pipeline and the connectors. Each method says what is durable when it
//! returns, what happens when it is cancelled, and who retries.
//!
//! No method retries by itself: an [`crate::Error`] of [`crate::Kind::Unavailable`] ends the
//! attempt, and the pipeline starts a new one from the ledger's position.

use std::future::Future;
use std::time::SystemTime;

use crate::chunk::{ChunkData, ChunkScope, Snapshot, Traced};
use crate::error::Result;
use crate::gives::Gives;
use crate::key::Key;
use crate::position::Position;
use crate::relation::TableName;
use crate::row::Rows;
use crate::segment::Segment;
use crate::takes::Takes;
use crate::verify::Verifier;
use crate::watermark::Watermark;
use crate::{Error, Event, Transaction};

/// A change stream, opened at a position.
pub trait ChangeStream: Send {
    /// The next events in stream order. Waits while there are none; there may be none of what
    /// [`ChangeStream::ready`] told of, when it was given before by another stream.
    ///
    /// Cancel-safe: events are not lost when the future is dropped. The connection is kept alive by
    /// the connector whether or not this is called.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Event>>> + Send;

    /// True when [`ChangeStream::next`] would return without waiting.
    fn ready(&self) -> bool;

    /// Tells the source that everything up to `position` is durable in the target, so that it may
    /// forget it. Positions only grow. Sent with the next status message, at once if possible.
    fn acknowledge(&self, position: Position);

    /// The end of the source's log as it was last heard of.
    fn source_end(&self) -> Position;

    /// Ends the stream, after the last acknowledgement was sent.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

/// What a write did to the rows of one statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Index of the statement in the mapping.
    pub statement: usize,
    /// Target rows inserted or updated.
    pub upserted: u64,
    /// Target rows deleted.
    pub deleted: u64,
}

/// Writes batches to the target, with the position in the same transaction.
pub trait Sink: Send {
    /// Takes a segment. When it has a commit, rows, position and chunk marks are committed together,
    /// after the commits of all segments before it. Several batches may be under way at a time.
    ///
    /// The payload has the form that [`Target::takes`] says. After a failure everything from the ledger's position
    /// on is given again: a log whose sink has no transactions has each of its entries at least once.
    ///
    /// Gives one item for each segment that is written by now, in the order in which they were
    /// given; with it, its commit is visible in the target, and may not be durable yet, see
    /// [`Sink::durable`].
    ///
    /// Not cancel-safe: after a drop or an error the sink is used no more, and the target rolls back
    /// what was not committed.
    fn write(&mut self, segment: Segment)
    -> impl Future<Output = Result<Vec<Vec<Written>>>> + Send;

    /// Waits until the oldest segment under way is written. `None` when none is.
    ///
    /// Cancel-safe.
    fn settle(&mut self) -> impl Future<Output = Result<Option<Vec<Written>>>> + Send;

    /// The newest position whose commit is on the target's disk, of those written by this sink.
    /// Asks the target; cheap enough for a few times per second.
    fn durable(&mut self) -> impl Future<Output = Result<Option<Position>>> + Send;
}

/// A source at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceState {
    /// What a new transaction would see.
    pub snapshot: Snapshot,
    /// The end of the log.
    pub end: Position,
    /// Bytes of log that the source keeps for this pipeline.
    pub held_bytes: u64,
    /// Commits of the source wait for this pipeline: it counts as a synchronous standby.
    pub synchronous: bool,
}

/// Reads chunks of source tables, evaluated by the source itself.
pub trait ChunkReader: Send {
    /// The first key boundary at least `rows` rows after `after` in key order (exclusive), or `None`
    /// when fewer rows are left up to `upto` (inclusive). Boundaries are key values in text form.
    fn boundary(
        &mut self,
        table: &TableName,
        after: Option<&[String]>,
        upto: Option<&[String]>,
        rows: u64,
    ) -> impl Future<Output = Result<Option<Vec<String>>>> + Send;

    /// About how many rows of the table take `bytes`, out-of-line values included; at least 1.
    fn rows_in(
        &mut self,
        table: &TableName,
        bytes: usize,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// About how many rows each of the tables has, by what the source knows without counting.
    fn rows(&mut self, tables: &[TableName]) -> impl Future<Output = Result<Vec<u64>>> + Send;

    /// Reads every statement of `table` for the rows in `scope`, all in one snapshot. The rows of
    /// transactions that [`Snapshot::sees`] are in the data.
    ///
    /// # Errors
    /// [`crate::Code::ChunkTooLarge`] when the chunk exceeds `bytes_max`; it is then split and read
    /// again.
    fn read(
        &mut self,
        table: &TableName,
        scope: &ChunkScope,
        bytes_max: usize,
    ) -> impl Future<Output = Result<ChunkData>> + Send;

    /// Begins to read every statement of a table as a whole, in one snapshot, which is kept until
    /// [`ChunkReader::end_copy`]. All TRUNCATEs and rewrites of the table are in it, or come after the end.
    fn begin_copy(&mut self, table: &TableName) -> impl Future<Output = Result<Snapshot>> + Send;

    /// The next rows of the copy, about so many bytes: by the place of their statement among those of the table.
    /// `None` when there are no more.
    fn copy(
        &mut self,
        table: &TableName,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Option<(usize, Rows)>>> + Send;

    /// Ends the copy, complete or not.
    fn end_copy(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// The keys of the source rows that changes of another table touch, as of now.
    fn traced(
        &mut self,
        table: &TableName,
        traced: &Traced,
    ) -> impl Future<Output = Result<Vec<Key>>> + Send;

    /// The state of the source now. A stream learns the end of the log only as far as the server has
    /// decoded it.
    fn state(&mut self) -> impl Future<Output = Result<SourceState>> + Send;

    /// Puts `watermark` into the change stream: a logical message with the prefix
    /// [`WATERMARK_PREFIX`] in a transaction of its own, flushed when this returns. Gives the id of
    /// that transaction: every id assigned before it is smaller.
    fn mark(&mut self, watermark: &Watermark) -> impl Future<Output = Result<u64>> + Send;

    /// Another reader on the same connection. Of the two, one at most reads chunks.
    fn beside(&self) -> Self
    where
        Self: Sized;

    /// What was read last is through: other readers may have their turn. Closes the connection when it was not
    /// needed for a while; it is opened again when it is.
    fn rest(&mut self);
}

/// Prefix of the logical messages that regraft emits, with a [`Watermark`] in each.
pub const WATERMARK_PREFIX: &str = "regraft";

/// A chunk that the ledger has planned and not yet done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedChunk {
    /// Id in the ledger.
    pub id: i64,
    /// Source table.
    pub table: TableName,
    /// Rows that it covers.
    pub scope: ChunkScope,
}

/// How far the backfill of a source table has been planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableProgress {
    /// Source table.
    pub table: TableName,
    /// Upper bound of the last planned chunk; `None` when nothing is planned.
    pub planned_upto: Option<Vec<String>>,
    /// The last chunk, the one without an upper bound, is planned: no more are to come.
    pub fully_planned: bool,
    /// Chunks planned.
    pub chunks: u64,
    /// Chunks done.
    pub chunks_done: u64,
    /// The table begins anew: changes that were committed before this position are ignored.
    pub anew_from: Option<Position>,
    /// The statements' rows stay when the stream arrives there, to be compared; else they are cleared.
    pub keeps_rows: bool,
}

/// Where a target is in the log of its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Everything before it is in the target.
    pub position: Position,
    /// The last transaction in it, if it is known.
    pub last: Option<Transaction>,
    /// The history in which the position was given out, in the source's words, if it is known.
    pub history: Option<String>,
}

/// What the ledger knows of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerState {
    /// Where the target is.
    pub past: Past,
    /// Commit time of the last applied source transaction.
    pub commit_time: Option<SystemTime>,
    /// Source tables, each with its backfill.
    pub tables: Vec<TableProgress>,
    /// Chunks planned and not done.
    pub pending: Vec<PlannedChunk>,
    /// Targets, as they are printed, that are being compared and mended: rows may be missing until then.
    pub mending: Vec<String>,
}

/// Where changes come from. Asked anew for every attempt, so that addresses and secrets are read anew.
pub trait Source: Send {
    /// The change stream.
    type Stream: ChangeStream + 'static;
    /// A reader of its tables.
    type Reader: ChunkReader + 'static;

    /// Opens the stream where the target is, after proving that it goes on there without a gap, in the same
    /// history. It acknowledges what it is told to and nothing else: another target may be further behind.
    fn stream(&mut self, past: &Past) -> impl Future<Output = Result<Opened<Self::Stream>>> + Send;

    /// Opens another stream while there is one, with the same proof. What it is told to acknowledge lets the
    /// source forget nothing that [`Source::stream`] would still give.
    fn beside(&mut self, past: &Past) -> impl Future<Output = Result<Opened<Self::Stream>>> + Send;

    /// What a statement over the source may be; known without a connection.
    fn gives(&self) -> Gives;

    /// What of the source is in the stream: two that have the same can be given for one another.
    fn scope(&self) -> String {
        String::new()
    }

    /// One reader, where [`Gives::reads`]. It connects when something is asked of it.
    fn reader(&mut self) -> Option<Self::Reader>;
}

/// A stream that was opened.
#[derive(Debug)]
pub struct Opened<S> {
    /// The stream.
    pub stream: S,
    /// The history in which positions are given out from now on, if it is not [`Past::history`].
    pub history: Option<String>,
}

/// Where rows go. Asked anew for every attempt.
pub trait Target: Send {
    /// The pipeline's memory.
    type Ledger: Ledger + 'static;
    /// The writer.
    type Sink: Sink + 'static;

    /// What the sink takes; known without a connection.
    fn takes(&self) -> Takes;

    /// Connects, makes sure that no other daemon runs this pipeline, and that none that did can commit any
    /// more. From then on the sink commits only as long as that holds, and what the ledger tells is on the
    /// target's disk.
    fn open(&mut self) -> impl Future<Output = Result<(Self::Ledger, Self::Sink)>> + Send;

    /// Notes in the ledger, between attempts, the phase, and an error if there is one. Takes the pipeline as
    /// [`Target::open`] does.
    fn note(
        &mut self,
        error: Option<&Error>,
        phase: Phase,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Answers an error of something that is not the same any more ([`Error::drift`]). True when the plan is
    /// to be made again: what drifted is held without the rest, or the settings say to go on.
    fn answer(&mut self, error: &Error) -> impl Future<Output = Result<bool>> + Send;
}

/// What looks at both ends beside the data path.
pub trait Pair: Send {
    /// Compares both sides.
    type Verifier: Verifier + 'static;
    /// Looks whether what the mapping stands on is the same.
    type Sentinel: Sentinel + 'static;

    /// Connects to both sides for verification.
    fn verifier(&mut self) -> impl Future<Output = Result<Self::Verifier>> + Send;

    /// Makes a sentinel, for as long as the attempt lives.
    fn sentinel(&mut self) -> Self::Sentinel;

    /// What is known of an error beyond what the connection could tell: a deadline that had passed.
    fn explain(&self, error: Error) -> Error {
        error
    }
}

/// Looks whether what the mapping stands on is still what was accepted: tables, columns, partitions, what
/// the publication holds, what names mean.
pub trait Sentinel: Send {
    /// Sees to it that nothing at the source keeps the application from writing. Needs the source only.
    ///
    /// # Errors
    /// When something did: it has been undone, as far as possible.
    fn guard(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// One look at both servers. Gives the targets, as they are printed, for which a comparison was asked
    /// that mends their rows: until then rows may be missing.
    ///
    /// # Errors
    /// What has to hold the pipeline. A server that does not answer is no such thing.
    fn look(&mut self) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// Somebody has said how a held pipeline goes on.
    fn resumed(&mut self) -> impl Future<Output = bool> + Send;
}

/// The pipeline's own memory, in the target. Everything that has to be atomic with rows is written
/// by the [`Sink`] instead.
pub trait Ledger: Send {
    /// Reads the state of the pipeline.
    fn load(&mut self) -> impl Future<Output = Result<LedgerState>> + Send;

    /// Records a chunk that is going to be read. Durable when it returns.
    fn plan(
        &mut self,
        table: &TableName,
        scope: &ChunkScope,
    ) -> impl Future<Output = Result<PlannedChunk>> + Send;

    /// Replaces a planned chunk by others that cover the same rows. Durable when it returns.
    fn split(
        &mut self,
        chunk: &PlannedChunk,
        scopes: Vec<ChunkScope>,
    ) -> impl Future<Output = Result<Vec<PlannedChunk>>> + Send;

    /// Chunks of keys that commits have recorded, without those whose ids are `known`. (Ids do not tell
    /// which are new: they are handed out before the commit.)
    fn keys_to_read(
        &mut self,
        known: &[i64],
    ) -> impl Future<Output = Result<Vec<PlannedChunk>>> + Send;

    /// Notes the history in which positions are given out ([`Opened::history`]).
    fn note_history(&mut self, history: &str) -> impl Future<Output = Result<()>> + Send;

    /// Notes that the daemon lives, for `regraft status`. True when somebody has said how a held table
    /// goes on: the plan is to be made again.
    fn beat(&mut self) -> impl Future<Output = Result<bool>> + Send;

    /// Notes the phase, for `regraft status`.
    fn phase(&mut self, phase: Phase) -> impl Future<Output = Result<()>> + Send;

    /// Notes an error, or that there is none any more.
    fn last_error(&mut self, error: Option<&Error>) -> impl Future<Output = Result<()>> + Send;
}

/// What a pipeline is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connecting and planning.
    Starting,
    /// Copying existing rows while following the stream.
    Backfill,
    /// All rows are copied; the stream is behind.
    CatchingUp,
    /// The target follows the source.
    Streaming,
    /// An error stopped the pipeline at its position; it is tried again.
    Held,
    /// No daemon runs the pipeline.
    Stopped,
}

impl Phase {
    /// As in `status --json` and the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Backfill => "backfill",
            Phase::CatchingUp => "catching_up",
            Phase::Streaming => "streaming",
            Phase::Held => "held",
            Phase::Stopped => "stopped",
        }
    }
}
