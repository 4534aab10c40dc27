//! A verification that somebody asked for: one pass over all ranges, and over what they left.

use std::hash::{DefaultHasher, Hash, Hasher};

use hashbrown::{HashMap, HashSet};
use regraft_core::contract::ChunkReader;
use regraft_core::verify::{Difference, Digest, Finding, Outcome, Request, Verified, Verifier};
use regraft_core::{Code, Error, Key, Result};
use regraft_reconcile::{Left, Sum};
use tokio::time::Instant;

use super::exact::Whole;
use super::{Compared, State, Verify};

/// A range of a pass is so many chunks of a copy, if they have no more than so many bytes: nobody waits
/// for it, and fewer are faster.
const RANGE_CHUNKS: u64 = 25;
const RANGE_BYTES: usize = 24 << 20;

/// See the module.
pub(super) struct Pass {
    pub(super) id: i64,
    request: Request,
    /// Statements still to be compared, the current one last.
    todo: Vec<usize>,
    after: Option<Vec<String>>,
    ranges: u64,
    /// Source rows per range of the current statement.
    range_rows: u64,
    begun: Instant,
    outcomes: HashMap<usize, (Outcome, Sum)>,
    /// Owners still to be looked at; with the keys of the rows that are still to be counted, or with
    /// none when all of them are.
    waiting: HashMap<(usize, Key), Option<HashSet<Key>>>,
    /// Everything was compared.
    ended: bool,
    /// When what was found was asked to be repaired.
    repaired: Option<Instant>,
}

impl<V: Verifier, R: ChunkReader> Verify<V, R> {
    pub(super) async fn begin(
        &mut self,
        state: &mut State,
        id: i64,
        request: Request,
    ) -> Result<Pass> {
        let named = |watch: &Compared| {
            request.tables.is_empty()
                || request
                    .tables
                    .iter()
                    .any(|name| *name == watch.target.to_string() || *name == watch.target.name)
        };
        let mut todo: Vec<_> =
            (0..self.statements.len()).rev().filter(|&at| named(&self.statements[at])).collect();
        let outcome = |&at: &usize| {
            let watch = &self.statements[at];
            let (target, source) = (watch.target.to_string(), watch.source.to_string());
            (at, (Outcome { target, source, ..Outcome::default() }, Sum::default()))
        };
        let outcomes = todo.iter().map(outcome).collect();
        let mut waiting = HashMap::new();
        if !request.keys.is_empty() {
            for at in std::mem::take(&mut todo) {
                let owners = self.verifier.owners_of_texts(at, &request.keys).await?;
                for owner in owners.unwrap_or_default() {
                    state.looks.add(at, owner.clone(), Instant::now());
                    waiting.insert((at, owner), None);
                }
            }
            if waiting.is_empty() {
                let what = "no statement has a source key of this form";
                let error = Error::new(Code::VerificationRefused, what).at("--keys").remedy(
                    "give each key as text, one of several columns as [\"a\", \"b\"]; name its table by --tables",
                );
                self.verifier.refuse(id, &error).await?;
            }
        }
        Ok(Pass {
            id,
            request,
            todo,
            after: None,
            ranges: 0,
            range_rows: 0,
            begun: Instant::now(),
            outcomes,
            waiting,
            ended: false,
            repaired: None,
        })
    }

    /// Goes on with the request; false when it has to wait.
    pub(super) async fn pass(&mut self, state: &mut State) -> Result<bool> {
        let Some(pass) = &mut state.pass else { return Ok(false) };
        let Some(&at) = pass.todo.last() else {
            if !pass.waiting.is_empty() {
                return Ok(false);
            }
            if !std::mem::replace(&mut pass.ended, true) {
                // What was found before may be over: it is looked at before the report is given.
                for (at, owner) in self.verifier.open_findings().await? {
                    if !owner.0.is_empty() && self.statements[at].owner.is_some() {
                        state.looks.add(at, owner, Instant::now());
                    }
                }
                return Ok(true);
            }
            if pass.request.repair {
                let Some(asked) = pass.repaired else {
                    let repaired = self.verifier.repair_targets(&pass.request.tables).await?;
                    tracing::info!(rows = repaired, "what a comparison found is being repaired");
                    let now = Instant::now();
                    pass.repaired = Some(now);
                    state.next_repairing = now;
                    return Ok(true);
                };
                // It is done when its rows are: until then they may be missing.
                let (since, repairing) = &state.repairing;
                if *since <= asked || repairing.iter().any(|at| pass.outcomes.contains_key(at)) {
                    return Ok(false);
                }
            }
            let (id, outcomes) = (pass.id, pass.report(&self.position()));
            self.verifier.report(id, &outcomes, true).await?;
            state.pass = None;
            return Ok(true);
        };
        if !self.is_copied(at) {
            return Ok(false);
        }
        if pass.range_rows == 0 {
            // Ranges of a sample are smaller, so that they are many.
            let chunks = if pass.request.sample.is_some() { 1 } else { RANGE_CHUNKS };
            let rows = self.verifier.rows_in(at, RANGE_BYTES).await?;
            pass.range_rows = rows.min(self.options.chunk_rows.saturating_mul(chunks));
            pass.begun = Instant::now();
        }
        // Rows without a key have no ranges.
        let skips = !self.statements[at].key.is_empty() && pass.skips();
        let (after, mut skipped, rows) = (pass.after.take(), skips, pass.range_rows);
        pass.ranges += 1;
        let none_yet = pass.outcome(at).0.rows == 0;
        let mut skipped_to = None;
        if skipped {
            let source = self.statements[at].source.clone();
            skipped_to = self.reader.boundary(&source, after.as_deref(), None, rows).await?;
            // A sample has something of every table, and all of a small one.
            skipped = skipped_to.is_some() || !none_yet;
        }
        let upto = if skipped {
            skipped_to
        } else if self.statements[at].owner.is_some() {
            let compared = self.range(at, after, rows).await?;
            if let Some(pass) = &mut state.pass {
                pass.compared(&self.statements[at], &compared.verified, compared.left);
            }
            let now = Instant::now();
            for owner in compared.verified.unsettled {
                state.looks.add(at, owner, now);
            }
            compared.verified.upto
        } else {
            let whole = self.whole(at).await?;
            if let Some(pass) = &mut state.pass {
                pass.whole(at, whole);
            }
            None
        };
        let ends = match upto {
            None => Some(self.end_of_table(state, at).await?),
            Some(_) => None,
        };
        let Some(pass) = &mut state.pass else { return Ok(true) };
        if let Some(ends) = ends {
            for owner in ends.orphans {
                pass.waiting.entry((at, owner)).or_default();
            }
            count(&mut pass.outcome(at).0, &ends.strays);
            pass.todo.pop();
            pass.range_rows = 0;
        }
        pass.after = upto;
        let (id, outcomes) = (pass.id, pass.report(&self.position()));
        self.verifier.report(id, &outcomes, false).await?;
        Ok(true)
    }
}

