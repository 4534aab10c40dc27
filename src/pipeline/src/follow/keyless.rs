//! Tables whose rows have no key: what the stream tells of them, and how their copy joins it.
//!
//! ```text
//!  stream   ──x1──┃────────x2──────┃───x3───x4────────────────╂──x5──▶
//!             window opens     snapshot S is told         watermark: the copy is whole
//!  copy                     S ─────rows──────rows───rows─┘
//! ```
//!
//! Rows cannot be dropped from the copy by their keys. But the ids of transactions tell what is in it: of each
//! one that S sees the copy has everything, and of each other one nothing.
//!
//! - Until S is told, changes of the table are passed over (x1, x2): S must see each of them. What came before
//!   the window is looked after as for a chunk (see [`crate::windows`]); if S misses one, another is taken.
//! - From then on a transaction is passed over when S sees it (x3), and applied when S does not (x4).
//! - What S sees was committed before the watermark, which is written when the copy has been read. From there
//!   on (x5) nothing is passed over, and the commit that has the watermark marks the copy as done.
//!
//! The target's rows go before the first ones come: what an attempt has copied that did not come to the end is
//! begun anew, with another snapshot. Rows that only come are applied at once, in between those of the copy.
//! Where rows go, too, the copy may not have brought them yet: changes are held back until it is read, and
//! when they are too many, the stream waits.

use regraft_core::change::OldImage;
use regraft_core::contract::ChangeStream;
use regraft_core::segment::ChunkDone;
use regraft_core::{Change, Code, Error, Keyless, Result, Rows, Snapshot, Token, Tuple};
use regraft_telemetry::metrics::ChangeOperation;
use tokio::sync::oneshot;

use super::{Follower, Joined};
use crate::fold::Fold;
use crate::windows::Closed;

/// Transactions that are remembered while a snapshot is taken; with more it is taken again.
const SKIPPED_MAX: usize = 100_000;

/// A table that is not copied yet.
#[derive(Default)]
pub(super) struct Copying {
    /// What the copy sees; `None` until it is told.
    snapshot: Option<Snapshot>,
    /// While a snapshot is taken: transactions whose changes were passed over.
    skipped: Option<Vec<u32>>,
    /// All rows were handed over.
    read: bool,
    /// A TRUNCATE that the copy does not see took its rows away.
    void: bool,
}

impl Copying {
    /// A change of this transaction is in the copy.
    fn passes_over(&mut self, xid: u32) -> bool {
        let Some(snapshot) = &self.snapshot else {
            if let Some(skipped) = self.skipped.as_mut().filter(|s| s.last() != Some(&xid)) {
                skipped.push(xid);
            }
            return true;
        };
        snapshot.sees(xid)
    }
}

/// From the reader of a copy.
pub(crate) enum CopyMessage {
    /// This is what it sees. Answered with true when the copy may begin, else another snapshot has to be taken.
    Begin { token: Token, table: usize, snapshot: Snapshot, accepted: oneshot::Sender<bool> },
    /// Rows of a statement of the table, by its place there. Answered when there is room for more.
    Rows { table: usize, statement: usize, rows: Rows, taken: oneshot::Sender<()> },
    /// That was all; the watermark is about to be put into the stream.
    Read { token: Token, table: usize, done: ChunkDone, outcome: oneshot::Sender<Joined> },
}

