//! What the pipeline is doing, for the status page, the metrics and the summary.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use regraft_core::contract::{LedgerState, Phase, Written};
use regraft_core::segment::Commit;
use regraft_core::verify::Recorded;
use regraft_core::{Error, Key, Position, TableName};
use regraft_reconcile::Looks;
use regraft_telemetry::record;
use serde::Serialize;

use crate::lag::Lag;
use crate::plan::Plan;

/// Shared by the tasks of a pipeline; cheap to read.
pub struct Progress {
    name: String,
    targets: Vec<TableName>,
    sources: Vec<TableName>,
    source_of: Vec<usize>,
    complete: Vec<AtomicBool>,
    /// Changes that the stream brought, of each source table by its index.
    touched: Vec<AtomicU64>,
    /// Commits of the source wait for this pipeline.
    awaited: AtomicBool,
    /// Keys that changed, of each source table by its index, until they are looked at.
    recent: Mutex<Vec<(usize, Key)>>,
    /// How many more of them there is room for.
    recent_room: AtomicUsize,
    state: Mutex<State>,
    /// Source tables that the plan leaves out.
    held: Vec<HeldTable>,
    since: SystemTime,
}

#[derive(Default)]
struct State {
    phase: Option<Phase>,
    position: Option<Position>,
    /// Newest position up to which nothing is pending, which may be ahead of the last commit.
    idle_at: Option<Position>,
    measured: Lag,
    commit_time: Option<SystemTime>,
    rows: Vec<(u64, u64)>,
    /// Done, planned and expected.
    chunks: Vec<(u64, u64, u64)>,
    /// Since when chunks are counted, and how many of each table were done when they were first.
    copying: Option<Instant>,
    copied_before: Vec<Option<u64>>,
    /// Chunks of keys that are to be read.
    keys_to_read: u64,
    transactions: u64,
    changes: u64,
    lag: LagHistogram,
    last_error: Option<LastError>,
    /// Existing rows are refused while the stream goes on: a commit is no end of the error.
    refusing: bool,
    verification: Verification,
    /// Every row was compared after this moment.
    verified_since: Option<SystemTime>,
    /// The error is over, and the ledger does not know it yet.
    recovered: bool,
    /// Rows may be missing until a comparison that was asked for has mended them.
    mending: bool,
}

/// An error as the status shows it.
#[derive(Clone, Debug, Serialize)]
pub struct LastError {
    /// Stable code.
    pub code: &'static str,
    /// What happened, and where.
    pub what: String,
    /// What to do next.
    pub remedy: Option<String>,
    /// When, as seconds since 1970 on this machine's clock.
    pub at: u64,
}

impl LastError {
    /// As of now.
    pub fn of(error: &Error) -> Self {
        Self {
            code: error.code().as_str(),
            what: match error.place() {
                Some(place) => format!("{place}: {}", error.what()),
                None => error.what().to_owned(),
            },
            remedy: error.remedy_text().map(str::to_owned),
            at: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_secs()),
        }
    }
}

/// A source table that is held while the others go on.
#[derive(Clone, Debug, Serialize)]
pub struct HeldTable {
    /// Schema and table.
    pub table: String,
    /// Seconds since 1970 on the target's clock.
    pub since: u64,
    /// The rows in the target are as they were at this position of the source.
    pub position: String,
    /// Code of the error that holds it.
    pub code: String,
    /// What is not the same any more, and where.
    pub what: String,
    /// What to do next.
    pub remedy: String,
}

impl std::fmt::Display for HeldTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let HeldTable { table, position, code, what, .. } = self;
        write!(f, "{table} is held at {position}: [{code}] {what}")
    }
}

/// The state of a pipeline at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Name of the pipeline.
    pub name: String,
    /// What it is doing.
    pub phase: Phase,
    /// No error holds it, or a table of it.
    pub healthy: bool,
    /// Everything up to here is in the target.
    pub position: Option<Position>,
    /// Bytes of the source's log that are not in the target yet, once that is known.
    pub lag_bytes: Option<u64>,
    /// For how long something has been in the source that is not in the target, about; 0 when nothing
    /// is. While the source does not answer, the time since its last answer. `None` until it is known.
    pub lag_seconds: Option<f64>,
    /// Since the daemon started, the target has once had everything that was in the source.
    pub caught_up: bool,
    /// Seconds until existing rows are copied, about, by how fast this daemon was; `None` when they are, and
    /// until that is known.
    pub copy_seconds_left: Option<f64>,
    /// Target tables.
    pub tables: Vec<TableStatus>,
    /// Source transactions applied since the daemon started.
    pub transactions: u64,
    /// Source row changes applied since the daemon started.
    pub changes: u64,
    /// What verification has found, since the daemon started.
    pub verification: Verification,
    /// Source tables that are held while the others go on.
    pub held: Vec<HeldTable>,
    /// The error that holds the pipeline.
    pub last_error: Option<LastError>,
}

