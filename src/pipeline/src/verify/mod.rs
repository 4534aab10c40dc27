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

mod exact;
mod pace;
mod pass;
mod ranges;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hashbrown::HashMap;
use regraft_core::contract::{ChunkReader, Phase};
use regraft_core::verify::{Recorded, Sweep, Verifier};
use regraft_core::{Code, Error, Kind, Result, Watermarks};
use regraft_reconcile::Looks;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::pace::Pace;
use self::pass::Pass;
use self::ranges::RangeLimit;
use crate::between::{Changes, Copied};
use crate::follow::ChunkMessage;
use crate::lag::Reached;
use crate::plan::{Trace, VerifyOptions};
use crate::progress::Reporter;

/// Owners that are looked at at once.
const LOOK_OWNERS: usize = 500;
/// With so many owners on the list, no further ranges are compared.
const LOOKS_MAX: usize = 50_000;
/// A request that does not mend gives up on an owner that changed so often while it was looked at.
const TRIES_MAX: u32 = 12;
/// How often changed keys are looked for.
const TICK: Duration = Duration::from_millis(250);
/// How often, in ticks, the ledger is asked for requests.
const REQUEST_TICKS: u64 = 4;
/// A changed row is looked at this long after its change, and once more later.
const RECENT_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// Open findings are looked at again.
const OPEN_AFTER: Duration = Duration::from_secs(30);
/// However many they are, no more than one part in so many of the time goes into that: what was not looked at
/// yet, and the request that is to mend them, would never have their turn.
const OPEN_SHARE: u32 = 4;
/// But they are not put off for longer, nor are those that were repaired.
const OPEN_AFTER_MAX: Duration = Duration::from_secs(600);
const REPAIRED_AFTER_MAX: Duration = Duration::from_secs(30);
/// After an error that is not about a connection.
const ERROR_WAIT: Duration = Duration::from_secs(30);
/// After an error that is.
const RECONNECT_WAIT: Duration = Duration::from_secs(1);
/// New findings are logged at most this often.
const TELL_AFTER: Duration = Duration::from_secs(10);
/// Bytes of rows without their like that a comparison holds at once.
const HELD_MAX: usize = 64 << 20;

/// See the module.
pub(crate) struct Verify<V, R> {
    pub(crate) verifier: V,
    /// Writes watermarks.
    pub(crate) marker: R,
    /// Passes over ranges of a sample, and follows traces. These wait for locks, and nothing else must.
    pub(crate) reader: R,
    pub(crate) follower: mpsc::Sender<ChunkMessage>,
    pub(crate) options: VerifyOptions,
    pub(crate) reporter: Reporter,
    /// How far the target is.
    pub(crate) reached: watch::Receiver<Option<Reached>>,
    /// Of each source table by its index.
    pub(crate) copied: watch::Receiver<Vec<Copied>>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) changes: Arc<Changes>,
    /// Findings that are open: some row is known to differ.
    pub(crate) findings_open: u64,
    pub(crate) statements: Vec<Compared>,
    pub(crate) traces: Vec<Trace>,
    pub(crate) watermarks: Watermarks,
    pub(crate) cancel: CancellationToken,
    /// Source rows per range of a statement, where they had to be fewer than was wanted.
    pub(crate) range_limits: HashMap<usize, RangeLimit>,
    /// When the log told of findings.
    pub(crate) told: Option<Instant>,
}

/// A statement, as it is verified.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
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
    looks: Looks<Instant>,
    /// What it takes to look at one of many owners.
    look_cost: Duration,
    /// Statements with rows that were repaired and not looked at since, as of some time; and when that may be
    /// asked for again.
    repairing: (Instant, Vec<usize>),
    next_repairing: Instant,
    pass: Option<Pass>,
    /// When which range may be compared.
    pace: Pace,
    next_tick: Instant,
    ticks: u64,
    since: SystemTime,
    /// Statements whose rows without an owner are to be looked at.
    ends: Vec<usize>,
    /// Repairs that nobody asked for: since when, and how many.
    repairs: (Instant, u64),
}

