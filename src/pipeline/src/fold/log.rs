//! Each change by itself, in the order of the stream.
//!
//! Nothing is netted away: what one change made of a row is there although the next one made something else of it.
//! Before a change is mapped, its row image may lack values, which are then taken from the image before, if that is in
//! the batch. What still cannot be told from the stream is no entry: the key is read, unless a later change of the
//! batch tells the row whole.
//!
//! ```text
//!   insert            → nothing before, the rows after
//!   update            → the rows before if the stream has them, the rows after
//!   key change        → the old key's rows go, then the new key's come
//!   delete            → no rows after
//!   truncate          → all rows of the statement go; earlier changes stay where they are
//! ```
//!
//! What a change says does not depend on where batches end, except for values that are filled in: without transactions
//! it may be said again in another batch, and has to be known again.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use regraft_core::change::OldImage;
use regraft_core::segment::{Cause, Entry, EntryKind, KeysToRead, Payload};
use regraft_core::{
    ChunkData, ChunkScope, Key, Mapped, Mapper, Result, Row, Rows, Segment, Takes, Transaction,
    Tuple,
};

use super::counts::undecided;
use super::{Fold, Netting, full, locate};
use crate::plan::{Plan, PlannedTable};
use crate::windows::Touched;

/// Bookkeeping per change, roughly: the key, the cause, an entry for it.
const STEP_BYTES: usize = 240;

/// Changes since the last drain.
pub(crate) struct Log {
    takes: Takes,
    transaction: Option<Arc<Transaction>>,
    /// Changes that the stream gave of it.
    changes: u64,
    steps: Vec<Step>,
    /// The last step of each key, from whose image values are filled in.
    last: HashTable<usize>,
    hasher: DefaultHashBuilder,
    rows: usize,
    bytes: usize,
    /// Of each table: steps that wait until its copy is read. They outlive a drain.
    held: Vec<Held>,
}

#[derive(Default)]
struct Held {
    steps: Vec<Step>,
    bytes: usize,
}

struct Step {
    table: usize,
    cause: Option<Cause>,
    what: What,
}

#[allow(clippy::large_enum_variant, reason = "nearly every step is a change")]
enum What {
    /// A row became another one, or came, or went.
    Change { key: Option<Key>, before: Before, now: Option<Tuple> },
    /// Rows of the copy of a table without a key, as they go to the target.
    Copied { statement: usize, rows: Rows },
    /// All rows went.
    Cleared,
}

/// The row before a change.
enum Before {
    /// There was none.
    Nothing,
    Row(Tuple),
    /// The stream did not carry it whole.
    Unknown,
}

impl Before {
    fn of(old: Option<&OldImage>) -> Before {
        full(old).map_or(Before::Unknown, Before::Row)
    }
}

impl Step {
    fn key(&self) -> Option<&Key> {
        match &self.what {
            What::Change { key, .. } => key.as_ref(),
            What::Copied { .. } | What::Cleared => None,
        }
    }

    fn rows(&self) -> usize {
        match &self.what {
            What::Copied { rows, .. } => rows.len(),
            What::Change { .. } | What::Cleared => 1,
        }
    }

    fn bytes(&self) -> usize {
        let size = |tuple: Option<&Tuple>| tuple.map_or(0, Tuple::size);
        match &self.what {
            What::Change { key, before, now } => {
                let before = match before {
                    Before::Row(before) => Some(before),
                    Before::Nothing | Before::Unknown => None,
                };
                let key = key.as_ref().map_or(0, |key| key.0.len());
                STEP_BYTES + key + size(before) + size(now.as_ref())
            }
            What::Copied { rows, .. } => rows.size() + rows.len() * STEP_BYTES,
            What::Cleared => STEP_BYTES,
        }
    }
}

impl Log {
    /// Nothing yet, for a plan of `tables` source tables, and a sink that takes this.
    pub(crate) fn new(tables: usize, takes: Takes) -> Self {
        Self {
            takes,
            transaction: None,
            changes: 0,
            steps: Vec::new(),
            last: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            rows: 0,
            bytes: 0,
            held: (0..tables).map(|_| Held::default()).collect(),
        }
    }

    /// The change that comes now.
    fn cause(&self) -> Option<Cause> {
        let transaction = self.transaction.clone()?;
        Some(Cause { transaction, number: self.changes.saturating_sub(1) })
    }

    /// A change of a row with a key.
    fn change(&mut self, table: usize, key: Key, before: Before, now: Option<Tuple>) {
        let (at, steps, hasher) = (self.steps.len(), &self.steps, &self.hasher);
        let hash = |table: usize, key: Option<&Key>| hasher.hash_one((table, key));
        let hashed = hash(table, Some(&key));
        match self.last.find_mut(hashed, |&last| is_of(&steps[last], table, &key)) {
            Some(last) => *last = at,
            None => {
                let of = |&last: &usize| hash(steps[last].table, steps[last].key());
                self.last.insert_unique(hashed, at, of);
            }
        }
        let what = What::Change { key: Some(key), before, now };
        self.push(Step { table, cause: self.cause(), what });
    }

