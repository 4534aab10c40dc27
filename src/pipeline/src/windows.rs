//! Windows: how a chunk, read in a snapshot on another connection, joins the stream exactly.
//!
//! ```text
//!  stream   ──c1──c2──┃──c3───────c4──────────╂──c5──▶
//!                  window opens           watermark: the chunk joins here
//!  snapshot                    S
//! ```
//!
//! - Keys touched between the opening and the watermark (c3, c4) are dropped from the chunk: the
//!   stream carries them, and S may or may not have seen them.
//! - Changes after the watermark (c5) come after the chunk in the stream as in the source: S was
//!   taken before the watermark was written, so S cannot have seen them.
//! - Changes before the opening (c1, c2) are in the target already, so S must have seen them. *In
//!   the log* and *visible* are two moments: a commit is in the stream once its record is flushed,
//!   but visible only when the backend leaves the list of running transactions, which synchronous
//!   replication may delay by minutes. The stream therefore keeps the ids of transactions until some
//!   snapshot has seen them; a chunk whose S misses one of them is read again.
//! - Transactions that were committed before *this daemon* opened the stream are not in that list.
//!   Each has an id below the one that was assigned at the start ([`Windows::settle_below`]), so a
//!   chunk whose S has such a one running is read again as well.
//!
//! The idea of watermarks is from DBLog (<https://arxiv.org/abs/2010.12597>); the transaction ids
//! make it exact.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hashbrown::{HashMap, HashSet};
use regraft_core::{Key, Snapshot, Token};

/// Keys that a window remembers; a chunk whose window saw more is read again.
const TOUCHED_MAX: usize = 100_000;

/// The open windows, and the commits that a snapshot may not see yet.
#[derive(Default)]
pub(crate) struct Windows {
    open: HashMap<Token, Window>,
    /// Commits in the stream that no snapshot is known to see, with a running number.
    unseen: VecDeque<(u64, u32)>,
    next: u64,
    settle_below: u64,
}

struct Window {
    table: usize,
    /// Commits below this number came before the window.
    opened_at: u64,
    /// The transaction in the middle of which the window opened.
    inside: Option<u32>,
    touched: Touched,
    /// Values of traces that lead to rows of the table, by the index of the trace.
    traced: BTreeMap<usize, BTreeSet<Key>>,
    /// More keys were touched than are remembered.
    overflown: bool,
}

/// What a window saw of a verification.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    /// The stream touched these keys.
    pub touched: Touched,
    /// Changes of other tables touched the rows that these values lead to, by the index of the trace.
    pub traced: BTreeMap<usize, BTreeSet<Key>>,
}

/// The keys that the stream touched while a window was open.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    /// A TRUNCATE: every key.
    pub all: bool,
    /// Keys whose last image is complete, or which are gone.
    pub complete: HashSet<Key>,
    /// Keys whose last image lacks unchanged values: they cannot be made from the stream alone.
    pub incomplete: HashSet<Key>,
    /// Keys that a row got by a key change with an incomplete image. The chunk knows the row by its
    /// old key, which is dropped.
    pub arrived: HashSet<Key>,
}

impl Touched {
    fn len(&self) -> usize {
        self.complete.len() + self.incomplete.len() + self.arrived.len()
    }

    /// True when the chunk's row of this key must be dropped.
    pub(crate) fn covers(&self, key: &Key) -> bool {
        self.all || self.complete.contains(key) || self.incomplete.contains(key)
    }
}

/// What became of a window at its watermark.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The chunk joins here, without the touched keys.
    Join(Touched),
    /// The snapshot missed a commit that the target has: read again.
    Stale,
}

impl Windows {
    /// No windows. Transactions below `settle_below` may have committed before the stream opened.
    pub(crate) fn new(settle_below: u64) -> Self {
        Self { settle_below, ..Self::default() }
    }

    /// Opens a window on a table at this point of the stream; `inside` is the id of the transaction
    /// whose changes are being read, if any.
    pub(crate) fn open(&mut self, token: Token, table: usize, inside: Option<u32>) {
        let touched = Touched::default();
        let opened_at = self.next;
        let traced = BTreeMap::new();
        let window = Window { table, opened_at, inside, touched, traced, overflown: false };
        self.open.insert(token, window);
    }

    /// Closes a window without a chunk.
    pub(crate) fn cancel(&mut self, token: Token) {
        self.open.remove(&token);
    }