impl Status {
    /// Of a pipeline that is not there yet: its servers are not asked, or its slot is being made.
    pub fn starting(name: &str, last_error: Option<LastError>) -> Self {
        Self {
            name: name.to_owned(),
            phase: Phase::Starting,
            healthy: last_error.is_none(),
            position: None,
            lag_bytes: None,
            lag_seconds: None,
            caught_up: false,
            copy_seconds_left: None,
            tables: Vec::new(),
            transactions: 0,
            changes: 0,
            verification: Verification::default(),
            held: Vec::new(),
            last_error,
        }
    }
}

/// What verification has found, in a [`Status`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Rows that were equal.
    pub rows: u64,
    /// Every row was compared at most so many seconds ago; since the daemon started where it was never.
    pub oldest_seconds: Option<f64>,
    /// How often every row was compared, since the statements are what they are.
    pub passes: u64,
    /// Source rows that are still to be looked at, because they changed or were not equal.
    pub unsettled: usize,
    /// How often the one of them was looked at that was most.
    pub tries: u32,
    /// Findings that are open.
    pub findings_open: u64,
    /// Findings that a repair ended.
    pub repaired: u64,
    /// Why nothing can be compared now: a lock of the source, say.
    pub stopped: Option<String>,
}

/// One target table in a [`Status`].
#[derive(Clone, Debug, Serialize)]
pub struct TableStatus {
    /// Schema and table.
    pub target: String,
    /// Source table that it is made from.
    pub source: String,
    /// Rows written since the daemon started: inserted or updated.
    pub rows: u64,
    /// Rows deleted since the daemon started.
    pub deleted: u64,
    /// Chunks of the source table that are copied.
    pub chunks_done: u64,
    /// Chunks of the source table that are planned so far.
    pub chunks_total: u64,
    /// Chunks of the source table that there will be, about; once all are planned, exactly.
    pub chunks_expected: u64,
}

/// Time from the commit at the source to the commit at the target, over all transactions.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LagSummary {
    /// Half of the transactions took at most this many seconds.
    pub p50: f64,
    /// 99 % of the transactions took at most this many seconds.
    pub p99: f64,
}

impl Progress {
    /// Of a plan that has not started, and leaves out these tables. It goes on from the plan `before`.
    pub fn new(plan: &Plan, held: Vec<HeldTable>, before: Option<&Progress>) -> Self {
        record::held_tables(held.len());
        let sources: Vec<_> = plan.tables.iter().map(|table| table.table.clone()).collect();
        let source_of = |route: &regraft_core::segment::Route| plan.table(&route.source);
        let mut state = State {
            rows: vec![(0, 0); plan.routes.len()],
            chunks: vec![(0, 0, 0); sources.len()],
            copied_before: vec![None; sources.len()],
            ..State::default()
        };
        if let Some(before) = before {
            let mut before = before.state();
            (state.transactions, state.changes) = (before.transactions, before.changes);
            state.lag = std::mem::take(&mut before.lag);
            state.verification = before.verification.clone();
        }
        Self {
            name: plan.name.clone(),
            targets: plan.routes.iter().map(|route| route.target.clone()).collect(),
            source_of: plan.routes.iter().map(|r| source_of(r).unwrap_or(0)).collect(),
            complete: sources.iter().map(|_| AtomicBool::new(false)).collect(),
            touched: sources.iter().map(|_| AtomicU64::new(0)).collect(),
            sources,
            awaited: AtomicBool::new(false),
            recent: Mutex::default(),
            recent_room: AtomicUsize::new(0),
            state: Mutex::new(state),
            held,
            since: before.map_or_else(SystemTime::now, |before| before.since),
        }
    }