    fn push(&mut self, step: Step) {
        self.rows += step.rows();
        self.bytes += step.bytes();
        self.steps.push(step);
    }

    /// The image with its unchanged columns taken from the row's earlier image in this batch.
    fn filled(&self, table: usize, key: &Key, new: &Tuple) -> Tuple {
        if !new.has_unchanged() {
            return new.detach();
        }
        let hash = self.hasher.hash_one((table, Some(key)));
        let last = self.last.find(hash, |&last| is_of(&self.steps[last], table, key));
        match last.map(|&last| &self.steps[last].what) {
            Some(What::Change { now: Some(earlier), .. }) => new.filled_from(earlier, |_| true),
            _ => new.detach(),
        }
    }

    fn counted(&self, table: usize, image: Tuple, by: i64) -> Step {
        let (before, now) = match by {
            ..0 => (Before::Row(image), None),
            _ => (Before::Nothing, Some(image)),
        };
        Step { table, cause: self.cause(), what: What::Change { key: None, before, now } }
    }
}

fn is_of(step: &Step, table: usize, key: &Key) -> bool {
    step.table == table && step.key() == Some(key)
}

impl Fold for Log {
    fn begins(&mut self, transaction: &Transaction) {
        self.transaction = Some(Arc::new(transaction.clone()));
        self.changes = 0;
    }

    fn next_change(&mut self) {
        self.changes += 1;
    }

    fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Changes, and rows of copies.
    fn rows(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn insert(&mut self, table: usize, key: Key, new: &Tuple) {
        self.change(table, key, Before::Nothing, Some(new.detach()));
    }

    fn update(&mut self, table: usize, key: Key, old: Option<&OldImage>, new: &Tuple) {
        let image = self.filled(table, &key, new);
        self.change(table, key, Before::of(old), Some(image));
    }

    fn rekey_is_incomplete(&self, _: usize, _: &Key, _: &Tuple) -> bool {
        // No rows move in a log: the new key's are read.
        false
    }

    fn rekey(
        &mut self,
        table: usize,
        old_key: Key,
        new_key: Key,
        old: Option<&OldImage>,
        new: &Tuple,
    ) -> Netting {
        let image = self.filled(table, &old_key, new);
        self.change(table, old_key, Before::of(old), None);
        self.change(table, new_key, Before::Nothing, Some(image));
        Netting::Netted
    }

    fn delete(&mut self, table: usize, key: Key, old: &OldImage) {
        self.change(table, key, Before::of(Some(old)), None);
    }

    fn count(&mut self, table: usize, image: Tuple, by: i64) {
        let step = self.counted(table, image, by);
        self.push(step);
    }

    fn hold(&mut self, table: usize, image: Tuple, by: i64) {
        let step = self.counted(table, image, by);
        let held = &mut self.held[table];
        held.bytes += step.bytes();
        held.steps.push(step);
    }

    fn release(&mut self, table: usize) {
        let held = std::mem::take(&mut self.held[table]);
        held.steps.into_iter().for_each(|step| self.push(step));
    }

    fn held_bytes(&self) -> usize {
        self.held.iter().map(|held| held.bytes).sum()
    }

    fn bring(&mut self, table: usize, statement: usize, rows: &Rows) {
        let what = What::Copied { statement, rows: rows.clone() };
        self.push(Step { table, cause: None, what });
    }

    fn truncate(&mut self, table: usize) {
        self.held[table] = Held::default();
        self.push(Step { table, cause: self.cause(), what: What::Cleared });
    }

    fn clear(&mut self, table: usize) {
        self.held[table] = Held::default();
        self.push(Step { table, cause: None, what: What::Cleared });
    }

    fn drain(&mut self, plan: &Plan, _: &[bool]) -> Result<Segment> {
        let mut drained =
            Drained { plan, takes: self.takes, entries: Vec::new(), to_read: BTreeMap::new() };
        self.last.clear();
        (self.rows, self.bytes) = (0, 0);
        std::mem::take(&mut self.steps).into_iter().try_for_each(|step| drained.step(step))?;
        Ok(drained.finish())
    }

    fn join(
        &self,
        plan: &Plan,
        table: usize,
        scope: &ChunkScope,
        data: ChunkData,
        touched: &Touched,
    ) -> (Payload, u64) {
        let (mut entries, mut rows) = (Vec::new(), 0);
        for (&statement, read) in plan.tables[table].statements.iter().zip(data.statements) {
            let mut of: BTreeMap<&Key, Rows> = BTreeMap::new();
            if let ChunkScope::Keys(keys) = scope {
                of.extend(keys.iter().map(|key| (key, Rows::new())));
            }
            for (key, row) in read.keys.iter().zip(read.rows.iter()) {
                of.entry(key).or_default().push(row);
            }
            let kind = match scope {
                ChunkScope::Keys(_) => EntryKind::Read,
                ChunkScope::Range { .. } | ChunkScope::Traced(_) => EntryKind::Copied,
            };
            for (key, after) in of.into_iter().filter(|(key, _)| !touched.covers(key)) {
                rows += after.len() as u64;
                let key = Some(key.clone());
                entries.push(Entry { statement, kind, key, before: None, after, cause: None });
            }
        }
        (Payload::Log(entries), rows)
    }
}

/// What a log becomes while it is drained.
struct Drained<'a> {
    plan: &'a Plan,
    takes: Takes,
    entries: Vec<Entry>,
    /// By table: keys whose last change was not whole.
    to_read: BTreeMap<usize, BTreeSet<Key>>,
}