    /// Notes a key that the stream touched.
    pub(crate) fn touch(&mut self, table: usize, key: &Key, incomplete: bool) {
        for window in self.open.values_mut().filter(|w| w.table == table && !w.overflown) {
            if window.touched.len() >= TOUCHED_MAX {
                // Memory stays bounded while a large transaction passes.
                window.overflown = true;
                window.touched = Touched::default();
                continue;
            }
            let Touched { complete: whole, incomplete: partial, .. } = &mut window.touched;
            if !incomplete {
                partial.remove(key);
                whole.insert(key.clone());
            } else if !whole.contains(key) {
                // After a complete image in this window the target has the whole row, and a later
                // incomplete one only patches it.
                partial.insert(key.clone());
            }
        }
    }

    /// Notes the new key of a row whose image is incomplete, in addition to [`Windows::touch`].
    pub(crate) fn arrive(&mut self, table: usize, key: &Key) {
        for window in self.open.values_mut().filter(|w| w.table == table && !w.overflown) {
            window.touched.arrived.insert(key.clone());
        }
    }

    /// Notes a change of another table that leads to rows of this one by a trace; without a value it
    /// may be any row.
    pub(crate) fn trace(&mut self, table: usize, trace: usize, value: Option<&Key>) {
        for window in self.open.values_mut().filter(|w| w.table == table && !w.overflown) {
            let values = window.traced.entry(trace).or_default();
            match value {
                Some(value) => {
                    values.insert(value.clone());
                    window.overflown = values.len() >= TOUCHED_MAX;
                }
                None => window.overflown = true,
            }
        }
    }

    /// Notes that all rows of a table went.
    pub(crate) fn truncate(&mut self, table: usize) {
        for window in self.open.values_mut().filter(|window| window.table == table) {
            window.touched = Touched { all: true, ..Touched::default() };
        }
    }

    /// Notes a commit.
    pub(crate) fn commit(&mut self, xid: u32) {
        self.unseen.push_back((self.next, xid));
        self.next += 1;
    }

    /// Forgets commits that a snapshot sees: every later snapshot sees them too. The snapshot of a window
    /// that is open may be an earlier one: what was committed before the window is kept.
    pub(crate) fn seen_by(&mut self, snapshot: &Snapshot) {
        let open = self.open.values().map(|window| window.opened_at).max().unwrap_or(0);
        self.unseen.retain(|&(number, xid)| number < open || !snapshot.sees(xid));
    }

    /// Closes the window at its watermark, given the snapshot of the chunk. `None` when there is no
    /// such window.
    pub(crate) fn close(&mut self, token: Token, snapshot: &Snapshot) -> Option<Closed> {
        let window = self.settle(token, snapshot)?;
        Some(window.map_or(Closed::Stale, |window| Closed::Join(window.touched)))
    }

    /// Closes the window of a verification, at a watermark that was written after both sides were read:
    /// what it saw, or `None` when the snapshot of the source may miss commits that the target has.
    pub(crate) fn watched(&mut self, token: Token, snapshot: &Snapshot) -> Option<Watched> {
        let Window { touched, traced, .. } = self.settle(token, snapshot)??;
        Some(Watched { touched, traced })
    }

    /// The window, inside `None` when it is stale.
    #[allow(clippy::option_option, reason = "no such window, or a stale one")]
    fn settle(&mut self, token: Token, snapshot: &Snapshot) -> Option<Option<Window>> {
        let window = self.open.remove(&token)?;
        let before = self.unseen.iter().filter(|(number, _)| *number < window.opened_at);
        let missed = before.map(|&(_, xid)| xid).chain(window.inside).any(|x| !snapshot.sees(x));
        let unsettled = snapshot.running.iter().any(|&xid| xid < self.settle_below)
            || snapshot.xmax < self.settle_below;
        self.seen_by(snapshot);
        let stale = missed || unsettled || window.overflown;
        Some((!stale).then_some(window))
    }
}

#[cfg(test)]
mod tests {
    use regraft_core::Watermarks;

    use super::*;

    fn key(n: u8) -> Key {
        Key(Box::new([n]))
    }

    fn token(n: usize) -> Token {
        let watermarks = Watermarks::of_attempt("test");
        (0..n).for_each(|_| _ = watermarks.token());
        watermarks.token()
    }

    fn snapshot(xmin: u64, xmax: u64, running: &[u64]) -> Snapshot {
        Snapshot { xmin, xmax, running: running.to_vec() }
    }