impl<S: ChangeStream, F: Fold> Follower<'_, S, F> {
    pub(super) fn copy_message(&mut self, message: CopyMessage) {
        match message {
            CopyMessage::Begin { token, table, snapshot, accepted } => {
                accepted.send(self.begin_copy(token, table, snapshot)).ok();
            }
            CopyMessage::Rows { table, statement, rows, taken } => {
                let of = self.plan.tables[table].statements.get(statement).copied();
                if let Some(statement) = of
                    && self.tables[table].copying.as_ref().is_some_and(|copying| !copying.void)
                {
                    self.batch.bring(table, statement, &rows);
                    self.stirred();
                    self.taken.push(taken);
                }
            }
            CopyMessage::Read { token, table, done, outcome } => {
                let Some(copying) = &mut self.tables[table].copying else { return };
                copying.read = true;
                self.batch.release(table);
                self.stirred();
                self.copied.insert(token, (table, done, outcome));
            }
        }
    }

    /// A snapshot is about to be taken.
    pub(super) fn opens_copy(&mut self, table: usize) {
        if let Some(copying) = &mut self.tables[table].copying {
            copying.skipped = Some(Vec::new());
        }
    }

    fn begin_copy(&mut self, token: Token, table: usize, snapshot: Snapshot) -> bool {
        let joins = matches!(self.windows.close(token, &snapshot), Some(Closed::Join(_)));
        let state = &mut self.tables[table];
        let Some(copying) = state.copying.as_mut().filter(|_| state.anew_from.is_none()) else {
            return false;
        };
        let sees_all = copying.skipped.take().is_some_and(|skipped| {
            skipped.len() < SKIPPED_MAX && skipped.iter().all(|&xid| snapshot.sees(xid))
        });
        if !joins || !sees_all {
            self.reporter.record().chunk_reread();
            return false;
        }
        copying.snapshot = Some(snapshot);
        // Of a copy that was given up.
        self.batch.clear(table);
        self.stirred();
        true
    }

    /// The watermark of a copy; false when it is none.
    pub(super) fn copied(&mut self, token: Token) -> bool {
        let Some((table, done, outcome)) = self.copied.remove(&token) else { return false };
        self.tables[table].copying = None;
        self.pending.chunks_done.push(done);
        self.stirred();
        outcome.send(Joined::Joined).ok();
        true
    }

    /// More changes are held back than there is room for: the stream has to wait for a copy.
    pub(super) fn is_stalled(&self) -> bool {
        self.batch.held_bytes() > self.options.batch_bytes
    }

    /// Sends what a copy has brought, where the batch does not close by itself. False when the applier is gone.
    pub(super) async fn make_room(&mut self) -> Result<bool> {
        let stuck = self.is_stalled() && (self.transaction.is_some() || self.whole);
        let full = self.batch.bytes() >= self.options.batch_bytes;
        let waits = !self.taken.is_empty() && (stuck || full);
        if waits { self.flush().await } else { Ok(true) }
    }

    /// A change of a row without a key.
    pub(super) fn counted(
        &mut self,
        (table, keyless): (usize, Keyless),
        change: &Change,
    ) -> Result<()> {
        // For comparisons any row may be touched.
        self.windows.truncate(table);
        if self.passes_over(table) {
            return Ok(());
        }
        match (change, keyless) {
            (Change::Insert { new, .. }, _) => {
                self.count(table, ChangeOperation::Insert);
                self.add(table, keyless, new.detach(), 1);
            }
            (Change::Update { old, new, .. }, Keyless::Counted) => {
                self.count(table, ChangeOperation::Update);
                let old = self.whole_old(table, old.as_ref())?;
                let new = new.filled_from(old, |_| true);
                if new.has_unchanged() {
                    return Err(self.not_whole(table));
                }
                self.add(table, keyless, old.detach(), -1);
                self.add(table, keyless, new, 1);
            }
            (Change::Delete { old, .. }, Keyless::Counted) => {
                self.count(table, ChangeOperation::Delete);
                let old = self.whole_old(table, Some(old))?.detach();
                self.add(table, keyless, old, -1);
            }
            // Published for the sake of another statement.
            _ => {}
        }
        Ok(())
    }

    /// All rows of a table without a key go.
    pub(super) fn truncated(&mut self, table: usize) {
        self.windows.truncate(table);
        if self.passes_over(table) {
            return;
        }
        self.count(table, ChangeOperation::Truncate);
        self.batch.truncate(table);
        if let Some(copying) = &mut self.tables[table].copying {
            copying.void = true;
        }
    }

    fn passes_over(&mut self, table: usize) -> bool {
        let xid = self.transaction.as_ref().and_then(|transaction| transaction.xid);
        let copying = self.tables[table].copying.as_mut();
        copying.zip(xid).is_some_and(|(copying, xid)| copying.passes_over(xid))
    }

    fn add(&mut self, table: usize, keyless: Keyless, image: Tuple, by: i64) {
        match &self.tables[table].copying {
            Some(copying) if keyless == Keyless::Counted && !copying.read => {
                self.batch.hold(table, image, by);
            }
            _ => self.batch.count(table, image, by),
        }
    }

    fn whole_old<'o>(&self, table: usize, old: Option<&'o OldImage>) -> Result<&'o Tuple> {
        match old {
            Some(OldImage::Full(old)) if !old.has_unchanged() => Ok(old),
            _ => Err(self.not_whole(table)),
        }
    }

    fn not_whole(&self, table: usize) -> Error {
        let name = &self.plan.tables[table].table;
        let what =
            "a change does not carry the whole old row, by which rows without a key are told";
        Error::new(Code::SourceKeyMissing, what).at(format!("{name}{}", self.place())).remedy(format!(
            "ALTER TABLE {} REPLICA IDENTITY FULL, and start again with `regraft run --recopy {name}`",
            name.quoted()
        ))
    }
}
