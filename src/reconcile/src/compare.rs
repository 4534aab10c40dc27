//! The comparison of two sets of rows that arrive in any order.
//!
//! Rows of both sides are matched as bytes, so that a row is hashed once, and only for the evidence.
//! Both servers mostly give rows in the order of the same key: then they meet at the heads of two
//! queues. Rows that do not are matched by a table of those that wait.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use bytes::Bytes;
use hashbrown::{DefaultHashBuilder, HashTable};
use regraft_core::verify::{Compare, Difference, Digest};
use regraft_core::{Key, Row, row};

use crate::digest::{Sum, row_digest};

/// Compares rows as they arrive; see the module.
#[derive(Debug, Default)]
pub struct Comparison {
    rows: u64,
    sum: Sum,
    heads: [VecDeque<Bytes>; 2],
    waiting: HashTable<Waiting>,
    hasher: DefaultHashBuilder,
    /// Bytes of rows that have not met their like.
    held: usize,
    /// It is full with more of them.
    held_max: Option<usize>,
}

#[derive(Debug)]
struct Waiting {
    side: usize,
    /// Of the row: the table grows without reading the rows again.
    hash: u64,
    row: Bytes,
}

const SOURCE: usize = 0;
const TARGET: usize = 1;

/// Rows that have no like on the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// What the SELECT gives.
    pub source: Vec<Bytes>,
    /// What the target has.
    pub target: Vec<Bytes>,
}

/// Rows of the same target key, which differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Values of the owner columns; empty without such columns.
    pub owner: Key,
    /// Values of the target's key.
    pub key: Key,
    /// How they differ.
    pub difference: Difference,
    /// Output columns that differ, ascending; empty unless [`Difference::Different`].
    pub columns: Vec<usize>,
    /// The row that the SELECT gives.
    pub source: Option<Bytes>,
    /// The row in the target.
    pub target: Option<Bytes>,
}

impl Comparison {
    /// One that holds at most about so many bytes of rows that wait for their like.
    pub fn bounded(held_max: usize) -> Self {
        Self { held_max: Some(held_max), ..Self::default() }
    }

    /// Rows that are equal, and the sum of their digests, so far.
    pub fn equal(&self) -> (u64, Digest) {
        (self.rows, self.sum.digest())
    }

    /// Bytes of rows that wait for their like.
    pub fn held(&self) -> usize {
        self.held
    }

    fn arrived(&mut self, side: usize, row: Bytes) {
        if self.heads[1 - side].front() == Some(&row) {
            if self.heads[side].is_empty() {
                self.heads[1 - side].pop_front();
                self.held -= row.len();
                self.matched(&row);
                return;
            }
        } else if self.heads[side].is_empty() && !self.heads[1 - side].is_empty() {
            // Out of step: where one row is missing on this side, the next one of the other is its like.
            if self.heads[1 - side].get(1) == Some(&row) {
                let odd = self.heads[1 - side].pop_front();
                odd.into_iter().for_each(|odd| self.settle(1 - side, odd));
                return self.arrived(side, row);
            }
            self.held += row.len();
            return self.settle(side, row);
        }
        self.held += row.len();
        self.heads[side].push_back(row);
    }

    /// Matches a row with those that wait, or has it wait. It counts as held.
    fn settle(&mut self, side: usize, row: Bytes) {
        let hash = self.hasher.hash_one(&row);
        let like = |w: &Waiting| w.side != side && w.hash == hash && w.row == row;
        if let Ok(entry) = self.waiting.find_entry(hash, like) {
            entry.remove();
            self.held -= 2 * row.len();
            self.matched(&row);
            return;
        }
        self.waiting.insert_unique(hash, Waiting { side, hash, row }, |waiting| waiting.hash);
    }

    fn matched(&mut self, row: &[u8]) {
        self.rows += 1;
        self.sum.add(row_digest(row));
    }

    /// The rows that have no like, once both sides are through.
    pub fn left(&mut self) -> Left {
        for side in [SOURCE, TARGET] {
            for row in std::mem::take(&mut self.heads[side]) {
                self.settle(side, row);
            }
        }
        let mut left = Left::default();
        for Waiting { side, row, .. } in self.waiting.drain() {
            if side == SOURCE { left.source.push(row) } else { left.target.push(row) }
        }
        self.held = 0;
        left
    }
}

impl Compare for Comparison {
    fn source(&mut self, row: Bytes) {
        self.arrived(SOURCE, row);
    }

    fn target(&mut self, row: Bytes) {
        self.arrived(TARGET, row);
    }

    fn is_full(&self) -> bool {
        self.held_max.is_some_and(|max| self.held > max)
    }
}

/// Values of some columns of a row, as a key.
pub(crate) fn columns_of(row: &[u8], columns: &[usize]) -> Key {
    let cells: Vec<_> = Row(row).cells().collect();
    let mut out = Vec::new();
    for &at in columns {
        row::put(&mut out, cells.get(at).copied().flatten());
    }
    Key(out.into_boxed_slice())
}

impl Left {
    /// True when every row has its like.
    pub fn is_empty(&self) -> bool {
        self.source.is_empty() && self.target.is_empty()
    }