    fn joined(closed: Option<Closed>) -> Touched {
        match closed {
            Some(Closed::Join(touched)) => touched,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_keys_of_the_table_touched_inside_the_window_are_dropped() {
        let mut windows = Windows::new(0);
        windows.touch(0, &key(1), false);
        windows.open(token(7), 0, None);
        windows.touch(0, &key(2), false);
        windows.touch(1, &key(3), false);
        let touched = joined(windows.close(token(7), &snapshot(10, 10, &[])));
        assert!(!touched.covers(&key(1)));
        assert!(touched.covers(&key(2)));
        assert!(!touched.covers(&key(3)));
        assert!(windows.close(token(7), &snapshot(10, 10, &[])).is_none());
    }

    #[test]
    fn a_commit_in_the_stream_that_the_snapshot_does_not_see_makes_the_chunk_stale() {
        let mut windows = Windows::new(0);
        windows.commit(5);
        windows.open(token(1), 0, None);
        windows.commit(6);
        assert_eq!(windows.close(token(1), &snapshot(5, 9, &[5])), Some(Closed::Stale));
        windows.open(token(2), 0, None);
        assert_eq!(
            windows.close(token(2), &snapshot(5, 9, &[5])),
            Some(Closed::Stale),
            "still running"
        );
        windows.open(token(3), 0, None);
        joined(windows.close(token(3), &snapshot(9, 9, &[])));
        assert_eq!(windows.unseen.len(), 0);
    }

    #[test]
    fn a_later_snapshot_does_not_speak_for_that_of_an_open_window() {
        let mut windows = Windows::new(0);
        windows.commit(5);
        windows.open(token(1), 0, None);
        // The chunk was read without 5; then somebody else's snapshot sees it.
        windows.seen_by(&snapshot(9, 9, &[]));
        assert_eq!(windows.close(token(1), &snapshot(5, 9, &[5])), Some(Closed::Stale));
        windows.seen_by(&snapshot(9, 9, &[]));
        assert_eq!(windows.unseen.len(), 0);
    }

    #[test]
    fn a_commit_inside_the_window_may_be_invisible() {
        let mut windows = Windows::new(0);
        windows.open(token(1), 0, None);
        windows.commit(6);
        joined(windows.close(token(1), &snapshot(6, 9, &[6])));
        assert_eq!(windows.unseen.len(), 1, "and is remembered for the next window");
    }

    #[test]
    fn a_window_that_opens_inside_a_transaction_needs_it_visible() {
        let mut windows = Windows::new(0);
        windows.open(token(1), 0, Some(6));
        windows.commit(6);
        assert_eq!(windows.close(token(1), &snapshot(6, 9, &[6])), Some(Closed::Stale));
    }

    #[test]
    fn transactions_from_before_the_daemon_must_have_ended() {
        let mut windows = Windows::new(100);
        windows.open(token(1), 0, None);
        assert_eq!(windows.close(token(1), &snapshot(90, 120, &[90])), Some(Closed::Stale));
        windows.open(token(2), 0, None);
        joined(windows.close(token(2), &snapshot(101, 120, &[101])));
    }

    #[test]
    fn a_truncate_drops_everything_read() {
        let mut windows = Windows::new(0);
        windows.open(token(1), 0, None);
        windows.touch(0, &key(1), true);
        windows.truncate(0);
        let touched = joined(windows.close(token(1), &snapshot(9, 9, &[])));
        assert!(touched.covers(&key(200)));
        assert!(touched.incomplete.is_empty());
    }

    #[test]
    fn a_window_that_saw_too_much_is_stale() {
        let mut windows = Windows::new(0);
        windows.open(token(1), 0, None);
        for n in 0..=u32::try_from(TOUCHED_MAX).unwrap() {
            windows.touch(0, &Key(n.to_be_bytes().into()), false);
        }
        assert_eq!(windows.close(token(1), &snapshot(9, 9, &[])), Some(Closed::Stale));
    }

    #[test]
    fn an_incomplete_image_stays_incomplete_until_a_complete_one() {
        let mut windows = Windows::new(0);
        windows.open(token(1), 0, None);
        windows.touch(0, &key(1), true);
        windows.touch(0, &key(2), true);
        windows.touch(0, &key(2), false);
        windows.touch(0, &key(2), true);
        let touched = joined(windows.close(token(1), &snapshot(9, 9, &[])));
        assert!(touched.incomplete.contains(&key(1)));
        assert!(!touched.incomplete.contains(&key(2)));
        assert!(touched.covers(&key(2)));
    }
}
