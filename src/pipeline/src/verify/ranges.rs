//! Ranges of source keys, compared as they are, and what no range covers; the sweeps over them.

use std::time::{Duration, SystemTime};

use regraft_core::contract::ChunkReader;
use regraft_core::verify::{Finding, RangeRows, Settled, Sweep, Verified, Verifier};
use regraft_core::{Code, Key, Result};
use regraft_reconcile::{Comparison, Left};
use tokio::time::Instant;

use super::exact::finding;
use super::pace::Now;
use super::{HELD_MAX, State, Verify};

/// Owners whose existence is asked for at once.
const ORPHANS: usize = 5_000;
/// So many ranges of a limited size are read before larger ones are tried.
const GROWS_AFTER: u32 = 16;
/// A limit of so many rows is none.
const LIMIT_MAX: u64 = 1 << 20;

/// Source rows per range of a statement, where they had to be fewer than was wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RangeLimit {
    rows: u64,
    /// Ranges since then.
    passed: u32,
}

impl RangeLimit {
    /// Counts a range that was not too much: after some, there may be more rows in one. False when there
    /// is no limit any more.
    fn grows(&mut self) -> bool {
        self.passed += 1;
        if self.passed.is_multiple_of(GROWS_AFTER) {
            self.rows = self.rows.saturating_mul(2);
        }
        self.rows < LIMIT_MAX
    }
}

/// A range that was compared.
pub(super) struct Compared {
    /// What is equal, and the owners of what is not.
    pub(super) verified: Verified,
    /// Rows without their like.
    pub(super) left: Left,
    /// How long the source was busy with it.
    pub(super) source_time: Duration,
}

/// What no range covers.
pub(super) struct Ends {
    /// Owners of which the source has no row.
    pub(super) orphans: Vec<Key>,
    /// Rows that no statement can have made.
    pub(super) strays: Vec<Finding>,
}

impl<V: Verifier, R: ChunkReader> Verify<V, R> {
    /// The statement whose sweep goes on now, or begins: of those that wait for it before those at rest, the
    /// one that was begun the longest time ago.
    pub(super) fn next_sweep(&self, state: &State, now: Instant) -> Option<usize> {
        let time = SystemTime::now();
        let ready = |at: usize| {
            let watch = &self.statements[at];
            let since = state.begun[at][1].unwrap_or(state.since);
            let is = Now {
                touched: self.changes.touched(watch.table),
                age: time.duration_since(since).unwrap_or_default(),
                under_way: state.sweeps[at].is_under_way(),
            };
            let ready = self.is_copied(at) && state.pace.may(at, &is, &self.options, now);
            let waits = state.pace.waits(at, &is, &self.options);
            ready.then_some((!waits, !is.under_way, state.begun[at][0], at))
        };
        (0..self.statements.len()).filter_map(ready).min().map(|(.., at)| at)
    }

    /// Compares the next range of a statement's sweep.
    pub(super) async fn sweep(&mut self, state: &mut State, at: usize) -> Result<()> {
        let begun = Instant::now();
        let sweep = &mut state.sweeps[at];
        if !sweep.is_under_way() {
            *sweep = Sweep { number: sweep.number + 1, ..Sweep::default() };
            state.begun[at] = [Some(SystemTime::now()), state.begun[at][0]];
            let touched = self.changes.touched(self.statements[at].table);
            state.pace.begins(at, touched, begun);
        }
        let (number, after) = (state.sweeps[at].number, state.sweeps[at].upto.clone());
        let (rows, source_time, upto) = if self.statements[at].owner.is_some() {
            // More at once would be felt by those who wait for the source.
            let max = self.options.chunk_rows.min(self.options.rows_per_second);
            let Compared { verified, source_time, .. } = self.range(at, after, max).await?;
            self.verifier.record_range(&verified, number).await?;
            let rows = verified.rows + verified.unsettled.len() as u64;
            let now = Instant::now();
            for owner in verified.unsettled {
                state.looks.add(at, owner, now);
            }
            (rows, source_time, verified.upto)
        } else {
            let whole = self.whole(at).await?;
            (whole.map_or(0, |whole| whole.equal.0), begun.elapsed(), None)
        };
        if upto.is_none() {
            state.sweeps[at].done = true;
            self.end_of_table(state, at).await?;
            // From now on the oldest evidence is that of this sweep.
            state.begun[at][1] = state.begun[at][0];
            state.pace.ends(at);
        }
        state.sweeps[at].upto = upto;
        state.pace.compared(begun, self.options.pause(rows, source_time));
        Ok(())
    }

    /// Compares the next range of a statement with owner columns: `wanted` source rows, or fewer where
    /// those are too much to hold.
    pub(super) async fn range(
        &mut self,
        at: usize,
        after: Option<Vec<String>>,
        wanted: u64,
    ) -> Result<Compared> {
        let mut given_up = Duration::ZERO;
        let (range, mut comparison) = loop {
            let begun = Instant::now();
            let limit = self.range_limits.get(&at).copied();
            let max = limit.map_or(wanted, |limit| limit.rows.min(wanted)).max(1);
            // A single row passes whatever its size.
            let bounded = Comparison::bounded(HELD_MAX);
            let mut comparison = if max > 1 { bounded } else { Comparison::default() };
            let rows = RangeRows { max, at_target: limit.is_some() };
            match self.verifier.range(at, after.clone(), rows, &mut comparison).await {
                // Rows are wide, or many of them are on one side only.
                Err(error) if error.code() == Code::ChunkTooLarge && max > 1 => {
                    self.range_limits.insert(at, RangeLimit { rows: max / 2, passed: 0 });
                    given_up += begun.elapsed();
                }
                range => break (range?, comparison),
            }
        };
        if let Some(limit) = self.range_limits.get_mut(&at)
            && !limit.grows()
        {
            self.range_limits.remove(&at);
        }
        let left = comparison.left();
        let (rows, digest) = comparison.equal();
        self.count(at, rows);
        let unsettled = left.owners(self.statements[at].owner.as_deref().unwrap_or_default());
        let verified = Verified {
            statement: at,
            after,
            upto: range.upto,
            rows,
            digest,
            position: range.position,
            unsettled,
        };
        Ok(Compared { verified, left, source_time: given_up + range.source_time })
    }

    /// Looks for rows of the target that no range covers.
    pub(super) async fn end_of_table(&mut self, state: &mut State, at: usize) -> Result<Ends> {
        let mut after = None;
        let mut orphans = Vec::new();
        loop {
            let (owners, next) = self.verifier.orphans(at, after.as_ref(), ORPHANS).await?;
            for owner in owners {
                state.looks.add(at, owner.clone(), Instant::now());
                orphans.push(owner);
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        let left = Left { source: Vec::new(), target: self.verifier.strays(at).await? };
        let pairs = left.pairs(&[], &self.statements[at].key);
        let strays: Vec<_> = pairs.into_iter().map(finding).collect();
        let settled = Settled { found: strays.clone(), ..Settled::default() };
        self.found(at, vec![settled], None).await?;
        Ok(Ends { orphans, strays })
    }
}
