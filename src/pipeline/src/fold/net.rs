//! The net effect of source transactions, per source row key.
//!
//! Changes are netted on the *source* row before anything is evaluated, so that a row that changes a
//! hundred times in a batch is mapped once. What is kept per key is whether the target may hold
//! contributions of it from before the batch, the row's last image, and (under replica identity
//! FULL) the image from before the batch:
//!
//! ```text
//!   insert            → not there before, present
//!   update            → there before, present      (unchanged columns filled from an earlier image)
//!   key change        → delete of the old key, insert of the new one
//!   delete            → there before, absent;      nothing at all if it was not there before
//!   truncate          → all keys forgotten; nothing was there before from now on
//! ```
//!
//! [`Net::drain`] maps the surviving images, which gives a [`Segment`]. It may be drained in
//! the middle of a source transaction: the sink keeps the target transaction open until the segment
//! with the commit.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use regraft_core::change::OldImage;
use regraft_core::segment::{KeysToRead, PatchGroup, Payload, Route, Segment, TableWrites};
use regraft_core::{
    ChunkData, ChunkScope, Code, Error, Key, Mapped, Mapper, Result, Rows, Takes, Tuple,
};

use super::counts::{Counted, Counts};
use super::{Fold, Netting, full, locate};
use crate::plan::Plan;
use crate::windows::Touched;

/// Bookkeeping per key, roughly: two keys, the entry, the hash slot.
const ENTRY_BYTES: usize = 160;

/// Net changes since the last drain.
pub(crate) struct Net {
    takes: Takes,
    tables: Vec<TableBatch>,
    /// Of tables whose rows have no key: what waits until their copy is read. It outlives a drain.
    held: Vec<Counts>,
    bytes: usize,
    rows: usize,
}

#[derive(Default)]
struct TableBatch {
    cleared: bool,
    index: HashMap<Key, usize>,
    entries: Vec<Entry>,
    /// Instead, of a table whose rows have no key.
    counted: Counted,
}

struct Entry {
    key: Key,
    /// The target may hold contributions of this key from before the batch.
    existed: bool,
    /// The row from before the batch, when the stream carried it.
    before: Option<Tuple>,
    now: Option<Tuple>,
    /// The row had this key, and its new image is incomplete: contributions move with it.
    moved_from: Option<Key>,
}

impl Net {
    /// Nothing yet, for a plan of `tables` source tables, and a sink that takes this.
    pub(crate) fn new(tables: usize, takes: Takes) -> Self {
        let held = (0..tables).map(|_| Counts::default()).collect();
        let tables = (0..tables).map(|_| TableBatch::default()).collect();
        Self { takes, tables, held, bytes: 0, rows: 0 }
    }

    fn counting(&mut self, table: usize, count: impl FnOnce(&mut Counted)) {
        let counted = &mut self.tables[table].counted;
        let before = (counted.counts.changes(), counted.counts.bytes());
        count(counted);
        self.rows += counted.counts.changes() - before.0;
        self.bytes += counted.counts.bytes() - before.1;
    }

    fn entry(&mut self, table: usize, key: &Key) -> Option<&mut Entry> {
        let batch = self.tables.get_mut(table)?;
        batch.index.get(key).and_then(|&at| batch.entries.get_mut(at))
    }

    /// The image with its unchanged columns taken from the row's earlier image in this batch.
    fn filled(&self, table: usize, key: &Key, new: &Tuple) -> Tuple {
        let batch = &self.tables[table];
        let earlier = batch.index.get(key).and_then(|&at| batch.entries[at].now.as_ref());
        match earlier {
            Some(earlier) if new.has_unchanged() => new.filled_from(earlier, |_| true),
            _ => new.detach(),
        }
    }

    /// `there_before` says what the change proves when it is the first of its key.
    fn set(
        &mut self,
        table: usize,
        key: Key,
        before: Option<Tuple>,
        now: Option<Tuple>,
        there_before: bool,
    ) {
        let batch = &mut self.tables[table];
        let size = |tuple: &Option<Tuple>| tuple.as_ref().map_or(0, Tuple::size);
        self.bytes += size(&now);
        if let Some(&at) = batch.index.get(&key) {
            let entry = &mut batch.entries[at];
            self.bytes = self.bytes.saturating_sub(size(&entry.now));
            entry.now = now;
            return;
        }
        self.bytes += ENTRY_BYTES + key.0.len() * 2 + size(&before);
        self.rows += 1;
        batch.index.insert(key.clone(), batch.entries.len());
        // Without transactions, what was netted away may have been written before the last attempt ended.
        let existed = (there_before || !self.takes.transactions) && !batch.cleared;
        batch.entries.push(Entry { key, existed, before, now, moved_from: None });
    }
}

