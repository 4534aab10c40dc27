//! The side of [`super::Progress`] that the tasks of a pipeline have: they tell, and cannot read.

use std::sync::Arc;
use std::time::SystemTime;

use regraft_core::contract::{LedgerState, Phase, Written};
use regraft_core::segment::Commit;
use regraft_core::verify::Recorded;
use regraft_core::{Error, Position};
use regraft_reconcile::Looks;
use regraft_telemetry::Recorder;
use tokio::time::Instant;

use super::{LastError, Shared, Verification};
use crate::lag::Reached;

/// See the module.
#[derive(Clone)]
pub struct Reporter(pub(super) Arc<Shared>);

impl Reporter {
    /// The pipeline's metrics.
    pub(crate) fn record(&self) -> &Recorder {
        &self.0.recorder
    }

    /// An attempt begins with this. What the tasks of the one before said of themselves is over.
    pub(crate) fn begins(&self, ledger: &LedgerState) {
        let mut state = self.0.state();
        state.reached = Some(Reached::at(ledger.past.position.clone()));
        state.mending = !ledger.mending.is_empty();
        state.commit_time = ledger.commit_time;
        state.verification.stopped = None;
    }

    /// The phase.
    pub fn phase(&self, phase: Phase) {
        let mut state = self.0.state();
        if state.phase.replace(phase) != Some(phase) {
            self.0.recorder.phase(phase);
        }
    }

    /// An error holds the pipeline.
    pub fn failed(&self, error: &Error) {
        self.0.recorder.error(error.code());
        self.0.state().last_error = Some(LastError::of(error));
    }

    /// The error is over.
    pub(crate) fn recovered(&self) {
        self.0.state().last_error = None;
    }

    /// Chunks of a source table: done, planned, and those that there will be.
    pub(crate) fn chunks(&self, table: usize, done: u64, total: u64, expected: u64) {
        let mut state = self.0.state();
        state.chunks[table] = (done, total, expected);
        state.copying.get_or_insert_with(Instant::now);
        state.copied_before[table].get_or_insert(done);
        drop(state);
        self.0.recorder.chunks(&self.0.sources[table], done, total);
    }

    /// So many chunks of keys are to be read.
    pub(crate) fn keys_to_read(&self, count: u64) {
        self.0.state().keys_to_read = count;
    }

    /// Rows may be missing until a comparison has mended them.
    pub(crate) fn mending(&self, mending: bool) {
        self.0.state().mending = mending;
    }

    /// The source's log ends here, at least.
    pub(crate) fn heard_of(&self, end: Position) {
        self.0.state().measured.heard(end);
    }

    /// The source's log ends here now.
    pub(crate) fn measured(&self, end: Position) {
        let state = &mut *self.0.state();
        let reached = state.reached.as_ref().map(Reached::upto);
        state.measured.measured(end, reached, Instant::now());
    }

    /// The source has nothing between `after` and `position`: not pending, once `after` is applied.
    pub(crate) fn idle_at(&self, after: &Position, position: &Position) {
        let mut state = self.0.state();
        if state.reached.as_mut().is_some_and(|reached| reached.idle_at(after, position)) {
            state.measured.reached(position);
        }
        state.measured.heard(position.clone());
    }

    /// Rows were written.
    pub(crate) fn written(&self, written: &[Written]) {
        let mut state = self.0.state();
        for w in written {
            let rows = &mut state.rows[w.statement];
            rows.0 += w.upserted;
            rows.1 += w.deleted;
            self.0.recorder.rows(&self.0.targets[w.statement], w.upserted, w.deleted);
        }
    }

    /// A commit is in the target.
    pub(crate) fn committed(&self, commit: &Commit) {
        let now = SystemTime::now();
        let mut state = self.0.state();
        for time in &commit.commit_times {
            let lag = now.duration_since(*time).unwrap_or_default();
            state.lag.add(lag);
            self.0.recorder.apply_lag(lag);
        }
        if let Some(reached) = &mut state.reached {
            reached.position = commit.position.clone();
        }
        state.measured.reached(&commit.position);
        state.transactions += commit.commit_times.len() as u64;
        state.changes += commit.changes;
        if let Some(last) = &commit.last {
            state.commit_time = Some(last.commit_time);
        }
        drop(state);
        self.0.recorder.transactions(commit.commit_times.len() as u64);
    }

    /// Every row was compared after `oldest`, and so often; these owners are still to be looked at.
    pub(crate) fn verified_since(&self, oldest: SystemTime, passes: u64, looks: &Looks<Instant>) {
        let mut state = self.0.state();
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
        self.0.state().verification.stopped = Some(why);
    }

    /// So many rows were equal.
    pub(crate) fn verified(&self, rows: u64) {
        let verification = &mut self.0.state().verification;
        verification.rows += rows;
        verification.stopped = None;
    }

    /// What became of findings.
    pub(crate) fn findings(&self, recorded: &Recorded) {
        self.0.recorder.findings(recorded);
        let verification = &mut self.0.state().verification;
        verification.findings_open = recorded.open;
        verification.repaired += recorded.repaired;
    }
}
