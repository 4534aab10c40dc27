//! Rows that are compared so that the verdict is exact; see the module above.

use std::collections::BTreeSet;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use regraft_core::contract::ChunkReader;
use regraft_core::verify::{Compare, Difference, Digest, Finding, Seen, Settled, Verifier};
use regraft_core::{Code, Key, Mark, Position, Result, Traced};
use regraft_reconcile::{Comparison, Left, Look, Sum, row_digest};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{
    Compared, HELD_MAX, LOOK_OWNERS, OPEN_AFTER, OPEN_AFTER_MAX, OPEN_SHARE, RECENT_AFTER, State,
    TELL_AFTER, TRIES_MAX, Verify,
};
use crate::follow::ChunkMessage;
use crate::windows::Watched;

/// Stands for the owner of all rows of a statement that has no owner columns.
const WHOLE: &[u8] = &[0];

/// All rows of a statement without owner columns.
pub(super) struct Whole {
    /// Rows that are equal, and the sum of their digests.
    pub(super) equal: (u64, Digest),
    /// How many rows are missing, surplus and different.
    pub(super) found: [u64; 3],
    /// Nothing was touched meanwhile, so that they do.
    pub(super) certain: bool,
}

impl<V: Verifier, R: ChunkReader> Verify<V, R> {
    /// Looks at the rows of some owners, exactly.
    pub(super) async fn look(
        &mut self,
        state: &mut State,
        statement: usize,
        owners: Vec<(Key, Look<Instant>)>,
    ) -> Result<()> {
        let watch = self.statements[statement].clone();
        let Some(owner_columns) = &watch.owner else { return Ok(()) };
        let (begun, looked_at) = (Instant::now(), owners.len());
        let keys = owners.iter().map(|(owner, _)| owner.clone()).collect();
        let mut both = Both::default();
        let read = self.exactly(statement, Some(keys), &mut both).await?;
        let Some((seen, watched)) = read else {
            return Ok(());
        };
        let now = Instant::now();
        let touched = match &watched {
            Some(watched) if !watched.touched.all && !seen.all_pending => {
                let keys = self.touched(&watch, watched, seen.pending).await?;
                Some(self.verifier.owners(statement, &keys).await?.into_iter().collect())
            }
            _ => None,
        };
        let is_touched =
            |owner: &Key| touched.as_ref().is_none_or(|t: &HashSet<Key>| t.contains(owner));
        let mut rows = both.by_owner(owner_columns, &watch.key);
        let (mut settled, mut differing) = (Vec::new(), Vec::new());
        for (owner, look) in owners {
            if is_touched(&owner) {
                if look.tries >= TRIES_MAX
                    && let Some(pass) = &mut state.pass
                    // What is to be mended waits, as a copy does: nobody would look for it later.
                    && !pass.mends()
                {
                    pass.give_up(statement, &owner);
                }
                state.looks.again(statement, owner, look, now);
                continue;
            }
            let (equal, found) = rows.remove(&owner).unwrap_or_default();
            if let Some(pass) = &mut state.pass {
                pass.settled(statement, &owner, &equal, &found);
            }
            if !found.is_empty() {
                differing.push(owner.clone());
            } else if look.twice {
                state.looks.add(statement, owner.clone(), now + RECENT_AFTER[1]);
            }
            settled.push(Settled { owner, equal, found });
        }
        self.found(statement, settled, Some(seen.position)).await?;
        // A look at few is nearly as dear as one at many, and says nothing of these.
        if looked_at >= LOOK_OWNERS / 2 {
            state.look_cost = begun.elapsed() / u32::try_from(looked_at).unwrap_or(u32::MAX);
        }
        let open = usize::try_from(self.findings_open).unwrap_or(usize::MAX);
        let again = now + (state.looks_at(open) * OPEN_SHARE).clamp(OPEN_AFTER, OPEN_AFTER_MAX);
        differing.into_iter().for_each(|owner| state.looks.add(statement, owner, again));
        Ok(())
    }