impl Pass {
    /// What it finds is repaired.
    pub(super) fn mends(&self) -> bool {
        self.request.repair
    }

    fn outcome(&mut self, at: usize) -> &mut (Outcome, Sum) {
        self.outcomes.entry(at).or_default()
    }

    /// The next range is not part of the sample.
    fn skips(&self) -> bool {
        let Some(percent) = self.request.sample else { return false };
        let mut hasher = DefaultHasher::new();
        (self.id, self.todo.len(), self.ranges).hash(&mut hasher);
        #[allow(clippy::cast_precision_loss, reason = "a share needs no precision")]
        let drawn = (hasher.finish() % 10_000) as f64 / 100.0;
        drawn >= percent
    }

    fn compared(&mut self, watch: &Compared, verified: &Verified, left: Left) {
        let at = verified.statement;
        for pair in left.pairs(watch.owner.as_deref().unwrap_or_default(), &watch.key) {
            let rows = self.waiting.entry((at, pair.owner)).or_insert_with(|| Some(HashSet::new()));
            rows.get_or_insert_default().insert(pair.key);
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let (outcome, sum) = self.outcome(at);
        outcome.rows += verified.rows;
        sum.add(verified.digest);
        outcome.seconds = seconds;
        outcome.position = verified.position.to_string();
    }

    fn whole(&mut self, at: usize, whole: Option<Whole>) {
        let (outcome, sum) = self.outcome(at);
        let Some(Whole { equal: (rows, digest), found, certain }) = whole else {
            outcome.unsettled += 1;
            return;
        };
        outcome.rows += rows;
        sum.add(digest);
        if certain {
            let [missing, surplus, different] = found;
            outcome.missing += missing;
            outcome.surplus += surplus;
            outcome.different += different;
        } else {
            outcome.unsettled += found.iter().sum::<u64>();
        }
    }

    /// An owner is settled: its rows count that did not when its range was compared.
    pub(super) fn settled(
        &mut self,
        at: usize,
        owner: &Key,
        equal: &[(Key, Digest)],
        found: &[Finding],
    ) {
        let Some(rows) = self.waiting.remove(&(at, owner.clone())) else { return };
        let (outcome, sum) = self.outcome(at);
        for (key, digest) in equal {
            if rows.as_ref().is_none_or(|rows| rows.contains(key)) {
                outcome.rows += 1;
                sum.add(*digest);
            }
        }
        count(outcome, found);
    }

    pub(super) fn give_up(&mut self, at: usize, owner: &Key) {
        if self.waiting.remove(&(at, owner.clone())).is_some() {
            self.outcome(at).0.unsettled += 1;
        }
    }

    /// `position`: of outcomes that have none of their own.
    fn report(&self, position: &str) -> Vec<Outcome> {
        let mut outcomes: Vec<_> = self.outcomes.iter().collect();
        outcomes.sort_unstable_by_key(|(at, _)| **at);
        let outcome = |(_, (outcome, sum)): (&usize, &(Outcome, Sum))| Outcome {
            digest: hex(&sum.digest()),
            position: if outcome.position.is_empty() {
                position.to_owned()
            } else {
                outcome.position.clone()
            },
            ..outcome.clone()
        };
        outcomes.into_iter().map(outcome).collect()
    }
}

fn count(outcome: &mut Outcome, found: &[Finding]) {
    for finding in found {
        match finding.difference {
            Difference::Missing => outcome.missing += 1,
            Difference::Surplus => outcome.surplus += 1,
            Difference::Different => outcome.different += 1,
        }
    }
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