    /// When the daemon began: what was never compared is no younger proof.
    pub(crate) fn since(&self) -> SystemTime {
        self.since
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of a source table changed: rows of its statements may have, too.
    pub(crate) fn touch(&self, table: usize) {
        self.touched[table].fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was; it only grows.
    pub(crate) fn touched(&self, table: usize) -> u64 {
        self.touched[table].load(Ordering::Relaxed)
    }

    /// Notes a changed key, as long as there is room.
    pub(crate) fn changed(&self, table: usize, key: &Key) {
        self.touch(table);
        if self.recent_room.load(Ordering::Relaxed) > 0 {
            self.recent_room.fetch_sub(1, Ordering::Relaxed);
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.push((table, key.clone()));
        }
    }

    /// The keys that changed since the last time, and room for `room` more.
    pub(crate) fn take_recent(&self, room: usize) -> Vec<(usize, Key)> {
        let taken =
            std::mem::take(&mut *self.recent.lock().unwrap_or_else(PoisonError::into_inner));
        self.recent_room.store(room, Ordering::Relaxed);
        taken
    }

    /// Every row was compared after `oldest`, and so often; these owners are still to be looked at.
    pub(crate) fn verified_since(&self, oldest: SystemTime, passes: u64, looks: &Looks) {
        let mut state = self.state();
        state.verified_since = Some(oldest);
        let (unsettled, tries) = (looks.len(), looks.tries());
        state.verification =
            Verification { passes, unsettled, tries, ..state.verification.clone() };
    }

    /// Verification cannot work, until something is compared again.
    pub(crate) fn verification_stopped(&self, error: &Error) {
        let why = match error.place() {
            Some(place) => format!("{} {place}: {}", error.code(), error.what()),
            None => format!("{} {}", error.code(), error.what()),
        };
        self.state().verification.stopped = Some(why);
    }

    pub(crate) fn verified(&self, rows: u64) {
        let verification = &mut self.state().verification;
        verification.rows += rows;
        verification.stopped = None;
    }

    /// Some row is known to differ.
    pub(crate) fn findings_open(&self) -> u64 {
        self.state().verification.findings_open
    }

    pub(crate) fn findings(&self, recorded: &Recorded) {
        record::findings(recorded);
        let verification = &mut self.state().verification;
        verification.findings_open = recorded.open;
        verification.repaired += recorded.repaired;
    }

    pub(crate) fn loaded(&self, ledger: &LedgerState) {
        let mut state = self.state();
        state.position = Some(ledger.position.clone());
        state.mending = !ledger.mending.is_empty();
        state.idle_at = None;
        state.commit_time = ledger.commit_time;
    }

    /// Sets the phase; true when it is another one than before.
    pub fn set_phase(&self, phase: Phase) -> bool {
        let mut state = self.state();
        let changed = state.phase.replace(phase) != Some(phase);
        if changed {
            record::phase(phase);
        }
        changed
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.state().phase.unwrap_or(Phase::Starting)
    }

    /// Notes an error that holds the pipeline.
    pub fn set_error(&self, error: &Error) {
        record::error(error.code());
        self.state().last_error = Some(LastError::of(error));
    }

    /// True once after an error is over.
    pub(crate) fn take_recovered(&self) -> bool {
        std::mem::take(&mut self.state().recovered)
    }

    /// An error holds the pipeline: connecting again is not enough to be well.
    pub(crate) fn is_held(&self) -> bool {
        self.state().last_error.is_some()
    }

    pub(crate) fn set_chunks(&self, table: usize, done: u64, total: u64, expected: u64) {
        let mut state = self.state();
        state.chunks[table] = (done, total, expected);
        state.copying.get_or_insert_with(Instant::now);
        state.copied_before[table].get_or_insert(done);
        drop(state);
        record::chunks(&self.sources[table], done, total);
    }

    /// Chunks of single keys that the stream could not carry whole, and that are not read yet. Until
    /// they are, these rows are as they were before.
    pub fn keys_to_read(&self) -> u64 {
        self.state().keys_to_read
    }

    pub(crate) fn set_keys_to_read(&self, count: u64) {
        self.state().keys_to_read = count;
    }

    /// Rows are being compared because they may be stale, and are mended where they are.
    pub fn is_mending(&self) -> bool {
        self.state().mending
    }

    pub(crate) fn set_mending(&self, mending: bool) {
        self.state().mending = mending;
    }

    pub(crate) fn set_refusing(&self, refusing: bool) {
        let mut state = self.state();
        if std::mem::replace(&mut state.refusing, refusing) && !refusing {
            state.recovered |= state.last_error.take().is_some();
        }
    }

    pub(crate) fn set_awaited(&self, awaited: bool) {
        self.awaited.store(awaited, Ordering::Relaxed);
    }

    /// Commits of the source wait until what they wrote is durable here.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed)
    }

    pub(crate) fn set_complete(&self, table: usize, complete: bool) {
        self.complete[table].store(complete, Ordering::Relaxed);
    }

    pub(crate) fn complete(&self) -> Vec<bool> {
        self.complete.iter().map(|flag| flag.load(Ordering::Relaxed)).collect()
    }

    /// Chunks copied and expected, over all tables.
    pub fn chunks(&self) -> (u64, u64) {
        let state = self.state();
        state.chunks.iter().fold((0, 0), |(done, all), (d, _, e)| (done + d, all + e))
    }

    /// The source's log ends here, at least.
    pub(crate) fn heard_of(&self, end: Position) {
        self.state().measured.heard(end);
    }

    /// The source's log ends here now.
    pub(crate) fn measured(&self, end: Position) {
        let mut state = self.state();
        let reached = state.reached().cloned();
        state.measured.measured(end, reached.as_ref(), Instant::now());
    }

    /// The source has nothing between `after` and `position`: not pending, once `after` is applied.
    pub(crate) fn idle_at(&self, after: &Position, position: &Position) {
        let mut state = self.state();
        if state.position.as_ref().is_some_and(|reached| reached.covers(after)) {
            state.idle_at = Some(position.clone());
            state.measured.reached(position);
        }
        state.measured.heard(position.clone());
    }

    pub(crate) fn written(&self, written: &[Written]) {
        let mut state = self.state();
        for w in written {
            let rows = &mut state.rows[w.statement];
            rows.0 += w.upserted;
            rows.1 += w.deleted;
            record::rows(&self.targets[w.statement], w.upserted, w.deleted);
        }
    }

    pub(crate) fn committed(&self, commit: &Commit) {
        let now = SystemTime::now();
        let mut state = self.state();
        for time in &commit.commit_times {
            let lag = now.duration_since(*time).unwrap_or_default();
            state.lag.add(lag);
            record::apply_lag(lag);
        }
        state.position = Some(commit.position.clone());
        state.measured.reached(&commit.position);
        if !state.refusing {
            state.recovered |= state.last_error.take().is_some();
        }
        state.transactions += commit.commit_times.len() as u64;
        state.changes += commit.changes;
        if let Some(last) = &commit.last {
            state.commit_time = Some(last.commit_time);
        }
        drop(state);
        record::transactions(commit.commit_times.len() as u64);
    }

    /// The lag in time as it is now, and whether the target was level with the source once; `None` as
    /// long as the lag is not known.
    pub(crate) fn lag(&self) -> Option<(Duration, bool)> {
        let state = self.state();
        Some((state.lag()?, state.measured.was_level()))
    }

    /// Sets the metrics that say how old something is: they are of the moment when they are asked for.
    pub fn record(&self) {
        let status = self.status();
        if let (Some(bytes), Some(seconds)) = (status.lag_bytes, status.lag_seconds) {
            record::lag(bytes, seconds);
        }
        if let Some(seconds) = status.verification.oldest_seconds {
            record::unverified(Duration::from_secs_f64(seconds));
        }
    }

    /// The distribution of lags so far.
    pub fn lag_summary(&self) -> LagSummary {
        let state = self.state();
        LagSummary { p50: state.lag.quantile(0.5), p99: state.lag.quantile(0.99) }
    }

    /// The state now.
    pub fn status(&self) -> Status {
        let state = self.state();
        let oldest = state.verified_since.map(age);
        let table = |(at, target): (usize, &TableName)| TableStatus {
            target: target.to_string(),
            source: self.sources[self.source_of[at]].to_string(),
            rows: state.rows[at].0,
            deleted: state.rows[at].1,
            chunks_done: state.chunks[self.source_of[at]].0,
            chunks_total: state.chunks[self.source_of[at]].1,
            chunks_expected: state.chunks[self.source_of[at]].2,
        };
        Status {
            name: self.name.clone(),
            phase: state.phase.unwrap_or(Phase::Starting),
            healthy: state.last_error.is_none() && self.held.is_empty(),
            position: state.position.clone(),
            lag_bytes: state.measured.bytes(state.reached()),
            lag_seconds: state.lag().map(|lag| lag.as_secs_f64()),
            caught_up: state.measured.was_level(),
            copy_seconds_left: state.copy_left().map(|left| left.as_secs_f64()),
            tables: self.targets.iter().enumerate().map(table).collect(),
            transactions: state.transactions,
            changes: state.changes,
            verification: Verification {
                oldest_seconds: oldest.map(|age| age.as_secs_f64()),
                ..state.verification.clone()
            },
            held: self.held.clone(),
            last_error: state.last_error.clone(),
        }
    }
}

impl State {
    /// Nothing is pending up to here.
    fn reached(&self) -> Option<&Position> {
        let beyond = |idle: &&Position| self.position.as_ref().is_some_and(|at| idle.covers(at));
        self.idle_at.as_ref().filter(beyond).or(self.position.as_ref())
    }

