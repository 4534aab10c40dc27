//! Chunks with a row that a server refuses: they are narrowed down to that row, which is tried again from
//! time to time while all others go on.
//!
//! The error ends the attempt, as any does: nothing of the chunk is written. The next attempt halves the
//! chunk before it is read again; what cannot be halved waits, each time twice as long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use regraft_core::{Code, Error};
use tokio::time::Instant;

/// With more refused rows than this the others are not looked for: it is the target that is at fault.
const ROWS_MAX: usize = 8;
/// First and longest wait before a refused row is tried again.
const WAIT: (Duration, Duration) = (Duration::from_millis(400), Duration::from_secs(30));

/// The chunks that were refused, by id. It outlives attempts: it only says when to try again, not what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals(Arc<Mutex<HashMap<i64, Refusal>>>);

/// What to do with a refused chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is halved before it is read again.
    Halve,
    /// It cannot be halved, and is read again at this time, or a little later.
    Wait { until: Instant, wait: Duration },
}

impl Refusals {
    /// An attempt ended with this error. True when it is the chunk alone that waits.
    pub(crate) fn take(&self, error: &Error) -> bool {
        let Some(chunk) = error.chunk() else { return false };
        if !matches!(error.code(), Code::RowRefused | Code::ExpressionFailed) {
            return false;
        }
        let mut chunks = self.chunks();
        if !chunks.contains_key(&chunk) && chunks.len() >= ROWS_MAX {
            return false;
        }
        let refusal = match chunks.get(&chunk) {
            None | Some(Refusal::Halve) => Refusal::Halve,
            Some(Refusal::Wait { wait, .. }) => {
                let wait = (*wait * 2).min(WAIT.1);
                Refusal::Wait { until: Instant::now() + wait, wait }
            }
        };
        chunks.insert(chunk, refusal);
        true
    }

    /// What to do with a chunk; `None` when it was not refused.
    pub(crate) fn of(&self, chunk: i64) -> Option<Refusal> {
        self.chunks().get(&chunk).copied()
    }

    /// The chunk cannot be halved.
    pub(crate) fn single(&self, chunk: i64) {
        let wait = Refusal::Wait { until: Instant::now() + WAIT.0, wait: WAIT.0 };
        self.chunks().insert(chunk, wait);
    }

    /// Chunks that are done, or halved, are forgotten.
    pub(crate) fn retain(&self, is_open: impl Fn(i64) -> bool) {
        self.chunks().retain(|chunk, _| is_open(*chunk));
    }

    /// No row is refused.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks().is_empty()
    }

    /// Some row waits.
    pub(crate) fn some_wait(&self) -> bool {
        self.chunks().values().any(|refusal| matches!(refusal, Refusal::Wait { .. }))
    }

    fn chunks(&self) -> MutexGuard<'_, HashMap<i64, Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(chunk: i64) -> Error {
        Error::new(Code::RowRefused, "too long").in_chunk(chunk)
    }

    #[test]
    fn a_single_row_waits_longer_each_time() {
        let refusals = Refusals::default();
        assert!(refusals.take(&refused(1)));
        assert_eq!(refusals.of(1), Some(Refusal::Halve));
        refusals.single(1);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert!(refusals.take(&refused(1)));
            let Some(Refusal::Wait { wait, .. }) = refusals.of(1) else { panic!("it is halved") };
            waits.push(wait);
        }
        assert_eq!(waits.first(), Some(&(WAIT.0 * 2)));
        assert_eq!(waits.last(), Some(&WAIT.1));
        assert!(waits.is_sorted());
        refusals.retain(|_| false);
        assert!(refusals.is_empty());
    }

    #[test]
    fn a_target_that_refuses_everything_is_not_tried_row_by_row() {
        let refusals = Refusals::default();
        for chunk in 0..8 {
            assert!(refusals.take(&refused(chunk)));
        }
        assert!(!refusals.take(&refused(8)));
        assert!(refusals.take(&refused(3)));
    }

    #[test]
    fn other_errors_hold_the_whole_pipeline() {
        let refusals = Refusals::default();
        assert!(!refusals.take(&Error::new(Code::RowRefused, "in the stream")));
        assert!(!refusals.take(&Error::new(Code::PrivilegeMissing, "no").in_chunk(1)));
        assert!(refusals.is_empty());
    }
}