    /// Compares both sides inside of a window: what they were, and what the window saw, `None` when that
    /// proves nothing. `None` when the follower is gone.
    async fn exactly<C: Compare>(
        &mut self,
        statement: usize,
        owners: Option<Vec<Key>>,
        into: &mut C,
    ) -> Result<Option<(Seen, Option<Watched>)>> {
        let token = self.watermarks.token();
        let table = self.statements[statement].table;
        let (opened, is_open) = oneshot::channel();
        if self.follower.send(ChunkMessage::Watch { token, table, opened }).await.is_err() {
            return Ok(None);
        }
        let Ok(position) = is_open.await else { return Ok(None) };
        let seen = match self.verifier.compare(statement, owners, &position, into).await {
            Ok(seen) => seen,
            Err(error) => {
                drop(self.follower.send(ChunkMessage::Cancel { token }).await);
                return Err(error);
            }
        };
        let (outcome, watched) = oneshot::channel();
        let message = ChunkMessage::Watched { token, snapshot: seen.snapshot.clone(), outcome };
        if self.follower.send(message).await.is_err() {
            return Ok(None);
        }
        self.marker.mark(&self.watermarks.write(Mark::Window(token))).await?;
        let Ok(watched) = watched.await else { return Ok(None) };
        Ok(Some((seen, watched)))
    }

    /// Source keys that a window saw touched, directly or by a trace, and those that are pending.
    async fn touched(
        &mut self,
        watch: &Compared,
        watched: &Watched,
        pending: Vec<Key>,
    ) -> Result<Vec<Key>> {
        let touched = &watched.touched;
        let direct = touched.complete.iter().chain(&touched.incomplete).chain(&touched.arrived);
        let mut keys: BTreeSet<Key> = direct.cloned().chain(pending).collect();
        for (&trace, values) in &watched.traced {
            let trace = self.traces[trace].name.clone();
            let traced = Traced { trace, values: Some(values.iter().cloned().collect()) };
            keys.extend(self.reader.traced(&watch.source, &traced).await?);
        }
        Ok(keys.into_iter().collect())
    }

    pub(super) async fn found(
        &mut self,
        statement: usize,
        settled: Vec<Settled>,
        position: Option<Position>,
    ) -> Result<()> {
        if settled.is_empty() {
            return Ok(());
        }
        let recorded = self.verifier.record_owners(statement, &settled, position).await?;
        let equal: usize = settled.iter().map(|owner| owner.equal.len()).sum();
        self.count(statement, equal as u64);
        self.findings(&recorded);
        if recorded.new > 0 && self.told.is_none_or(|told| told.elapsed() >= TELL_AFTER) {
            self.told = Some(Instant::now());
            tracing::warn!(
                target_table = %self.statements[statement].target,
                open = recorded.open,
                "rows of the target are not what the SELECT gives: see regraft.findings; `regraft repair` \
                 brings them in line"
            );
        }
        Ok(())
    }

    pub(super) fn count(&self, statement: usize, rows: u64) {
        self.reporter.record().verified(&self.statements[statement].target, rows);
        self.reporter.verified(rows);
    }

    /// Compares all rows of a statement without owner columns. What differs is certain only if nothing
    /// of the source table was touched meanwhile. `None` when too much differs at this moment to say
    /// which rows do.
    pub(super) async fn whole(&mut self, at: usize) -> Result<Option<Whole>> {
        let mut both = Comparison::bounded(HELD_MAX);
        let (seen, watched) = match self.exactly(at, None, &mut both).await {
            Ok(Some(seen)) => seen,
            Ok(None) => return Ok(None),
            Err(error) if error.code() == Code::ChunkTooLarge => {
                let keyless = self.statements[at].key.is_empty();
                return if keyless { self.summed(at).await } else { Ok(None) };
            }
            Err(error) => return Err(error),
        };
        let left = both.left();
        let differs = !left.is_empty();
        let certain = !differs || quiet(&seen, watched.as_ref());
        let equal = both.equal();
        let (found, told) = if self.statements[at].key.is_empty() {
            let found = [left.source.len() as u64, left.target.len() as u64, 0];
            (found, keyless(found))
        } else {
            let pairs = left.pairs(&[], &self.statements[at].key);
            let told: Vec<_> = pairs.into_iter().map(finding).collect();
            let of = |difference| told.iter().filter(|f| f.difference == difference).count() as u64;
            ([Difference::Missing, Difference::Surplus, Difference::Different].map(of), told)
        };
        self.tell_whole(at, (equal, found, told), certain, &seen).await.map(Some)
    }

