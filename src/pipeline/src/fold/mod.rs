//! What is made of changes before a sink gets them: one trait, and two folds behind it, of which the sink says which one
//! it takes ([`regraft_core::Takes::form`]).
//!
//! | fold | what it gives | for |
//! |---|---|---|
//! | `net.rs` | what came of all changes of a batch, for each source row | targets that have rows |
//! | `log.rs` | each change by itself, in order | targets that have a history |
//!
//! A fold takes what the follower gives it in the order of the stream, keeps row images, and maps them when it is
//! drained. What a batch is, when it ends, which changes are passed over and which rows of a chunk the stream has
//! touched is the follower's matter, and the same for both. The follower is compiled for each of them: a fold that is
//! asked for every change must not cost a call through a table.

mod counts;
pub(crate) mod log;
pub(crate) mod net;

use regraft_core::change::OldImage;
use regraft_core::segment::{Payload, Route};
use regraft_core::{ChunkData, ChunkScope, Error, Key, Result, Rows, Segment, Transaction, Tuple};

use crate::plan::Plan;
use crate::windows::Touched;

/// See the module. Tables are told by their index in the plan.
pub(crate) trait Fold {
    /// The changes to come are those of this transaction.
    fn begins(&mut self, _: &Transaction) {
        // Only those who tell changes apart have to know.
    }

    /// The next change of the transaction comes, of whichever table.
    fn next_change(&mut self) {}

    /// There is nothing to write.
    fn is_empty(&self) -> bool;

    /// Size, as far as [`crate::Options::batch_rows`] limits it.
    fn rows(&self) -> usize;

    /// Memory held, roughly.
    fn bytes(&self) -> usize;

    /// A new row.
    fn insert(&mut self, table: usize, key: Key, new: &Tuple);

    /// A changed row whose key is as before.
    fn update(&mut self, table: usize, key: Key, old: Option<&OldImage>, new: &Tuple);

    /// True when a row that changes its key would be incomplete, and has to stand alone: the caller drains before it
    /// calls [`Fold::rekey`], and after.
    fn rekey_is_incomplete(&self, table: usize, old: &Key, new: &Tuple) -> bool;

    /// A changed row with a new key.
    fn rekey(
        &mut self,
        table: usize,
        old_key: Key,
        new_key: Key,
        old: Option<&OldImage>,
        new: &Tuple,
    ) -> Netting;

    /// A deleted row.
    fn delete(&mut self, table: usize, key: Key, old: &OldImage);

    /// A row more (`by` is 1) or fewer (-1) of a table whose rows have no key.
    fn count(&mut self, table: usize, image: Tuple, by: i64);

    /// The same, kept back until the rows of the copy are there that it may be about.
    fn hold(&mut self, table: usize, image: Tuple, by: i64);

    /// The rows of the copy are there: what was kept back follows them.
    fn release(&mut self, table: usize);

    /// Memory of what is kept back.
    fn held_bytes(&self) -> usize;

    /// Rows of the copy of such a table, as they go to the target.
    fn bring(&mut self, table: usize, statement: usize, rows: &Rows);

    /// All rows of the table went at the source. What is kept back goes with them, for the copy that it waits for
    /// will never be whole.
    fn truncate(&mut self, table: usize);

    /// The rows of the table go from the target, because they are copied anew.
    fn clear(&mut self, table: usize);

    /// Maps what is there, and is empty then. `complete` says for each source table whether all its rows are in the
    /// target.
    ///
    /// # Errors
    /// When an expression fails for a row; the place is the statement's, and names the key columns.
    /// [`regraft_core::Code::TargetCannotTake`] when all rows of a table went, and the sink does not take that.
    fn drain(&mut self, plan: &Plan, complete: &[bool]) -> Result<Segment>;

    /// The rows of a chunk without those that the stream carries, and their number. Of a chunk of keys, those that
    /// the stream did not touch are settled, whether or not there is a row.
    fn join(
        &self,
        plan: &Plan,
        table: usize,
        scope: &ChunkScope,
        data: ChunkData,
        touched: &Touched,
    ) -> (Payload, u64);
}

/// Whether the batch has to be drained before and after a change that nothing may be netted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Netting {
    /// The change was taken in with the rest.
    Netted,
    /// The change stands alone: drain now, before the next change.
    DrainNow,
}

/// The old image, if it is whole.
fn full(old: Option<&OldImage>) -> Option<Tuple> {
    match old {
        Some(OldImage::Full(tuple)) => Some(tuple.detach()),
        _ => None,
    }
}

/// Where a row failed: the statement's place, and by which columns the row can be found.
fn locate(error: Error, route: &Route, key: &[String]) -> Error {
    if error.place().is_some() {
        return error;
    }
    let key = match key {
        [] => String::new(),
        key => format!(" (key {})", key.join(", ")),
    };
    error.at(format!("{}, a row of {}{key}", route.place, route.source))
}
