//! The comparison of two sets of rows that arrive in any order.
//!
//! Both servers mostly give rows in the order of the same key: then they meet near the heads of two
//! queues, are compared as bytes, and hashed once, for the evidence. Rows that do not meet there are
//! *apart*: they are hashed as they come, and where the sums of both sides are the same, so are the rows.
//! Only where they are not, each looks for its like.

use std::collections::VecDeque;

use bytes::Bytes;
use hashbrown::HashTable;
use regraft_core::verify::{Compare, Difference, Digest};
use regraft_core::{Key, Row, row};

use crate::digest::{Sum, row_digest};

/// Compares rows as they arrive; see the module.
#[derive(Debug, Default)]
pub struct Comparison {
    rows: u64,
    sum: Sum,
    sides: [Side; 2],
    /// Bytes of rows that have not met their like.
    held: usize,
    /// It is full with more of them.
    held_max: Option<usize>,
}

#[derive(Debug, Default)]
struct Side {
    heads: VecDeque<Bytes>,
    apart: Vec<Apart>,
    /// Of the digests of those.
    sum: Sum,
}

#[derive(Debug)]
struct Apart {
    /// A part of the row's digest.
    hash: u64,
    row: Bytes,
}

/// Where rows differ or are missing, their neighbours are found this far from the heads.
const NEAR: usize = 8;
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

    fn arrived(&mut self, side: usize, row: Bytes) {
        let (mine, other) = match &mut self.sides {
            [source, target] if side == SOURCE => (source, target),
            [source, target] => (target, source),
        };
        let Some(at) = other.heads.iter().take(NEAR).position(|head| *head == row) else {
            self.held += row.len();
            mine.heads.push_back(row);
            // The other side has gone on as far, and its like was not among them.
            if other.heads.len() >= NEAR && mine.heads.len() > NEAR {
                mine.set_apart(1);
            }
            return;
        };
        // In the same order, what came before it on either side has no like to come.
        mine.set_apart(mine.heads.len());
        other.set_apart(at);
        other.heads.pop_front();
        self.held -= row.len();
        self.rows += 1;
        self.sum.add(row_digest(&row));
    }

    /// The rows that have no like, once both sides are through.
    pub fn left(&mut self) -> Left {
        self.held = 0;
        let [source, target] = std::mem::take(&mut self.sides).map(Side::through);
        self.rows += source.apart.len() as u64;
        self.sum.add(source.sum.digest());
        if source.apart.len() == target.apart.len() && source.sum == target.sum {
            return Left::default();
        }
        let mut left = Left::default();
        let mut waiting = HashTable::with_capacity(source.apart.len());
        for apart in source.apart {
            waiting.insert_unique(apart.hash, apart, |apart: &Apart| apart.hash);
        }
        for Apart { hash, row } in target.apart {
            match waiting.find_entry(hash, |other| other.hash == hash && other.row == row) {
                Ok(like) => drop(like.remove()),
                Err(_) => left.target.push(row),
            }
        }
        for Apart { row, .. } in waiting {
            self.rows -= 1;
            self.sum.subtract(row_digest(&row));
            left.source.push(row);
        }
        left
    }
}

impl Side {
    /// The first rows of the queue do not meet their like there.
    fn set_apart(&mut self, rows: usize) {
        for row in self.heads.drain(..rows) {
            let digest = row_digest(&row);
            let hash = digest.first_chunk().map_or(0, |hash| u64::from_le_bytes(*hash));
            self.sum.add(digest);
            self.apart.push(Apart { hash, row });
        }
    }

    /// Nothing comes any more: what waits in the queue is apart.
    fn through(mut self) -> Self {
        self.set_apart(self.heads.len());
        self
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
    fn of_one_key_each_row_is_told() {
        let mut comparison = Comparison::default();
        comparison.source(row_of(1, 1));
        (2..5).for_each(|value| comparison.target(row_of(1, value)));
        let pairs = comparison.left().pairs(&[0], &[0]);
        let surplus = pairs.iter().filter(|pair| pair.difference == Difference::Surplus);
        assert_eq!((pairs.len(), surplus.count()), (3, 2));
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
    fn rows_that_wait_for_their_like_fill_a_comparison_and_others_do_not() {
        let mut comparison = Comparison::bounded(100);
        for id in 0..=255 {
            comparison.source(row_of(id, 1));
            comparison.target(row_of(id, 1));
        }
        assert!(!comparison.is_full());
        (0..=255).for_each(|id| comparison.target(row_of(id, 2)));
        assert!(comparison.is_full());
    }

    #[test]
    fn rows_that_are_missing_do_not_set_the_others_apart() {
        let mut comparison = Comparison::default();
        let mut target = (0..200).filter(|id| !(50..53).contains(id));
        for id in 0..200 {
            comparison.source(row_of(id, u8::from(id == 100)));
            // One side is behind the other, now more and now less.
            (0..id % 3)
                .filter_map(|_| target.next())
                .for_each(|id| comparison.target(row_of(id, 0)));
        }
        target.for_each(|id| comparison.target(row_of(id, 0)));
        let apart = comparison.sides.iter().map(|side| side.apart.len()).sum::<usize>();
        assert!(apart < 3 * NEAR, "{apart}");
        let left = comparison.left();
        assert_eq!((left.source.len(), left.target.len(), comparison.equal().0), (4, 1, 196));
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