    /// The same by sums alone, for rows without a key that come in too different an order to be held.
    async fn summed(&mut self, at: usize) -> Result<Option<Whole>> {
        let mut sums = Sums::default();
        let Some((seen, watched)) = self.exactly(at, None, &mut sums).await? else {
            return Ok(None);
        };
        let [(source, of_source), (target, of_target)] = sums.0;
        let found = if of_source == of_target && source == target {
            [0; 3]
        } else {
            let (missing, surplus) = (source.saturating_sub(target), target.saturating_sub(source));
            [missing, surplus, u64::from(missing + surplus == 0)]
        };
        let equal = if found == [0; 3] { (source, of_source.digest()) } else { (0, [0; 32]) };
        let certain = found == [0; 3] || quiet(&seen, watched.as_ref());
        self.tell_whole(at, (equal, found, keyless(found)), certain, &seen).await.map(Some)
    }

    async fn tell_whole(
        &mut self,
        at: usize,
        (equal, found, told): ((u64, Digest), [u64; 3], Vec<Finding>),
        certain: bool,
        seen: &Seen,
    ) -> Result<Whole> {
        self.count(at, equal.0);
        if certain {
            let owner = Key(WHOLE.into());
            let settled = Settled { owner, equal: Vec::new(), found: told };
            self.found(at, vec![settled], Some(seen.position.clone())).await?;
        }
        Ok(Whole { equal, found, certain })
    }
}

/// Nothing was touched while both sides were read.
fn quiet(seen: &Seen, watched: Option<&Watched>) -> bool {
    let untouched = watched.is_some_and(|watched| *watched == Watched::default());
    untouched && !seen.all_pending && seen.pending.is_empty()
}

/// Rows without a key that differ, as one finding: nothing tells which they are but all of their values.
fn keyless(found: [u64; 3]) -> Vec<Finding> {
    let difference = match found {
        [0, 0, 0] => return Vec::new(),
        [_, 0, 0] => Difference::Missing,
        [0, _, 0] => Difference::Surplus,
        _ => Difference::Different,
    };
    let (key, columns) = (Key(Box::default()), Vec::new());
    vec![Finding { difference, key, columns, source: None, target: None, rows: (None, None) }]
}

/// Numbers of rows, and the sums of their digests, of the source and of the target.
#[derive(Default)]
struct Sums([(u64, Sum); 2]);

impl Sums {
    fn add(&mut self, side: usize, row: &[u8]) {
        let (rows, sum) = &mut self.0[side];
        *rows += 1;
        sum.add(row_digest(row));
    }
}

impl Compare for Sums {
    fn source(&mut self, row: Bytes) {
        self.add(0, &row);
    }

    fn target(&mut self, row: Bytes) {
        self.add(1, &row);
    }
}

pub(super) fn finding(pair: regraft_reconcile::Pair) -> Finding {
    let digest = |row: &Option<Bytes>| row.as_ref().map(|row| row_digest(row));
    Finding {
        difference: pair.difference,
        key: pair.key,
        columns: pair.columns,
        source: digest(&pair.source),
        target: digest(&pair.target),
        rows: (pair.source, pair.target),
    }
}

/// All rows of both sides.
#[derive(Default)]
struct Both {
    source: Vec<Bytes>,
    target: Vec<Bytes>,
}

impl Compare for Both {
    fn source(&mut self, row: Bytes) {
        self.source.push(row);
    }

    fn target(&mut self, row: Bytes) {
        self.target.push(row);
    }
}

type Told = (Vec<(Key, Digest)>, Vec<Finding>);

impl Both {
    /// For each owner, the rows that are equal, and what differs.
    fn by_owner(self, owner: &[usize], key: &[usize]) -> HashMap<Key, Told> {
        let mut told: HashMap<Key, Told> = HashMap::new();
        for pair in (Left { source: self.source, target: self.target }).pairs(owner, key) {
            let (equal, found) = told.entry(pair.owner.clone()).or_default();
            match &pair.source {
                Some(row)
                    if pair.difference == Difference::Different && pair.columns.is_empty() =>
                {
                    equal.push((pair.key, row_digest(row)));
                }
                _ => found.push(finding(pair)),
            }
        }
        told
    }
}