    /// The owners of the rows, each once, in order.
    pub fn owners(&self, owner: &[usize]) -> Vec<Key> {
        let rows = self.source.iter().chain(&self.target);
        let mut owners: Vec<_> = rows.map(|row| columns_of(row, owner)).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// The rows side by side, by the target's key.
    pub fn pairs(self, owner: &[usize], key: &[usize]) -> Vec<Pair> {
        // Of one key there may be several rows on either side, if something is badly wrong.
        let mut by_key: hashbrown::HashMap<Key, [Vec<Bytes>; 2]> = hashbrown::HashMap::new();
        for (side, rows) in [(SOURCE, self.source), (TARGET, self.target)] {
            for row in rows {
                by_key.entry(columns_of(&row, key)).or_default()[side].push(row);
            }
        }
        let mut pairs = Vec::new();
        for (key, [source, target]) in by_key {
            let mut target = target.into_iter();
            for source in source {
                pairs.push(pair(owner, key.clone(), Some(source), target.next()));
            }
            pairs.extend(target.map(|target| pair(owner, key.clone(), None, Some(target))));
        }
        pairs.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        pairs
    }
}

fn pair(owner: &[usize], key: Key, source: Option<Bytes>, target: Option<Bytes>) -> Pair {
    let (difference, columns) = match (&source, &target) {
        (Some(source), Some(target)) => {
            let cells = Row(source).cells().zip(Row(target).cells()).enumerate();
            let columns = cells.filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect();
            (Difference::Different, columns)
        }
        (Some(_), None) => (Difference::Missing, Vec::new()),
        _ => (Difference::Surplus, Vec::new()),
    };
    let row = source.as_ref().or(target.as_ref());
    let owner = row.map_or_else(|| Key(Box::default()), |row| columns_of(row, owner));
    Pair { owner, key, difference, columns, source, target }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(cells: &[Option<&[u8]>]) -> Bytes {
        let mut out = Vec::new();
        cells.iter().for_each(|cell| row::put(&mut out, *cell));
        out.into()
    }

    fn row_of(id: u8, value: u8) -> Bytes {
        bytes(&[Some(&[id]), Some(&[value])])
    }

    #[test]
    fn what_differs_is_told_by_key_and_column() {
        let mut comparison = Comparison::default();
        for (id, value) in [(1, 1), (2, 2), (3, 3), (5, 5)] {
            comparison.source(row_of(id, value));
        }
        for (id, value) in [(1, 1), (3, 4), (4, 4), (5, 5)] {
            comparison.target(row_of(id, value));
        }
        let left = comparison.left();
        assert_eq!(comparison.equal().0, 2);
        assert_eq!(left.owners(&[0]).len(), 3);
        let pairs = left.pairs(&[0], &[0]);
        let told: Vec<_> = pairs.iter().map(|p| (p.difference, p.columns.clone())).collect();
        assert_eq!(
            told,
            [
                (Difference::Missing, vec![]),
                (Difference::Different, vec![1]),
                (Difference::Surplus, vec![])
            ]
        );
    }

    #[test]
    fn null_is_not_empty() {
        let mut comparison = Comparison::default();
        comparison.source(bytes(&[Some(b"k"), None]));
        comparison.target(bytes(&[Some(b"k"), Some(b"")]));
        let pairs = comparison.left().pairs(&[0], &[0]);
        assert_eq!((pairs.len(), pairs[0].columns.as_slice()), (1, &[1][..]));
    }

    #[test]
    fn a_row_twice_is_not_a_row_once() {
        let mut comparison = Comparison::default();
        comparison.source(row_of(1, 1));
        comparison.target(row_of(1, 1));
        comparison.target(row_of(1, 1));
        let left = comparison.left();
        assert_eq!((left.source.len(), left.target.len()), (0, 1));
    }

    proptest! {
        /// However the rows of both sides are mixed, what is left is the difference of the two bags.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            rows in prop::collection::vec((0_u8..6, 0_u8..3, 0_u8..4), 0..60),
            turns in prop::collection::vec(any::<bool>(), 120),
        ) {
            let side = |which: u8| {
                rows.iter().filter(move |(.., on)| on & which == which).map(|&(id, value, _)| row_of(id, value))
            };
            let (source, target): (Vec<_>, Vec<_>) = (side(1).collect(), side(2).collect());
            let mut comparison = Comparison::default();
            let mut queues = [source.clone().into_iter(), target.clone().into_iter().rev().collect::<Vec<_>>().into_iter()];
            for turn in turns {
                let at = usize::from(turn);
                match queues[at].next() {
                    Some(row) if at == SOURCE => comparison.source(row),
                    Some(row) => comparison.target(row),
                    None => {}
                }
            }
            queues[SOURCE].by_ref().for_each(|row| comparison.source(row));
            queues[TARGET].by_ref().for_each(|row| comparison.target(row));
            let mut left = comparison.left();
            prop_assert_eq!(comparison.held(), 0);
            let mut expected = Left::default();
            let mut rest = target;
            let mut sum = Sum::default();
            for row in source {
                match rest.iter().position(|other| *other == row) {
                    Some(at) => { rest.remove(at); sum.add(row_digest(&row)); }
                    None => expected.source.push(row),
                }
            }
            expected.target = rest;
            for rows in [&mut left.source, &mut left.target, &mut expected.source, &mut expected.target] {
                rows.sort();
            }
            prop_assert_eq!(left, expected);
            prop_assert_eq!(comparison.equal().1, sum.digest());
        }
    }
}