impl Fold for Net {
    fn is_empty(&self) -> bool {
        self.rows == 0 && self.tables.iter().all(|table| !table.cleared)
    }

    /// Source rows.
    fn rows(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn insert(&mut self, table: usize, key: Key, new: &Tuple) {
        self.set(table, key, None, Some(new.detach()), false);
    }

    fn update(&mut self, table: usize, key: Key, old: Option<&OldImage>, new: &Tuple) {
        let image = self.filled(table, &key, new);
        self.set(table, key, full(old), Some(image), true);
    }

    fn rekey_is_incomplete(&self, table: usize, old: &Key, new: &Tuple) -> bool {
        new.has_unchanged() && self.filled(table, old, new).has_unchanged()
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
        if image.has_unchanged() {
            self.set(table, new_key.clone(), None, Some(image), true);
            if let Some(entry) = self.entry(table, &new_key) {
                entry.moved_from = Some(old_key);
            }
            return Netting::DrainNow;
        }
        self.set(table, old_key, full(old), None, true);
        self.set(table, new_key, None, Some(image), false);
        Netting::Netted
    }

    fn delete(&mut self, table: usize, key: Key, old: &OldImage) {
        self.set(table, key, full(Some(old)), None, true);
    }

    fn count(&mut self, table: usize, image: Tuple, by: i64) {
        self.counting(table, |counted| counted.counts.add(image, by));
    }

    fn hold(&mut self, table: usize, image: Tuple, by: i64) {
        self.held[table].add(image, by);
    }

    fn release(&mut self, table: usize) {
        let held = std::mem::take(&mut self.held[table]);
        self.counting(table, |counted| counted.counts.take_in(held));
    }

    fn held_bytes(&self) -> usize {
        self.held.iter().map(Counts::bytes).sum()
    }

    fn bring(&mut self, table: usize, statement: usize, rows: &Rows) {
        let copied = self.tables[table].counted.copied.entry(statement).or_default();
        rows.iter().for_each(|row| copied.push(row));
        self.rows += rows.len();
        self.bytes += rows.size();
    }

    fn truncate(&mut self, table: usize) {
        self.clear(table);
    }

    fn clear(&mut self, table: usize) {
        let batch = &mut self.tables[table];
        self.rows -= batch.entries.len() + batch.counted.len();
        *batch = TableBatch { cleared: true, ..TableBatch::default() };
        self.held[table] = Counts::default();
    }

    fn drain(&mut self, plan: &Plan, complete: &[bool]) -> Result<Segment> {
        let mut segment = Segment::default();
        let mut all = Vec::new();
        for (at, planned) in plan.tables.iter().enumerate() {
            let batch = std::mem::take(&mut self.tables[at]);
            if batch.entries.is_empty() && batch.counted.is_empty() && !batch.cleared {
                continue;
            }
            if batch.cleared {
                let mut statements = planned.statements.iter();
                statements.try_for_each(|&statement| self.takes.clears(&plan.routes[statement]))?;
            }
            if planned.keyless.is_some() {
                batch.counted.drain(plan, planned, batch.cleared, &mut all)?;
                continue;
            }
            let mut to_read = BTreeSet::new();
            let together = planned.together.iter().flatten();
            let together: Vec<_> = together.copied().collect();
            let alone = planned.statements.iter().filter(|at| !together.contains(at));
            let groups = planned.together.iter().cloned().chain(alone.map(|&at| vec![at]));
            for group in groups {
                let writer = |&statement: &usize| {
                    let (route, mapper) = (&plan.routes[statement], &plan.mappers[statement]);
                    let mut writer = Writer::new(route, mapper.as_ref(), complete[at], self.takes);
                    writer.writes.statement = statement;
                    writer.writes.clear = batch.cleared;
                    writer
                };
                let mut writers: Vec<_> = group.iter().map(writer).collect();
                for entry in &batch.entries {
                    let whole = write_together(&mut writers, entry);
                    if !whole.map_err(|(e, route)| locate(e, route, &planned.key))? {
                        to_read.insert(entry.key.clone());
                    }
                }
                let writers = writers.into_iter().filter(Writer::has_writes);
                all.extend(writers.map(Writer::finish));
            }
            if !to_read.is_empty() {
                let keys = to_read.into_iter().collect();
                let scope = ChunkScope::Keys(keys);
                segment.to_read.push(KeysToRead { table: planned.table.clone(), scope });
            }
        }
        self.bytes = 0;
        self.rows = 0;
        segment.payload = Payload::Net(all);
        Ok(segment)
    }

    fn join(
        &self,
        plan: &Plan,
        table: usize,
        scope: &ChunkScope,
        data: ChunkData,
        touched: &Touched,
    ) -> (Payload, u64) {
        let (mut all, mut rows) = (Vec::new(), 0);
        for (&statement, read) in plan.tables[table].statements.iter().zip(data.statements) {
            // Such a statement is streamed, from whole old and new rows: nothing of it is read by key.
            let by_key = matches!(scope, ChunkScope::Keys(_));
            if by_key && plan.routes[statement].owner.is_none() {
                continue;
            }
            let mut writes = TableWrites { statement, ..TableWrites::default() };
            if let ChunkScope::Keys(keys) = scope {
                let settled = keys.iter().filter(|key| !touched.covers(key));
                settled.for_each(|key| writes.replaced.push(key.row()));
            }
            if read.keys.iter().any(|key| touched.covers(key)) {
                for (key, row) in read.keys.iter().zip(read.rows.iter()) {
                    if !touched.covers(key) {
                        writes.upserts.push(row);
                    }
                }
            } else {
                writes.upserts = read.rows;
            }
            rows += writes.upserts.len() as u64;
            if !writes.upserts.is_empty() || !writes.replaced.is_empty() {
                all.push(writes);
            }
        }
        (Payload::Net(all), rows)
    }
}

/// Writes what a source row gives for each of the statements; what is to be read, for one is for all.
/// False then.
fn write_together<'a>(
    writers: &mut [Writer<'a>],
    entry: &Entry,
) -> Result<bool, (Error, &'a Route)> {
    let marks: Vec<_> = writers.iter_mut().map(Writer::mark).collect();
    let mut whole = true;
    for writer in writers.iter_mut() {
        whole = whole && writer.entry(entry).map_err(|error| (error, writer.route))?;
    }
    if whole && !parted(writers, &marks, entry) {
        return Ok(true);
    }
    for (writer, mark) in writers.iter_mut().zip(marks) {
        writer.take_back(mark);
        writer.leave(entry);
    }
    Ok(false)
}

/// Rows of one statement may refer to a row of another one that is only patched: it may not be there yet,
/// or get its new key only after them.
fn parted(writers: &[Writer<'_>], marks: &[[usize; 4]], entry: &Entry) -> bool {
    let patched = writers.iter().any(|writer| writer.patched.is_some());
    let sure = writers.iter().all(|writer| writer.complete) && entry.moved_from.is_none();
    let comes = |(writer, [.., upserts, fresh]): (&Writer<'_>, &[usize; 4])| {
        writer.writes.upserts.len() > *upserts || writer.writes.fresh.len() > *fresh
    };
    patched && !sure && writers.iter().zip(marks).any(comes)
}

/// Collects the writes of one statement.
struct Writer<'a> {
    route: &'a Route,
    mapper: &'a dyn Mapper,
    complete: bool,
    takes: Takes,
    writes: TableWrites,
    patches: BTreeMap<Vec<usize>, Rows>,
    /// The columns of the patch for the last entry.
    patched: Option<Vec<usize>>,
}

impl<'a> Writer<'a> {
    fn new(route: &'a Route, mapper: &'a dyn Mapper, complete: bool, takes: Takes) -> Self {
        let (writes, patches) = (TableWrites::default(), BTreeMap::new());
        Self { route, mapper, complete, takes, writes, patches, patched: None }
    }

