//! Verification beside the stream: is the target what the SELECTs give?
//!
//! Two steps. *Ranges* of source keys are compared as they are, without regard to the stream: rows that
//! are equal on both sides are equal, and what is not goes on the list of owners to be *looked at*. An
//! owner's rows are compared so that the verdict is exact:
//!
//! ```text
//!  stream   ──c1──┃───────c2────────────────╂──c3──▶
//!             window opens at X        watermark: what the window saw
//!  source           snapshot S
//!  target                snapshot, at a position P of at least X
//! ```
//!
//! - Every commit before the window must be visible in S (as for a chunk that joins, see
//!   [`crate::windows`]), and is in the target, because P is at least X.
//! - Owners touched in the window (c2), from the stream or by way of a trace, prove nothing: one side may
//!   have seen the change. So do owners that the target still waits to have read. They are looked at
//!   again a little later.
//! - The watermark is written when both sides were read, so that nothing later (c3) was seen by either.
//!   (Rows that were read by key may be newer than the target's position; but not newer than that.)
//!
//! All others were the same row all the time: a difference is one.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use regraft_core::contract::{ChunkReader, Phase};
use regraft_core::verify::{
    Compare, Difference, Digest, Finding, Outcome, Request, Settled, Sweep, Verified, Verifier,
    VerifyScope,
};
use regraft_core::{Code, Error, Key, Kind, Lsn, Position, Result, Traced};
use regraft_reconcile::{Comparison, Left, Look, Looks, Sum, row_digest};
use regraft_telemetry::record;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::follow::ChunkMessage;
use crate::plan::{Trace, VerifyOptions};
use crate::progress::Progress;
use crate::windows::Watched;

/// Owners that are looked at at once.
const LOOK_OWNERS: usize = 500;
/// With so many owners on the list, no further ranges are compared.
const LOOKS_MAX: usize = 50_000;
/// A request gives up on an owner that changed so often while it was looked at.
const TRIES_MAX: u32 = 12;
/// How often requests and changed keys are looked for.
const TICK: Duration = Duration::from_millis(250);
/// A changed row is looked at this long after its change, and once more later.
const RECENT_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// Open findings are looked at again.
const OPEN_AFTER: Duration = Duration::from_secs(30);
/// After an error that is not about a connection.
const ERROR_WAIT: Duration = Duration::from_secs(30);
/// New findings are logged at most this often.
const TELL_AFTER: Duration = Duration::from_secs(10);
/// Owners whose existence is asked for at once.
const ORPHANS: usize = 5_000;
/// Tokens of windows, apart from those of the backfill.
const FIRST_TOKEN: u64 = 1 << 62;
/// Before everything.
const START: Position = Position::Lsn(Lsn(0));
/// Bytes of rows without their like that a comparison holds at once.
const HELD_MAX: usize = 16 << 20;
/// Stands for the owner of all rows of a statement that has no owner columns.
const WHOLE: &[u8] = &[0];

/// See the module.
pub(crate) struct Verify<V, R> {
    pub(crate) verifier: V,
    /// Plans ranges, follows traces, writes watermarks.
    pub(crate) reader: R,
    pub(crate) follower: mpsc::Sender<ChunkMessage>,
    pub(crate) options: VerifyOptions,
    pub(crate) progress: Arc<Progress>,
    pub(crate) statements: Vec<Watch>,
    pub(crate) traces: Vec<Trace>,
    pub(crate) watermark: String,
    pub(crate) cancel: CancellationToken,
    /// Source rows per range of a statement, where they had to be fewer than the options say.
    pub(crate) range_rows: HashMap<usize, u64>,
    /// When the log told of findings.
    pub(crate) told: Option<Instant>,
}

/// A statement, as it is verified.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// Source table, as an index and by name.
    pub(crate) table: usize,
    pub(crate) source: regraft_core::TableName,
    pub(crate) target: regraft_core::TableName,
    /// Output columns that copy the source's key.
    pub(crate) owner: Option<Vec<usize>>,
    /// Output columns that are the target's key.
    pub(crate) key: Vec<usize>,
}