impl Drained<'_> {
    fn step(&mut self, Step { table, cause, what }: Step) -> Result<()> {
        let planned = &self.plan.tables[table];
        match what {
            What::Cleared => {
                self.to_read.remove(&table);
                for &statement in &planned.statements {
                    self.takes.clears(&self.plan.routes[statement])?;
                    let (kind, after) = (EntryKind::Cleared, Rows::new());
                    let cause = cause.clone();
                    self.entries.push(Entry {
                        statement,
                        kind,
                        key: None,
                        before: None,
                        after,
                        cause,
                    });
                }
            }
            What::Copied { statement, rows } => self.entries.extend(rows.iter().map(|row| Entry {
                statement,
                kind: EntryKind::Copied,
                key: None,
                before: None,
                after: one(row),
                cause: None,
            })),
            What::Change { key, before, now } => {
                let mut whole = true;
                for &statement in &planned.statements {
                    let route = &self.plan.routes[statement];
                    let mapper = self.plan.mappers[statement].as_ref();
                    let after = after(mapper, now.as_ref());
                    let after = after.map_err(|error| locate(error, route, &planned.key))?;
                    let Some(after) = after else {
                        whole = false;
                        continue;
                    };
                    let before = rows_before(mapper, &before);
                    let known_empty = before.as_ref().is_some_and(Rows::is_empty);
                    if known_empty && after.is_empty() {
                        continue;
                    }
                    let (kind, key, cause) = (EntryKind::Change, key.clone(), cause.clone());
                    self.entries.push(Entry { statement, kind, key, before, after, cause });
                }
                self.settle(table, planned, key, whole)?;
            }
        }
        Ok(())
    }

    /// A row is read if its last change was not whole for some statement.
    fn settle(
        &mut self,
        table: usize,
        planned: &PlannedTable,
        key: Option<Key>,
        whole: bool,
    ) -> Result<()> {
        match key {
            Some(key) if whole => {
                if let Some(keys) = self.to_read.get_mut(&table) {
                    keys.remove(&key);
                }
            }
            Some(key) => drop(self.to_read.entry(table).or_default().insert(key)),
            None if whole => {}
            None => return Err(undecided().at(planned.table.to_string())),
        }
        Ok(())
    }

    fn finish(self) -> Segment {
        let to_read = self.to_read.into_iter().filter(|(_, keys)| !keys.is_empty());
        let to_read = to_read.map(|(table, keys)| KeysToRead {
            table: self.plan.tables[table].table.clone(),
            scope: ChunkScope::Keys(keys.into_iter().collect()),
        });
        Segment {
            to_read: to_read.collect(),
            payload: Payload::Log(self.entries),
            ..Segment::default()
        }
    }
}

/// The rows of an image; `None` when it lacks what decides them. A part of a contribution is no entry.
fn after(mapper: &dyn Mapper, image: Option<&Tuple>) -> Result<Option<Rows>> {
    let mut rows = Rows::new();
    let Some(image) = image else { return Ok(Some(rows)) };
    Ok(match mapper.map(image, &mut rows)? {
        Mapped::Rows(_) => Some(rows),
        Mapped::Patch(_) | Mapped::Read => None,
    })
}

/// The rows from before a change. They are not known either when the statement fails for the old row: it is the new
/// one that has to be written, and may have been mended.
fn rows_before(mapper: &dyn Mapper, before: &Before) -> Option<Rows> {
    match before {
        Before::Nothing => Some(Rows::new()),
        Before::Row(image) => after(mapper, Some(image)).ok().flatten(),
        Before::Unknown => None,
    }
}

fn one(row: Row<'_>) -> Rows {
    let mut rows = Rows::new();
    rows.push(row);
    rows
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