    /// How long the rest of the copy takes if it goes on like this.
    #[allow(clippy::cast_precision_loss, reason = "shown in whole seconds")]
    fn copy_left(&self) -> Option<Duration> {
        let left: u64 = self.chunks.iter().map(|(done, _, all)| all.saturating_sub(*done)).sum();
        let since = self.chunks.iter().zip(&self.copied_before);
        let since = since.filter_map(|((done, ..), before)| Some(done.saturating_sub((*before)?)));
        match (left, since.sum::<u64>()) {
            (0, _) | (_, 0) => None,
            (left, done) => Some(self.copying?.elapsed().mul_f64(left as f64 / done as f64)),
        }
    }

    fn lag(&self) -> Option<Duration> {
        self.measured.time(Instant::now(), self.commit_time.map(age))
    }
}

fn age(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_default()
}

/// Counts of durations in buckets that grow by 5 %, from 0.1 ms to about 100 days.
#[derive(Default)]
struct LagHistogram {
    buckets: Vec<u64>,
    count: u64,
}

const FIRST_BUCKET_SECONDS: f64 = 1e-4;
const BUCKET_GROWTH: f64 = 1.05;

impl LagHistogram {
    fn add(&mut self, lag: Duration) {
        let steps = (lag.as_secs_f64() / FIRST_BUCKET_SECONDS).max(1.0).log(BUCKET_GROWTH);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 500"
        )]
        let bucket = steps.min(500.0) as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
    }

    /// Upper edge, in seconds, of the bucket in which the quantile lies.
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn quantile(&self, q: f64) -> f64 {
        let wanted = self.count as f64 * q;
        let mut seen = 0.0;
        let mut edge = FIRST_BUCKET_SECONDS;
        for &count in &self.buckets {
            seen += count as f64;
            edge *= BUCKET_GROWTH;
            if seen >= wanted && seen > 0.0 {
                return edge;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_copy_takes_as_long_as_what_was_copied() {
        let copy = |chunks: &[(u64, u64)], seconds| {
            let state = State {
                chunks: chunks.iter().map(|(_, done)| (*done, 20, 20)).collect(),
                copied_before: chunks.iter().map(|(before, _)| Some(*before)).collect(),
                copying: Instant::now().checked_sub(Duration::from_secs(seconds)),
                ..State::default()
            };
            state.copy_left().map(|left| left.as_secs_f64().round())
        };
        // Ten chunks in a minute, and ten or thirty are left; what was there before took no time.
        assert_eq!(copy(&[(0, 10)], 60), Some(60.0));
        assert_eq!(copy(&[(5, 10), (0, 0)], 30), Some(180.0));
        assert_eq!([copy(&[(20, 20)], 60), copy(&[(4, 4)], 60), copy(&[], 60)], [None; 3]);
    }

    #[test]
    fn quantiles_are_within_a_bucket() {
        let mut lag = LagHistogram::default();
        assert!(lag.quantile(0.5).abs() < f64::EPSILON);
        (1..=1000).for_each(|ms| lag.add(Duration::from_millis(ms)));
        assert!((0.5..0.53).contains(&lag.quantile(0.5)), "{}", lag.quantile(0.5));
        assert!((0.99..1.05).contains(&lag.quantile(0.99)), "{}", lag.quantile(0.99));
    }
}