struct State {
    sweeps: Vec<Sweep>,
    /// When the sweeps of a statement began: the current one, and the one before it.
    begun: Vec<[Option<SystemTime>; 2]>,
    looks: Looks,
    pass: Option<Pass>,
    /// When the next range may be compared, and the next tick.
    next_range: Instant,
    next_tick: Instant,
    next_token: u64,
    since: SystemTime,
    /// Statements whose rows without an owner are to be looked at.
    ends: Vec<usize>,
    /// Repairs that nobody asked for: since when, and how many.
    repairs: (Instant, u64),
}

/// A verification that somebody asked for.
struct Pass {
    id: i64,
    request: Request,
    /// Statements still to be compared, the current one last.
    todo: Vec<usize>,
    after: Option<Vec<String>>,
    ranges: u64,
    begun: Instant,
    outcomes: HashMap<usize, (Outcome, Sum)>,
    /// Owners still to be looked at; with the keys of the rows that are still to be counted, or with
    /// none when all of them are.
    waiting: HashMap<(usize, Key), Option<HashSet<Key>>>,
}

impl<V: Verifier, R: ChunkReader> Verify<V, R> {
    /// Verifies until cancelled.
    pub(crate) async fn run(mut self) -> Result<()> {
        let cancel = self.cancel.clone();
        let mut state = None;
        loop {
            let step = async {
                match &mut state {
                    None => state = Some(self.load().await?),
                    Some(state) => self.step(state).await?,
                }
                Ok(())
            };
            let result: Result<()> = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                result = step => result,
            };
            let Err(error) = result else { continue };
            if matches!(error.kind(), Kind::Unavailable | Kind::Unsafe) {
                return Err(error);
            }
            // What cannot be verified must not keep the target from following the source.
            tracing::warn!("verification stopped for a while: {error}");
            record::error(error.code());
            if let Some(State { pass: Some(pass), .. }) = &state {
                self.verifier.refuse(pass.id, &error).await?;
            }
            state = None;
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(ERROR_WAIT) => {}
            }
        }
    }

    async fn load(&mut self) -> Result<State> {
        let known = self.verifier.load().await?;
        let now = Instant::now();
        let mut looks = Looks::default();
        for (statement, owners) in known.unsettled.into_iter().chain(known.open) {
            owners.into_iter().for_each(|owner| looks.add(statement, owner, now));
        }
        if !self.statements.is_empty() {
            // Nothing is settled with it; it tells how many are open.
            let recorded = self.verifier.record_owners(0, &[], START).await?;
            self.progress.findings(&recorded);
        }
        let oldest = known.sweeps.iter().map(|sweep| [sweep.oldest, sweep.oldest]).collect();
        Ok(State {
            begun: oldest,
            sweeps: known.sweeps,
            looks,
            pass: None,
            next_range: now,
            next_tick: now,
            next_token: FIRST_TOKEN,
            since: SystemTime::now(),
            ends: Vec::new(),
            repairs: (now, 0),
        })
    }

    async fn step(&mut self, state: &mut State) -> Result<()> {
        let now = Instant::now();
        if state.next_tick <= now {
            state.next_tick = now + TICK;
            self.tick(state, now).await?;
        }
        // While the target is far behind, everything would be unsettled.
        let follows = self.progress.phase() == Phase::Streaming;
        if follows {
            if let Some((statement, owners)) = state.looks.take(now, LOOK_OWNERS) {
                return self.look(state, statement, owners).await;
            }
            if let Some(at) = state.ends.pop() {
                return self.end_of_table(state, at).await.map(drop);
            }
            if state.pass.is_some() && self.pass(state).await? {
                return Ok(());
            }
            let sweeps = self.options.enabled && state.next_range <= now;
            if sweeps
                && state.looks.len() < LOOKS_MAX
                && let Some(statement) = self.next_sweep(state)
            {
                return self.sweep(state, statement).await;
            }
        }
        let until = [state.looks.next(), Some(state.next_tick)];
        let until = until.into_iter().flatten().filter(|&at| at > now).min();
        tokio::time::sleep_until(until.unwrap_or(now + TICK).into()).await;
        Ok(())
    }

    async fn tick(&mut self, state: &mut State, now: Instant) -> Result<()> {
        if state.pass.is_none()
            && let Some((id, request)) = self.verifier.request().await?
        {
            state.pass = Some(self.begin(state, id, request).await?);
        }
        for (at, owner) in self.verifier.under_repair().await? {
            // What was removed rather than read again is seen with the end of its table.
            if !owner.0.is_empty() {
                state.looks.add(at, owner, now);
            } else if !state.ends.contains(&at) {
                state.ends.push(at);
            }
        }
        self.repair(state, now).await?;
        let recent = self.progress.take_recent(self.options.recent_max());
        for (at, watch) in self.statements.iter().enumerate().filter(|(_, w)| w.owner.is_some()) {
            let keys = recent.iter().filter(|(table, _)| *table == watch.table);
            let keys: Vec<_> = keys.map(|(_, key)| key.clone()).collect();
            for owner in self.verifier.owners(at, &keys).await? {
                state.looks.add_twice(at, owner, now + RECENT_AFTER[0]);
            }
        }
        let oldest = state.begun.iter().map(|[_, before]| before.unwrap_or(state.since)).min();
        self.progress.verified_since(oldest.unwrap_or(state.since), state.looks.len());
        Ok(())
    }

    /// Repairs what was found, where the settings say so, up to a number per hour.
    async fn repair(&mut self, state: &mut State, now: Instant) -> Result<()> {
        let Some(max) = self.options.repairs_per_hour else { return Ok(()) };
        let (since, done) = &mut state.repairs;
        if now.duration_since(*since) >= Duration::from_secs(3600) {
            (*since, *done) = (now, 0);
        }
        if let Some(asked) = self.verifier.repair(max.saturating_sub(*done)).await? {
            *done += asked;
            return Ok(());
        }
        let what = format!("more than {max} rows of the target differed within an hour");
        Err(Error::new(Code::RepairsExceeded, what).at("verification").remedy(
            "find out what else writes to the target; look at regraft.findings, bring them in line by \
             `regraft repair --apply`, and start again; verify.repairs_per_hour is the limit",
        ))
    }

    // ---- owners --------------------------------------------------------------------------------

    /// Looks at the rows of some owners, exactly.
    async fn look(
        &mut self,
        state: &mut State,
        statement: usize,
        owners: Vec<(Key, Look)>,
    ) -> Result<()> {
        let watch = self.statements[statement].clone();
        let Some(owner_columns) = &watch.owner else { return Ok(()) };
        let scope = VerifyScope::Owners(owners.iter().map(|(owner, _)| owner.clone()).collect());
        let mut both = Both::default();
        let Some((seen, watched)) = self.exactly(state, statement, &scope, &mut both).await? else {
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
        let mut settled = Vec::new();
        for (owner, look) in owners {
            if is_touched(&owner) {
                if look.tries >= TRIES_MAX
                    && let Some(pass) = &mut state.pass
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
                state.looks.add(statement, owner.clone(), now + OPEN_AFTER);
            } else if look.twice {
                state.looks.add(statement, owner.clone(), now + RECENT_AFTER[1]);
            }
            settled.push(Settled { owner, equal, found });
        }
        self.found(statement, settled, seen.position).await
    }

    /// Compares both sides inside of a window: what they were, and what the window saw, `None` when that
    /// proves nothing. `None` when the follower is gone.
    async fn exactly<C: Compare>(
        &mut self,
        state: &mut State,
        statement: usize,
        scope: &VerifyScope,
        into: &mut C,
    ) -> Result<Option<(regraft_core::verify::Seen, Option<Watched>)>> {
        let token = state.next_token;
        state.next_token += 1;
        let table = self.statements[statement].table;
        let (opened, is_open) = oneshot::channel();
        if self.follower.send(ChunkMessage::Watch { token, table, opened }).await.is_err() {
            return Ok(None);
        }
        let Ok(position) = is_open.await else { return Ok(None) };
        let seen = match self.verifier.compare(statement, scope, Some(position), into).await {
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
        self.reader.mark(&format!("{}{token}", self.watermark)).await?;
        let Ok(watched) = watched.await else { return Ok(None) };
        Ok(Some((seen, watched)))
    }

    /// Source keys that a window saw touched, directly or by a trace, and those that are pending.
    async fn touched(
        &mut self,
        watch: &Watch,
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

    async fn found(
        &mut self,
        statement: usize,
        settled: Vec<Settled>,
        position: Position,
    ) -> Result<()> {
        if settled.is_empty() {
            return Ok(());
        }
        let target = &self.statements[statement].target;
        let recorded = self.verifier.record_owners(statement, &settled, position).await?;
        let equal: usize = settled.iter().map(|owner| owner.equal.len()).sum();
        self.count(statement, equal as u64);
        self.progress.findings(&recorded);
        if recorded.new > 0 && self.told.is_none_or(|told| told.elapsed() >= TELL_AFTER) {
            self.told = Some(Instant::now());
            tracing::warn!(
                target_table = %target,
                open = recorded.open,
                "rows of the target are not what the SELECT gives: see regraft.findings; `regraft repair` \
                 brings them in line"
            );
        }
        Ok(())
    }

    fn count(&self, statement: usize, rows: u64) {
        record::verified(&self.statements[statement].target, rows);
        self.progress.verified(rows);
    }

    // ---- ranges --------------------------------------------------------------------------------

    /// The statement whose sweep goes on, or is the next one to begin.
    fn next_sweep(&self, state: &State) -> Option<usize> {
        let complete = self.progress.complete();
        let ready = |&at: &usize| complete.get(self.statements[at].table) == Some(&true);
        let sweeps = (0..self.statements.len()).filter(ready);
        sweeps.min_by_key(|&at| {
            let sweep = &state.sweeps[at];
            (sweep.done || sweep.number == 0, sweep.number, at)
        })
    }

    /// Compares the next range of a statement's sweep.
    async fn sweep(&mut self, state: &mut State, at: usize) -> Result<()> {
        let begun = Instant::now();
        let sweep = &mut state.sweeps[at];
        if sweep.done || sweep.number == 0 {
            *sweep = Sweep { number: sweep.number + 1, ..Sweep::default() };
            state.begun[at] = [Some(SystemTime::now()), state.begun[at][0]];
        }
        let (number, after) = (state.sweeps[at].number, state.sweeps[at].upto.clone());
        let (scope, range) = self.range(at, after).await?;
        let (rows, source_time) = match &scope {
            VerifyScope::Range { upto, .. } => {
                let (verified, left, source_time) = range;
                let unsettled = verified.unsettled.len();
                self.verifier.record_range(&verified, number, &scope).await?;
                let now = Instant::now();
                for owner in verified.unsettled {
                    state.looks.add(at, owner, now);
                }
                state.sweeps[at].upto = upto.clone();
                drop(left);
                (verified.rows + unsettled as u64, source_time)
            }
            _ => {
                drop(range);
                (self.whole(state, at).await?, begun.elapsed())
            }
        };
        let last = !matches!(&scope, VerifyScope::Range { upto: Some(_), .. });
        if last {
            state.sweeps[at].done = true;
            state.sweeps[at].upto = None;
            self.end_of_table(state, at).await?;
            // From now on the oldest evidence is that of this sweep.
            state.begun[at][1] = state.begun[at][0];
        }
        state.next_range = begun + self.options.pause(rows, source_time);
        Ok(())
    }

    /// The next range of a statement, compared: what was equal, what was left, how long the source took.
    async fn range(
        &mut self,
        at: usize,
        after: Option<Vec<String>>,
    ) -> Result<(VerifyScope, (Verified, Left, Duration))> {
        let watch = self.statements[at].clone();
        let empty = |position| Verified {
            statement: at,
            rows: 0,
            digest: [0; 32],
            position,
            unsettled: Vec::new(),
        };
        let Some(owner) = &watch.owner else {
            return Ok((VerifyScope::Whole, (empty(START), Left::default(), Duration::ZERO)));
        };
        let (scope, seen, mut comparison) = loop {
            let rows = *self.range_rows.entry(at).or_insert(self.options.chunk_rows);
            let upto = self.reader.boundary(&watch.source, after.as_deref(), rows).await?;
            let scope = VerifyScope::Range { after: after.clone(), upto };
            // A single row passes whatever its size.
            let bounded = Comparison::bounded(HELD_MAX);
            let mut comparison = if rows > 1 { bounded } else { Comparison::default() };
            match self.verifier.compare(at, &scope, None, &mut comparison).await {
                // Rows are wide, or many came to the end of the table since it was asked for.
                Err(error) if error.code() == Code::ChunkTooLarge && rows > 1 => {
                    self.range_rows.insert(at, rows / 2);
                }
                seen => break (scope, seen?, comparison),
            }
        };
        let left = comparison.left();
        let (rows, digest) = comparison.equal();
        self.count(at, rows);
        let unsettled = left.owners(owner);
        let verified = Verified { rows, digest, unsettled, ..empty(seen.position) };
        Ok((scope, (verified, left, seen.source_time)))
    }

    /// Rows of the target that no range covers.
    async fn end_of_table(&mut self, state: &mut State, at: usize) -> Result<Vec<Key>> {
        let mut after = None;
        let mut all = Vec::new();
        loop {
            let (orphans, next) = self.verifier.orphans(at, after.as_ref(), ORPHANS).await?;
            for owner in orphans {
                state.looks.add(at, owner.clone(), Instant::now());
                all.push(owner);
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        let strays = self.verifier.strays(at).await?;
        let left = Left { source: Vec::new(), target: strays };
        let found: Vec<_> =
            left.pairs(&[], &self.statements[at].key).into_iter().map(finding).collect();
        if let Some(pass) = &mut state.pass
            && pass.todo.last() == Some(&at)
        {
            pass.settled(at, &Key::default(), &[], &found);
        }
        let settled = Settled { owner: Key::default(), equal: Vec::new(), found };
        let position = self.progress.status().position.unwrap_or(START);
        self.found(at, vec![settled], position).await?;
        Ok(all)
    }

    /// Compares all rows of a statement without owner columns. What differs is certain only if nothing
    /// of the source table was touched meanwhile. Gives the number of rows.
    async fn whole(&mut self, state: &mut State, at: usize) -> Result<u64> {
        let watch = self.statements[at].clone();
        let mut both = Comparison::bounded(HELD_MAX);
        let scope = VerifyScope::Whole;
        let (seen, watched) = match self.exactly(state, at, &scope, &mut both).await {
            Ok(Some(seen)) => seen,
            Ok(None) => return Ok(0),
            Err(error) if error.code() == Code::ChunkTooLarge => {
                // Too much differs at this moment to say which rows do.
                if let Some(pass) = &mut state.pass
                    && pass.todo.last() == Some(&at)
                {
                    pass.outcome(at).0.unsettled += 1;
                }
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        let left = both.left();
        let (rows, digest) = both.equal();
        self.count(at, rows);
        let quiet = watched.is_some_and(|watched| watched == Watched::default());
        let certain = left.is_empty() || (quiet && !seen.all_pending && seen.pending.is_empty());
        let found: Vec<_> = left.pairs(&[], &watch.key).into_iter().map(finding).collect();
        if let Some(pass) = &mut state.pass
            && pass.todo.last() == Some(&at)
        {
            let (outcome, sum) = pass.outcome(at);
            outcome.rows += rows;
            sum.add(digest);
            if certain {
                count(outcome, &found);
            } else {
                outcome.unsettled += found.len() as u64;
            }
        }
        if certain {
            let owner = Key(WHOLE.into());
            self.found(at, vec![Settled { owner, equal: Vec::new(), found }], seen.position)
                .await?;
        }
        Ok(rows)
    }

    // ---- requests ------------------------------------------------------------------------------

    async fn begin(&mut self, state: &mut State, id: i64, request: Request) -> Result<Pass> {
        let named = |watch: &Watch| {
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
        let begun = Instant::now();
        Ok(Pass { id, request, todo, after: None, ranges: 0, begun, outcomes, waiting })
    }

    /// Goes on with the request; false when it has to wait.
    async fn pass(&mut self, state: &mut State) -> Result<bool> {
        let Some(pass) = &mut state.pass else { return Ok(false) };
        let Some(&at) = pass.todo.last() else {
            if !pass.waiting.is_empty() {
                return Ok(false);
            }
            let (id, outcomes) = (pass.id, pass.report(&self.progress));
            self.verifier.report(id, &outcomes, true).await?;
            state.pass = None;
            return Ok(true);
        };
        if self.progress.complete().get(self.statements[at].table) != Some(&true) {
            return Ok(false);
        }
        let (after, skipped) = (pass.after.clone(), pass.skips());
        pass.ranges += 1;
        let upto = if skipped {
            let source = self.statements[at].source.clone();
            self.reader.boundary(&source, after.as_deref(), self.options.chunk_rows).await?
        } else {
            let (scope, (verified, left, _)) = self.range(at, after).await?;
            match scope {
                VerifyScope::Range { upto, .. } => {
                    let key = self.statements[at].key.clone();
                    let owner = self.statements[at].owner.clone().unwrap_or_default();
                    let Some(pass) = &mut state.pass else { return Ok(false) };
                    pass.compared(at, &verified, left, &owner, &key);
                    let now = Instant::now();
                    for owner in verified.unsettled {
                        state.looks.add(at, owner, now);
                    }
                    upto
                }
                _ => {
                    self.whole(state, at).await?;
                    None
                }
            }
        };
        if upto.is_none() {
            let orphans = self.end_of_table(state, at).await?;
            if let Some(pass) = &mut state.pass {
                for owner in orphans {
                    pass.waiting.entry((at, owner)).or_default();
                }
                pass.todo.pop();
                pass.begun = Instant::now();
            }
        }
        let Some(pass) = &mut state.pass else { return Ok(true) };
        pass.after = upto;
        let (id, outcomes) = (pass.id, pass.report(&self.progress));
        self.verifier.report(id, &outcomes, false).await?;
        Ok(true)
    }
}

impl Pass {
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

    fn compared(
        &mut self,
        at: usize,
        verified: &Verified,
        left: Left,
        owner: &[usize],
        key: &[usize],
    ) {
        for pair in left.pairs(owner, key) {
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

    /// An owner is settled: its rows count that did not when its range was compared.
    fn settled(&mut self, at: usize, owner: &Key, equal: &[(Key, Digest)], found: &[Finding]) {
        let stray = owner.0.is_empty();
        let rows = match self.waiting.remove(&(at, owner.clone())) {
            Some(rows) => rows,
            None if stray => None,
            None => return,
        };
        let (outcome, sum) = self.outcome(at);
        for (key, digest) in equal {
            if rows.as_ref().is_none_or(|rows| rows.contains(key)) {
                outcome.rows += 1;
                sum.add(*digest);
            }
        }
        count(outcome, found);
    }

    fn give_up(&mut self, at: usize, owner: &Key) {
        if self.waiting.remove(&(at, owner.clone())).is_some() {
            self.outcome(at).0.unsettled += 1;
        }
    }

    fn report(&self, progress: &Progress) -> Vec<Outcome> {
        let position = progress.status().position.map_or_else(String::new, |p| p.to_string());
        let mut outcomes: Vec<_> = self.outcomes.iter().collect();
        outcomes.sort_unstable_by_key(|(at, _)| **at);
        let outcome = |(_, (outcome, sum)): (&usize, &(Outcome, Sum))| Outcome {
            digest: hex(&sum.digest()),
            position: if outcome.position.is_empty() {
                position.clone()
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

fn finding(pair: regraft_reconcile::Pair) -> Finding {
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
