//! Verification: what is compared, and the trait by which both sides are read.
//!
//! Rows of both sides are compared in the *form of the target*: the values that the SELECT gives,
//! converted by the source to the types of the target's columns, in binary send format, or as text
//! where a type has another binary form on each server. A row is laid out as a [`crate::Row`].

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::chunk::Snapshot;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::position::Position;

/// Takes the rows of both sides, in any order.
pub trait Compare: Send {
    /// A row that the SELECT gives.
    fn source(&mut self, row: Bytes);
    /// A row of the target.
    fn target(&mut self, row: Bytes);
    /// No more rows can be held: the comparison is given up.
    fn is_full(&self) -> bool {
        false
    }
}

/// What both sides were when they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The snapshot of the source.
    pub snapshot: Snapshot,
    /// The position that the target's snapshot has.
    pub position: Position,
    /// Source keys whose rows in the target lag behind that position: they are still to be read.
    pub pending: Vec<Key>,
    /// It is not known which rows lag behind.
    pub all_pending: bool,
}

/// How many rows a range has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeRows {
    /// Source rows, about; exactly that with `at_target`.
    pub max: u64,
    /// The target is to have no more rows in it either, where it has the source's order.
    pub at_target: bool,
}

/// Source keys with `after < key <= upto`, whose rows were read as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Inclusive upper bound, as text; `None` at the end of the table.
    pub upto: Option<Vec<String>>,
    /// The position that the target's snapshot had.
    pub position: Position,
    /// How long the source was busy with it.
    pub source_time: Duration,
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The SELECT gives the row, and the target lacks it.
    Missing,
    /// The target has the row, and the SELECT does not give it.
    Surplus,
    /// Both have the row, with other values.
    Different,
}

impl Difference {
    /// As in the ledger and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Surplus => "surplus",
            Self::Different => "different",
        }
    }
}

/// A digest of rows, 256 bits.
pub type Digest = [u8; 32];

/// An owner whose rows were looked at with both sides at one position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Owner values, in the form of the target; empty stands for rows that have no owner.
    pub owner: Key,
    /// Rows that are equal, by the target's key, with their digests.
    pub equal: Vec<(Key, Digest)>,
    /// Rows that differ.
    pub found: Vec<Finding>,
}

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it differs.
    pub difference: Difference,
    /// Values of the target's key, in the form of the target.
    pub key: Key,
    /// Output columns that differ, as indexes, ascending; empty unless [`Difference::Different`].
    pub columns: Vec<usize>,
    /// Digest of the row that the SELECT gives.
    pub source: Option<Digest>,
    /// Digest of the row in the target.
    pub target: Option<Digest>,
    /// The row that the SELECT gives, and the row in the target.
    pub rows: (Option<Bytes>, Option<Bytes>),
}

/// The rows of a range that were compared as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Index of the statement in the mapping.
    pub statement: usize,
    /// Exclusive lower bound of the source keys, as text; absent at the start of the table.
    pub after: Option<Vec<String>>,
    /// Inclusive upper bound; absent at the end.
    pub upto: Option<Vec<String>>,
    /// Rows that are equal.
    pub rows: u64,
    /// Sum of the digests of these rows.
    pub digest: Digest,
    /// The position of the target.
    pub position: Position,
    /// Owners whose rows were not equal, and that are still to be looked at.
    pub unsettled: Vec<Key>,
}

/// Where the sweep over a statement is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Number of the sweep, from 1; 0 before the first.
    pub number: u64,
    /// Upper bound of the last range that was compared; `None` at the start and at the end.
    pub upto: Option<Vec<String>>,
    /// The last range was compared.
    pub done: bool,
    /// When the oldest part of the evidence was gained: of this sweep, or of the one before it.
    pub oldest: Option<SystemTime>,
}

impl Sweep {
    /// It has begun, and its last range is still to be compared.
    pub fn is_under_way(&self) -> bool {
        self.number > 0 && !self.done
    }

    /// How many went to their end.
    pub fn passes(&self) -> u64 {
        self.number - u64::from(self.is_under_way())
    }
}

/// Somebody asked for a verification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// Target tables; empty means all.
    pub tables: Vec<String>,
    /// Source keys, as text, for the one table that is named.
    pub keys: Vec<Vec<String>>,
    /// Share of the ranges, in percent, that are compared; 100 without.
    pub sample: Option<f64>,
    /// What differs is repaired, however much it is.
    pub repair: bool,
}

/// What a verification found in the rows of one statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Target table.
    pub target: String,
    /// Source table.
    pub source: String,
    /// Rows that are equal.
    pub rows: u64,
    /// Sum of their digests, in hexadecimal.
    pub digest: String,
    /// Rows that the target lacks.
    pub missing: u64,
    /// Rows that the target should not have.
    pub surplus: u64,
    /// Rows with other values.
    pub different: u64,
    /// Keys that changed whenever they were looked at.
    pub unsettled: u64,
    /// Time spent on it, in seconds.
    pub seconds: f64,
    /// Position of the target at the end, as it is printed.
    pub position: String,
}

