//! Owners whose rows are to be looked at, and when.

use std::collections::BTreeMap;
use std::ops::Add;
use std::time::Duration;

use hashbrown::HashMap;
use regraft_core::Key;

/// First and longest wait before an owner that changed meanwhile is looked at again.
const WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The owner whose rows are to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look<T> {
    /// When, at the earliest.
    pub due: T,
    /// How often it has changed while it was looked at.
    pub tries: u32,
    /// Once it is settled, it is to be looked at once more.
    pub twice: bool,
}

/// Owners of one statement that are due.
pub type Due<T> = (usize, Vec<(Key, Look<T>)>);

/// Owners to be looked at, each once per statement, by some clock.
#[derive(Debug)]
pub struct Looks<T> {
    of: BTreeMap<usize, HashMap<Key, Look<T>>>,
}

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Self { of: BTreeMap::new() }
    }
}

impl<T: Copy + Ord + Add<Duration, Output = T>> Looks<T> {
    /// Owners in the list.
    pub fn len(&self) -> usize {
        self.of.values().map(HashMap::len).sum()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.of.values().all(HashMap::is_empty)
    }

    /// Adds an owner that is to be looked at from `due` on. One that is in the list is looked at at
    /// whichever time comes first.
    pub fn add(&mut self, statement: usize, owner: Key, due: T) {
        self.insert(statement, owner, Look { due, tries: 0, twice: false });
    }

    /// Adds an owner that is to be looked at from `due` on, and once more later.
    pub fn add_twice(&mut self, statement: usize, owner: Key, due: T) {
        self.insert(statement, owner, Look { due, tries: 0, twice: true });
    }

    fn insert(&mut self, statement: usize, owner: Key, look: Look<T>) {
        let known = self.of.entry(statement).or_default().entry(owner).or_insert(look);
        known.due = known.due.min(look.due);
        known.twice |= look.twice;
    }

    /// Takes up to `max` owners of one statement that are due.
    pub fn take(&mut self, now: T, max: usize) -> Option<Due<T>> {
        for (&statement, looks) in &mut self.of {
            let due = looks.iter().filter(|(_, look)| look.due <= now).take(max);
            let due: Vec<_> = due.map(|(owner, look)| (owner.clone(), *look)).collect();
            if !due.is_empty() {
                for (owner, _) in &due {
                    looks.remove(owner);
                }
                return Some((statement, due));
            }
        }
        None
    }

    /// Puts one back that could not be settled.
    pub fn again(&mut self, statement: usize, owner: Key, look: Look<T>, now: T) {
        let wait = (WAIT.0 * 2_u32.saturating_pow(look.tries.min(16))).min(WAIT.1);
        let look = Look { due: now + wait, tries: look.tries + 1, ..look };
        self.of.entry(statement).or_default().insert(owner, look);
    }

    /// How often the owner was looked at that was most, and is not settled.
    pub fn tries(&self) -> u32 {
        let looks = self.of.values().flat_map(HashMap::values);
        looks.map(|look| look.tries).max().unwrap_or_default()
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<T> {
        self.of.values().flat_map(HashMap::values).map(|look| look.due).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn key(n: u8) -> Key {
        Key(Box::new([n]))
    }

    #[test]
    fn owners_are_taken_when_they_are_due_and_wait_longer_each_time() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.add(1, key(1), now);
        looks.add(1, key(1), now + WAIT.1);
        looks.add(0, key(2), now + WAIT.1);
        assert_eq!((looks.len(), looks.next()), (2, Some(now)));
        let (statement, taken) = looks.take(now, 10).unwrap();
        let (owner, look) = taken[0].clone();
        assert_eq!((statement, taken.len(), look.tries), (1, 1, 0));
        assert_eq!(looks.take(now, 10), None);
        looks.again(1, owner, look, now);
        let (_, taken) = looks.take(now + WAIT.0, 10).unwrap();
        assert_eq!(taken[0].1.tries, 1);
        looks.again(1, key(1), taken[0].1, now);
        assert_eq!(looks.take(now + WAIT.0, 10), None);
        assert_eq!((looks.len(), looks.tries()), (2, 2));
    }
}