    /// What is written so far: whole rows by kind.
    fn mark(&mut self) -> [usize; 4] {
        self.patched = None;
        self.kinds().map(|rows| rows.len())
    }

    /// Takes back what was written since the mark.
    fn take_back(&mut self, mark: [usize; 4]) {
        self.kinds().into_iter().zip(mark).for_each(|(rows, len)| rows.truncate(len));
        let Some(columns) = self.patched.take() else { return };
        if let Some(rows) = self.patches.get_mut(&columns) {
            rows.truncate(rows.len().saturating_sub(1));
        }
    }

    fn kinds(&mut self) -> [&mut Rows; 4] {
        let writes = &mut self.writes;
        [&mut writes.replaced, &mut writes.withdrawn, &mut writes.upserts, &mut writes.fresh]
    }

    /// The row comes when it is read; what it had under another key goes now.
    fn leave(&mut self, entry: &Entry) {
        if let Some(old) = &entry.moved_from {
            self.writes.replaced.push(old.row());
        }
    }

    /// False when the row has to be read from the source.
    fn entry(&mut self, entry: &Entry) -> Result<bool> {
        let Some(image) = &entry.now else {
            self.withdraw(entry)?;
            return Ok(true);
        };
        let fresh = !entry.existed || self.route.rewrite;
        let rows = if fresh { &mut self.writes.fresh } else { &mut self.writes.upserts };
        match self.mapper.map(image, rows)? {
            Mapped::Rows(rows) => {
                // A row with the same owner overwrites the old one by itself.
                let overwritten = self.route.single && rows == 1 && self.route.key_is_owner;
                if !overwritten || entry.moved_from.is_some() {
                    self.withdraw(entry)?;
                }
                Ok(true)
            }
            // A row that moved may come from where nothing is copied yet, and go to where all is; and where it moved
            // from, another one may be that was written before the last attempt ended.
            Mapped::Patch(patch)
                if self.takes.patches
                    && (entry.moved_from.is_none()
                        || (self.complete && self.takes.transactions && !patch.assumes_key)) =>
            {
                if self.route.owner.is_none() {
                    return Err(incomplete_without_owner());
                }
                self.patched = Some(patch.columns.clone());
                let rows = self.patches.entry(patch.columns).or_default();
                let owner = entry.moved_from.as_ref().unwrap_or(&entry.key);
                rows.buffer().extend_from_slice(&owner.0);
                rows.buffer().extend_from_slice(&patch.cells);
                rows.end_row();
                Ok(true)
            }
            Mapped::Patch(_) | Mapped::Read => Ok(false),
        }
    }