impl State {
    /// How long it takes to look at so many owners.
    fn looks_at(&self, owners: usize) -> Duration {
        self.look_cost.saturating_mul(u32::try_from(owners).unwrap_or(u32::MAX))
    }
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
            self.reporter.verification_stopped(&error);
            // Other shapes than those of the mapping are told by the stream and by the sentinel, at their
            // position.
            if error.code() == Code::RepairsExceeded {
                return Err(error);
            }
            // What cannot be verified must not keep the target from following the source: neither does a
            // connection that was lost, or could not be had, as long as the others are there.
            tracing::warn!("verification stopped for a while: {error:#}");
            self.reporter.record().error(error.code());
            let pass = state.take().and_then(|state: State| state.pass);
            let wait = async {
                self.verifier.give_up().await?;
                if error.kind() == Kind::Unavailable {
                    // A request is taken up again.
                    tokio::time::sleep(RECONNECT_WAIT).await;
                    return Ok(());
                }
                // What has to be mended stays to be done.
                if let Some(pass) = pass.filter(|pass| !pass.mends()) {
                    self.verifier.refuse(pass.id, &error).await?;
                }
                tokio::time::sleep(ERROR_WAIT).await;
                Ok(())
            };
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                waited = wait => waited?,
            }
        }
    }

    /// All rows of a statement's source table are copied.
    fn is_copied(&self, statement: usize) -> bool {
        let copied = self.copied.borrow();
        copied.get(self.statements[statement].table).is_some_and(|table| table.complete)
    }

    fn position(&self) -> String {
        let reached = self.reached.borrow();
        reached.as_ref().map_or_else(String::new, |reached| reached.position.to_string())
    }

    fn findings(&mut self, recorded: &Recorded) {
        self.findings_open = recorded.open;
        self.reporter.findings(recorded);
    }

    async fn load(&mut self) -> Result<State> {
        let known = self.verifier.load().await?;
        let now = Instant::now();
        let mut looks = Looks::default();
        for (statement, owners) in known.unsettled.into_iter().chain(known.open) {
            owners.into_iter().for_each(|owner| looks.add(statement, owner, now));
        }
        self.findings(&Recorded { open: known.findings, ..Recorded::default() });
        let oldest = known.sweeps.iter().map(|sweep| [sweep.oldest, sweep.oldest]).collect();
        Ok(State {
            begun: oldest,
            pace: Pace::new(known.sweeps.len(), now),
            sweeps: known.sweeps,
            looks,
            look_cost: Duration::ZERO,
            repairing: (now, Vec::new()),
            next_repairing: now,
            pass: None,
            next_tick: now,
            ticks: 0,
            since: self.options.since,
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
        let follows = *self.phase.borrow() == Phase::Streaming;
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
            if self.options.enabled
                && state.looks.len() < LOOKS_MAX
                && let Some(statement) = self.next_sweep(state, now)
            {
                return self.sweep(state, statement).await;
            }
        }
        let until = [state.looks.next(), Some(state.next_tick)];
        let until = until.into_iter().flatten().filter(|&at| at > now).min();
        tokio::time::sleep_until(until.unwrap_or(now + TICK)).await;
        Ok(())
    }

    async fn tick(&mut self, state: &mut State, now: Instant) -> Result<()> {
        self.reader.rest();
        let asks = state.ticks.is_multiple_of(REQUEST_TICKS);
        state.ticks += 1;
        if asks && state.pass.is_none() {
            match self.verifier.request().await? {
                Some((id, request)) => {
                    if request.repair {
                        self.reporter.mending(true);
                    }
                    state.pass = Some(self.begin(state, id, request).await?);
                }
                None => self.reporter.mending(false),
            }
        }
        if self.findings_open > 0 {
            if state.next_repairing <= now {
                self.look_at_repaired(state, now).await?;
            }
            self.repair(state, now).await?;
        } else {
            state.repairing = (now, Vec::new());
        }
        let recent = self.changes.take_recent(self.options.recent_max());
        for (at, watch) in self.statements.iter().enumerate().filter(|(_, w)| w.owner.is_some()) {
            let keys = recent.iter().filter(|(table, _)| *table == watch.table);
            let keys: Vec<_> = keys.map(|(_, key)| key.clone()).collect();
            for owner in self.verifier.owners(at, &keys).await? {
                state.looks.add_twice(at, owner, now + RECENT_AFTER[0]);
            }
        }
        let oldest = state.begun.iter().map(|[_, before]| before.unwrap_or(state.since)).min();
        let passes = state.sweeps.iter().map(Sweep::passes).min().unwrap_or_default();
        self.reporter.verified_since(oldest.unwrap_or(state.since), passes, &state.looks);
        Ok(())
    }

    async fn look_at_repaired(&mut self, state: &mut State, now: Instant) -> Result<()> {
        let repaired = self.verifier.under_repair().await?;
        let next = (state.looks_at(repaired.len()) * 2).min(REPAIRED_AFTER_MAX);
        state.next_repairing = now + next;
        let mut statements: Vec<_> = repaired.iter().map(|(at, _)| *at).collect();
        statements.dedup();
        state.repairing = (now, statements);
        for (at, owner) in repaired {
            // What was removed rather than read again is seen with the end of its table.
            if !owner.0.is_empty() {
                state.looks.add(at, owner, now);
            } else if !state.ends.contains(&at) {
                state.ends.push(at);
            }
        }
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
}
