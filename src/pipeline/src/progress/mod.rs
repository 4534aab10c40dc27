//! What the pipeline is doing, for the status page, the metrics and the summary.
//!
//! It outlives attempts, and nothing is decided by it: the tasks of a pipeline have a [`Reporter`], which
//! has nothing to read. What they have to know of each other goes through [`crate::between`].

mod latency;
mod reporter;
mod status;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use regraft_core::TableName;
use regraft_core::contract::Phase;
use regraft_telemetry::Recorder;
use tokio::time::Instant;

use self::latency::LagHistogram;
pub use self::latency::LagSummary;
pub use self::reporter::Reporter;
pub use self::status::{HeldTable, LastError, Status, TableStatus, Verification};
use crate::lag::{Lag, Reached};
use crate::plan::Plan;

/// What is known of a pipeline from outside; cheap to read and to clone.
#[derive(Clone)]
pub struct Progress(Arc<Shared>);

struct Shared {
    name: String,
    recorder: Recorder,
    targets: Vec<TableName>,
    sources: Vec<TableName>,
    source_of: Vec<usize>,
    state: Mutex<State>,
    /// Source tables that the plan leaves out.
    held: Vec<HeldTable>,
    since: SystemTime,
}

#[derive(Default)]
struct State {
    phase: Option<Phase>,
    reached: Option<Reached>,
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
    verification: Verification,
    /// Every row was compared after this moment.
    verified_since: Option<SystemTime>,
    /// Rows may be missing until a comparison that was asked for has mended them.
    mending: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Of a plan that has not started, and leaves out these tables. It goes on from the plan `before`.
    pub fn new(plan: &Plan, held: Vec<HeldTable>, before: Option<&Progress>) -> Self {
        let recorder = Recorder::of(&plan.name);
        recorder.held_tables(held.len());
        let sources: Vec<_> = plan.tables.iter().map(|table| table.table.clone()).collect();
        let source_of = |route: &regraft_core::segment::Route| plan.table(&route.source);
        let mut state = State {
            rows: vec![(0, 0); plan.routes.len()],
            chunks: vec![(0, 0, 0); sources.len()],
            copied_before: vec![None; sources.len()],
            ..State::default()
        };
        if let Some(before) = before {
            let mut before = before.0.state();
            (state.transactions, state.changes) = (before.transactions, before.changes);
            state.lag = std::mem::take(&mut before.lag);
            state.verification = before.verification.clone();
        }
        Self(Arc::new(Shared {
            name: plan.name.clone(),
            recorder,
            targets: plan.routes.iter().map(|route| route.target.clone()).collect(),
            source_of: plan.routes.iter().map(|r| source_of(r).unwrap_or(0)).collect(),
            sources,
            state: Mutex::new(state),
            held,
            since: before.map_or_else(SystemTime::now, Progress::since),
        }))
    }

    /// For those who have something to tell.
    pub fn reporter(&self) -> Reporter {
        Reporter(Arc::clone(&self.0))
    }

    /// When the daemon began.
    pub fn since(&self) -> SystemTime {
        self.0.since
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.0.state().phase.unwrap_or(Phase::Starting)
    }

    /// Chunks of single keys that the stream could not carry whole, and that are not read yet. Until
    /// they are, these rows are as they were before.
    pub fn keys_to_read(&self) -> u64 {
        self.0.state().keys_to_read
    }

    /// Rows are being compared because they may be stale, and are mended where they are.
    pub fn is_mending(&self) -> bool {
        self.0.state().mending
    }

    /// Chunks copied and expected, over all tables.
    pub fn chunks(&self) -> (u64, u64) {
        let state = self.0.state();
        state.chunks.iter().fold((0, 0), |(done, all), (d, _, e)| (done + d, all + e))
    }

    /// Sets the metrics that say how old something is: they are of the moment when they are asked for.
    pub fn record(&self) {
        let status = self.status();
        if let (Some(bytes), Some(seconds)) = (status.lag_bytes, status.lag_seconds) {
            self.0.recorder.lag(bytes, seconds);
        }
        if let Some(seconds) = status.verification.oldest_seconds {
            self.0.recorder.unverified(Duration::from_secs_f64(seconds));
        }
    }

    /// The distribution of lags so far.
    pub fn lag_summary(&self) -> LagSummary {
        self.0.state().lag.summary()
    }

    /// The state now.
    pub fn status(&self) -> Status {
        let shared = &self.0;
        let state = shared.state();
        let oldest = state.verified_since.map(age);
        let table = |(at, target): (usize, &TableName)| {
            let source = shared.source_of[at];
            let (chunks_done, chunks_total, chunks_expected) = state.chunks[source];
            TableStatus {
                target: target.to_string(),
                source: shared.sources[source].to_string(),
                rows: state.rows[at].0,
                deleted: state.rows[at].1,
                chunks_done,
                chunks_total,
                chunks_expected,
            }
        };
        Status {
            name: shared.name.clone(),
            phase: state.phase.unwrap_or(Phase::Starting),
            healthy: state.last_error.is_none() && shared.held.is_empty(),
            position: state.reached.as_ref().map(|reached| reached.position.clone()),
            lag_bytes: state.measured.bytes(state.reached.as_ref().map(Reached::upto)),
            lag_seconds: state.lag().map(|lag| lag.as_secs_f64()),
            caught_up: state.measured.was_level(),
            copy_seconds_left: state.copy_left().map(|left| left.as_secs_f64()),
            tables: shared.targets.iter().enumerate().map(table).collect(),
            transactions: state.transactions,
            changes: state.changes,
            verification: Verification {
                oldest_seconds: oldest.map(|age| age.as_secs_f64()),
                ..state.verification.clone()
            },
            held: shared.held.clone(),
            last_error: state.last_error.clone(),
        }
    }
}

impl State {
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

#[cfg(test)]
mod tests {
    use regraft_core::contract::{LedgerState, Past};
    use regraft_core::{Code, Error, Lsn};

    use super::*;
    use crate::fold::net::tests::plan;

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
    fn what_stopped_verification_is_over_with_the_attempt() {
        let progress = Progress::new(&plan(true, false), Vec::new(), None);
        let reporter = progress.reporter();
        reporter.verification_stopped(&Error::new(Code::Unreachable, "gone").at("source"));
        let stopped = progress.status().verification.stopped;
        assert_eq!(stopped.as_deref(), Some("RG2001 source: gone"));
        reporter.begins(&LedgerState {
            past: Past { position: Lsn(7).into(), last: None, history: None },
            commit_time: None,
            tables: Vec::new(),
            pending: Vec::new(),
            mending: vec!["public.t".to_owned()],
        });
        assert_eq!(progress.status().verification.stopped, None);
        assert_eq!(progress.status().position, Some(Lsn(7).into()));
        assert!(progress.is_mending());
    }
}