    /// The contributions from before the batch go, save rows that come out again as upserts.
    fn withdraw(&mut self, entry: &Entry) -> Result<()> {
        if !entry.existed {
            return Ok(());
        }
        // The old row gives the very keys to look for; the owner may be spread over partitions.
        if let Some(before) = &entry.before {
            match self.mapper.map(before, &mut self.writes.withdrawn) {
                Ok(Mapped::Rows(_)) => return Ok(()),
                Err(error) if self.route.owner.is_none() => return Err(error),
                _ => {}
            }
        }
        if self.route.owner.is_none() {
            return Err(incomplete_without_owner());
        }
        let owner = entry.moved_from.as_ref().unwrap_or(&entry.key);
        self.writes.replaced.push(owner.row());
        Ok(())
    }

    fn has_writes(&self) -> bool {
        let writes = &self.writes;
        writes.clear
            || self.patches.values().any(|rows| !rows.is_empty())
            || [&writes.replaced, &writes.withdrawn, &writes.upserts, &writes.fresh]
                .iter()
                .any(|rows| !rows.is_empty())
    }

    fn finish(mut self) -> TableWrites {
        let expect_rows = self.complete && self.route.total;
        let patches = std::mem::take(&mut self.patches).into_iter();
        let patches = patches.filter(|(_, rows)| !rows.is_empty());
        self.writes.patches =
            patches.map(|(columns, rows)| PatchGroup { columns, expect_rows, rows }).collect();
        self.writes
    }
}

fn incomplete_without_owner() -> Error {
    Error::new(
        Code::OwnerMissing,
        "the statement copies no key of its source row, and the stream did not carry the old row",
    )
    .remedy("select the source's key columns into the target, or set REPLICA IDENTITY FULL")
}

#[cfg(test)]
#[path = "net_tests.rs"]
pub(crate) mod tests;
