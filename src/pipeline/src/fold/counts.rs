//! Rows without a key: how many of each came or went.
//!
//! The whole row is its identity, and equal rows are told apart by nothing but their number. Their net effect is
//! therefore a number for each distinct row: with 3 it is added three times, with -2 two of those that are equal to
//! it go. Numbers add up in any order, so rows of a copy may come among the changes.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use regraft_core::segment::TableWrites;
use regraft_core::{Code, Error, Mapped, Result, Rows, Tuple};

use super::locate;
use crate::plan::{Plan, PlannedTable};

/// Bookkeeping per row, roughly.
const ENTRY_BYTES: usize = 64;

/// Net numbers of rows.
#[derive(Default)]
pub(crate) struct Counts {
    rows: Vec<(Tuple, i64)>,
    index: HashTable<usize>,
    hasher: DefaultHashBuilder,
    changes: usize,
    bytes: usize,
}

impl Counts {
    /// Adds a number to that of a row. Every change counts towards the size: a row that came a hundred times
    /// will be written a hundred times.
    pub(crate) fn add(&mut self, image: Tuple, by: i64) {
        self.changes += 1;
        self.bytes += image.size() + ENTRY_BYTES;
        let Self { rows, index, hasher, .. } = self;
        let hash = |image: &Tuple| {
            hasher.hash_one(image.iter().map(|cell| cell.bytes()).collect::<Vec<_>>())
        };
        let hashed = hash(&image);
        if let Some(&at) = index.find(hashed, |&at| rows[at].0 == image) {
            rows[at].1 += by;
            return;
        }
        index.insert_unique(hashed, rows.len(), |&at| hash(&rows[at].0));
        rows.push((image, by));
    }

    /// Takes in what another one has.
    pub(crate) fn take_in(&mut self, other: Counts) {
        for (image, by) in other.rows {
            self.add(image, by);
        }
    }

    /// Changes so far.
    pub(crate) fn changes(&self) -> usize {
        self.changes
    }

    /// Memory held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a batch has of a table whose rows have no key.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) counts: Counts,
    /// Rows of a copy, by statement, as they go to the target.
    pub(crate) copied: BTreeMap<usize, Rows>,
}

impl Counted {
    /// Source rows held.
    pub(crate) fn len(&self) -> usize {
        self.counts.changes() + self.copied.values().map(Rows::len).sum::<usize>()
    }

    /// Nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Maps what is left; `cleared` says that everything from before goes first.
    ///
    /// # Errors
    /// When an expression fails for a row, or cannot be decided without the source.
    pub(crate) fn drain(
        mut self,
        plan: &Plan,
        planned: &PlannedTable,
        cleared: bool,
        all: &mut Vec<TableWrites>,
    ) -> Result<()> {
        for &statement in &planned.statements {
            let (route, mapper) = (&plan.routes[statement], &plan.mappers[statement]);
            let fresh = self.copied.remove(&statement).unwrap_or_default();
            let mut writes = TableWrites { statement, clear: cleared, fresh, ..Default::default() };
            for (image, count) in &self.counts.rows {
                let rows = if *count > 0 { &mut writes.fresh } else { &mut writes.uncounted };
                for _ in 0..count.unsigned_abs() {
                    let mapped = mapper.map(image, rows).and_then(|mapped| match mapped {
                        Mapped::Rows(_) => Ok(()),
                        Mapped::Patch(_) | Mapped::Read => Err(undecided()),
                    });
                    mapped.map_err(|error| locate(error, route, &planned.key))?;
                }
            }
            if writes.clear || !writes.fresh.is_empty() || !writes.uncounted.is_empty() {
                all.push(writes);
            }
        }
        Ok(())
    }
}

/// A row without a key cannot be read from the source.
pub(super) fn undecided() -> Error {
    let what = "an expression that only the source can evaluate for this row, which has no key to be read by";
    Error::new(Code::ExpressionFailed, what).remedy(
        "write the expression otherwise, and start with `regraft run --recopy TABLE`; or give the source table a key",
    )
}

#[cfg(test)]
mod tests {
    use regraft_core::{Cell, TupleBuilder};

    use super::*;

    fn row(cells: &[Cell<'_>]) -> Tuple {
        let mut row = TupleBuilder::with_capacity(cells.len(), 8);
        cells.iter().for_each(|cell| row.push(*cell));
        row.finish()
    }

    #[test]
    fn equal_rows_are_counted_and_others_are_not_mixed_up() {
        let mut counts = Counts::default();
        let (a, null) = (row(&[Cell::Binary(b"a")]), row(&[Cell::Null]));
        let empty = row(&[Cell::Binary(b"")]);
        for (image, by) in [(&a, 1), (&a, 1), (&null, 1), (&empty, -1), (&a, -1), (&null, -1)] {
            counts.add(image.clone(), by);
        }
        assert_eq!(counts.rows, [(a, 1), (null, 0), (empty, -1)]);
        assert_eq!(counts.changes(), 6);
        let mut others = Counts::default();
        others.take_in(counts);
        assert_eq!(others.rows.iter().map(|(_, by)| by).sum::<i64>(), 0);
    }
}
