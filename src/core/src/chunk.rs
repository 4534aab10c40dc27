//! Chunks: ranges of source row keys read in one snapshot, which join the stream at a watermark.

use serde::{Deserialize, Serialize};

use crate::key::Key;
use crate::row::Rows;

/// Which source rows a chunk covers. Key values are in PostgreSQL's text form, one per key column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkScope {
    /// `after < key <= upto` in the source's own order; an absent bound is unbounded.
    Range {
        /// Exclusive lower bound.
        after: Option<Vec<String>>,
        /// Inclusive upper bound.
        upto: Option<Vec<String>>,
    },
    /// Exactly these keys, in binary form: rows that the stream could not carry whole.
    Keys(#[serde(skip)] Vec<Key>),
    /// The source rows that changes of another table touch. It becomes [`ChunkScope::Keys`] once the
    /// source has told which they are.
    Traced(#[serde(skip)] Traced),
}

/// Changed rows of a table that a statement reads beside its source table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    /// Name of the trace in the plan.
    pub trace: String,
    /// Values of the columns that lead to the source table, in binary form; `None` when every source
    /// row may be touched.
    pub values: Option<Vec<Key>>,
}

/// A PostgreSQL snapshot (`pg_current_snapshot()`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every transaction below is visible or aborted.
    pub xmin: u64,
    /// No transaction at or above is visible.
    pub xmax: u64,
    /// Transactions between that were still running.
    pub running: Vec<u64>,
}

impl Snapshot {
    /// Parses `xmin:xmax:xip,xip`.
    pub fn parse(text: &str) -> Option<Snapshot> {
        let mut parts = text.split(':');
        let xmin = parts.next()?.parse().ok()?;
        let xmax = parts.next()?.parse().ok()?;
        let list = parts.next()?;
        let running = list.split(',').filter(|xid| !xid.is_empty()).map(|xid| xid.parse().ok());
        let running = running.collect::<Option<Vec<_>>>()?;
        parts.next().is_none().then_some(Snapshot { xmin, xmax, running })
    }

    /// Whether the effects of a transaction *that is known to have committed* can be seen, given its
    /// 32-bit id from the stream. Ids are compared within half of the 32-bit circle around `xmax`.
    pub fn sees(&self, xid: u32) -> bool {
        let full = self.widen(xid);
        full < self.xmin || (full < self.xmax && !self.running.contains(&full))
    }

    /// The 64-bit id of a 32-bit one that is near this snapshot.
    pub fn widen(&self, xid: u32) -> u64 {
        #[allow(clippy::cast_possible_truncation, reason = "the low half is what is compared")]
        let distance = xid.wrapping_sub(self.xmax as u32).cast_signed();
        self.xmax.saturating_add_signed(i64::from(distance))
    }
}

/// What a chunk read gave: for each statement of the table, its rows with the source key they are
/// from. All statements were read in one snapshot.
#[derive(Debug, Default)]
pub struct ChunkData {
    /// The snapshot of the read.
    pub snapshot: Snapshot,
    /// One entry per statement of the source table, in the order of the mapping.
    pub statements: Vec<StatementRows>,
}

/// The rows that one statement gave for a chunk.
#[derive(Debug, Default)]
pub struct StatementRows {
    /// Source key of each row; runs of equal keys are adjacent for a statement that gives many.
    pub keys: Vec<Key>,
    /// The rows, aligned with `keys`.
    pub rows: Rows,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_was_committed_before_it() {
        let snapshot = Snapshot::parse("100:110:100,105").unwrap();
        assert!(snapshot.sees(99));
        assert!(!snapshot.sees(100));
        assert!(snapshot.sees(101));
        assert!(!snapshot.sees(105));
        assert!(!snapshot.sees(110));
    }

    #[test]
    fn ids_are_compared_across_an_epoch() {
        let epoch = 1_u64 << 32;
        let snapshot = Snapshot { xmin: epoch + 5, xmax: epoch + 5, running: vec![] };
        assert!(snapshot.sees(u32::MAX), "just before the wrap is in the past");
        assert!(snapshot.sees(4));
        assert!(!snapshot.sees(5));
    }

    #[test]
    fn a_broken_snapshot_is_refused() {
        for text in ["", "1", "1:2", "1:2:x", "1:2:3:4"] {
            assert_eq!(Snapshot::parse(text), None, "{text:?}");
        }
        assert_eq!(Snapshot::parse("1:2:").unwrap().running, Vec::<u64>::new());
    }
}
