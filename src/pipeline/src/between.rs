//! What the tasks of an attempt know of each other, beside the channels on which segments and chunks go.
//!
//! All of it is made anew for each attempt: what outlives one is in the ledger.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regraft_core::Key;

use crate::progress::Reporter;

/// The copy of a source table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Chunks that are in the target.
    pub(crate) done: u64,
    /// Chunks that there will be, about.
    pub(crate) expected: u64,
    /// All of them are: a row that is missing is an error.
    pub(crate) complete: bool,
}

/// What the stream changes: the follower tells verification.
pub(crate) struct Changes {
    /// How often something of each source table changed.
    touched: Vec<AtomicU64>,
    /// Keys that changed, until they are looked at.
    recent: Mutex<Vec<(usize, Key)>>,
    /// How many more of them there is room for.
    room: AtomicUsize,
}

impl Changes {
    pub(crate) fn new(tables: usize) -> Self {
        Self {
            touched: (0..tables).map(|_| AtomicU64::new(0)).collect(),
            recent: Mutex::default(),
            room: AtomicUsize::new(0),
        }
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
    pub(crate) fn note(&self, table: usize, key: &Key) {
        self.touch(table);
        if self.room.load(Ordering::Relaxed) > 0 {
            self.room.fetch_sub(1, Ordering::Relaxed);
            self.recent().push((table, key.clone()));
        }
    }

    /// The keys that changed since the last time, and room for `room` more.
    pub(crate) fn take_recent(&self, room: usize) -> Vec<(usize, Key)> {
        let taken = std::mem::take(&mut *self.recent());
        self.room.store(room, Ordering::Relaxed);
        taken
    }

    fn recent(&self) -> MutexGuard<'_, Vec<(usize, Key)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of the attempt before, until it is over: connecting again is not enough to be well. A commit
/// ends it; while existing rows are refused and the stream goes on, the last of these does.
#[derive(Clone)]
pub(crate) struct Trouble {
    reporter: Reporter,
    state: Arc<Mutex<TroubleState>>,
}

struct TroubleState {
    holds: bool,
    refusing: bool,
    /// It is over, and the ledger does not know that yet.
    over: bool,
}

impl Trouble {
    /// `holds`: there was an error. `refusing`: existing rows are refused, and wait.
    pub(crate) fn new(holds: bool, refusing: bool, reporter: Reporter) -> Self {
        let state = Arc::new(Mutex::new(TroubleState { holds, refusing, over: false }));
        Self { reporter, state }
    }

    pub(crate) fn holds(&self) -> bool {
        self.state().holds
    }

    pub(crate) fn committed(&self) {
        let mut state = self.state();
        if !state.refusing {
            self.end(&mut state);
        }
    }

    /// Whether existing rows are refused.
    pub(crate) fn set_refusing(&self, refusing: bool) {
        let mut state = self.state();
        if std::mem::replace(&mut state.refusing, refusing) && !refusing {
            self.end(&mut state);
        }
    }

    /// True once after it is over.
    pub(crate) fn take_over(&self) -> bool {
        std::mem::take(&mut self.state().over)
    }

    fn end(&self, state: &mut TroubleState) {
        if std::mem::take(&mut state.holds) {
            state.over = true;
            self.reporter.recovered();
        }
    }

    fn state(&self) -> MutexGuard<'_, TroubleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use regraft_core::{Code, Error};

    use super::*;
    use crate::fold::net::tests::plan;
    use crate::progress::Progress;

    fn failed() -> Progress {
        let progress = Progress::new(&plan(true, false), Vec::new(), None);
        progress.reporter().failed(&Error::new(Code::RowRefused, "too long"));
        progress
    }

    #[test]
    fn a_commit_ends_an_error_and_the_ledger_hears_of_it_once() {
        let progress = failed();
        let trouble = Trouble::new(true, false, progress.reporter());
        assert!(trouble.holds() && !trouble.take_over());
        trouble.committed();
        assert!(!trouble.holds() && progress.status().last_error.is_none());
        assert!(trouble.take_over() && !trouble.take_over());
        trouble.committed();
        assert!(!trouble.take_over(), "there was no other");
    }

    #[test]
    fn an_error_of_refused_rows_is_over_with_the_last_of_them() {
        let progress = failed();
        let trouble = Trouble::new(true, true, progress.reporter());
        trouble.committed();
        trouble.set_refusing(true);
        assert!(trouble.holds() && progress.status().last_error.is_some());
        trouble.set_refusing(false);
        assert!(!trouble.holds() && trouble.take_over());
        assert!(progress.status().last_error.is_none());
    }

    #[test]
    fn an_error_that_ended_before_the_ledger_heard_of_it_does_not_end_the_next_one() {
        let progress = failed();
        Trouble::new(true, false, progress.reporter()).committed();
        progress.reporter().failed(&Error::new(Code::RowRefused, "too long again"));
        let next = Trouble::new(true, false, progress.reporter());
        assert!(next.holds() && !next.take_over());
    }

    #[test]
    fn keys_are_noted_as_far_as_there_is_room_and_tables_without_an_end() {
        let changes = Changes::new(2);
        changes.note(1, &Key(vec![1].into()));
        assert_eq!(changes.take_recent(1), []);
        for key in 2..5 {
            changes.note(1, &Key(vec![key].into()));
        }
        changes.touch(0);
        assert_eq!(changes.take_recent(0), [(1, Key(vec![2].into()))]);
        assert_eq!([changes.touched(0), changes.touched(1)], [1, 4]);
    }
}