/// What the ledger knows of verification.
#[derive(Clone, Debug, Default)]
pub struct VerifyState {
    /// One for each statement.
    pub sweeps: Vec<Sweep>,
    /// Owners that were not settled, by statement.
    pub unsettled: BTreeMap<usize, Vec<Key>>,
    /// Owners with open findings, by statement; not all of them where they are very many.
    pub open: BTreeMap<usize, Vec<Key>>,
    /// Findings that are open.
    pub findings: u64,
}

/// Reads both sides, and remembers what came of it.
pub trait Verifier: Send {
    /// Output columns that copy the source's key, and those that are the target's key.
    fn layout(&self, statement: usize) -> (Option<Vec<usize>>, Vec<usize>);

    /// Ends what an error left unfinished on both sides.
    fn give_up(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// What the ledger knows.
    fn load(&mut self) -> impl Future<Output = Result<VerifyState>> + Send;

    /// Reads the rows of one statement on both sides: those of owners, in the form of the target, or all
    /// of a statement without owner columns. The target is read in one snapshot with its position, which
    /// is at least `not_before`.
    ///
    /// # Errors
    /// [`crate::Code::ChunkTooLarge`] when `into` is full before both sides are through.
    fn compare<C: Compare>(
        &mut self,
        statement: usize,
        owners: Option<Vec<Key>>,
        not_before: &Position,
        into: &mut C,
    ) -> impl Future<Output = Result<Seen>> + Send;

    /// Reads the rows of the next source keys after `after` on both sides, of a statement with owner
    /// columns: about so many source rows, or all that are left.
    ///
    /// # Errors
    /// [`crate::Code::ChunkTooLarge`] when `into` is full before both sides are through.
    fn range<C: Compare>(
        &mut self,
        statement: usize,
        after: Option<Vec<String>>,
        rows: RangeRows,
        into: &mut C,
    ) -> impl Future<Output = Result<Range>> + Send;

    /// About how many source rows of a statement take `bytes`; at least 1.
    fn rows_in(
        &mut self,
        statement: usize,
        bytes: usize,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// The owner values, in the form of the target, of source keys in binary form, in their order.
    fn owners(
        &mut self,
        statement: usize,
        keys: &[Key],
    ) -> impl Future<Output = Result<Vec<Key>>> + Send;

    /// The owner values of source keys given as text; `None` where a text is no value of the key's
    /// type.
    fn owners_of_texts(
        &mut self,
        statement: usize,
        keys: &[Vec<String>],
    ) -> impl Future<Output = Result<Option<Vec<Key>>>> + Send;

    /// Owners in the target of which the source has no row: the next ones after `after`, in the target's
    /// own order, among at most `max` that are looked at; and where to go on, if that was not all. None
    /// where ranges of source keys are ranges of owners, so that a comparison of ranges finds them.
    fn orphans(
        &mut self,
        statement: usize,
        after: Option<&Key>,
        max: usize,
    ) -> impl Future<Output = Result<(Vec<Key>, Option<Key>)>> + Send;

    /// Rows of the statement's target that belong to no source key and no statement: their owner values
    /// are NULL, or the conditions that tell statements apart do not hold. At most a thousand; none for
    /// a statement after the first one of its target.
    fn strays(&mut self, statement: usize) -> impl Future<Output = Result<Vec<Bytes>>> + Send;

    /// Records a range that was compared, as part of the sweep of this number, and notes its unsettled
    /// owners. With the last range of a sweep the evidence of earlier ones is dropped.
    fn record_range(
        &mut self,
        verified: &Verified,
        sweep: u64,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Records what was found in the rows of owners that are settled now. Open findings of theirs that
    /// are not found again are over. `position` is the one that the target had; that of now where it is `None`.
    fn record_owners(
        &mut self,
        statement: usize,
        settled: &[Settled],
        position: Option<Position>,
    ) -> impl Future<Output = Result<Recorded>> + Send;

    /// Owners of findings whose repair was asked for, and that are still open.
    fn under_repair(&mut self) -> impl Future<Output = Result<Vec<(usize, Key)>>> + Send;

    /// Owners of all open findings.
    fn open_findings(&mut self) -> impl Future<Output = Result<Vec<(usize, Key)>>> + Send;

    /// Has all open findings repaired; gives their number. `None`, and nothing is done, when they are
    /// more than `max`.
    fn repair(&mut self, max: u64) -> impl Future<Output = Result<Option<u64>>> + Send;

    /// Has the open findings of these target tables repaired, of all without names.
    fn repair_targets(&mut self, targets: &[String]) -> impl Future<Output = Result<u64>> + Send;

    /// A request that nobody works on, with its id.
    fn request(&mut self) -> impl Future<Output = Result<Option<(i64, Request)>>> + Send;

    /// How far a request is; the last time with `finished`.
    fn report(
        &mut self,
        request: i64,
        outcomes: &[Outcome],
        finished: bool,
    ) -> impl Future<Output = Result<()>> + Send;

    /// A request cannot be carried out.
    fn refuse(&mut self, request: i64, error: &Error) -> impl Future<Output = Result<()>> + Send;
}

/// What recording changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Findings that were not known.
    pub new: u64,
    /// Findings that are over by themselves: the rows are equal now.
    pub gone: u64,
    /// Findings that are over after a repair was asked for.
    pub repaired: u64,
    /// Findings that are open now.
    pub open: u64,
}
