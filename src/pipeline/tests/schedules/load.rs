//! What the application does: transactions of a few changes each, of which some are in the log long before
//! snapshots see them.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use regraft_core::Tuple;
use regraft_memory::{Action, Database};

use crate::world::{CHILDREN, FACTS, LISTS, PARENTS, row, value};

/// Keys of a table.
const KEYS: u8 = 8;

pub(crate) struct Load {
    database: Database,
    counted: bool,
    rng: SmallRng,
    /// Committed, and not visible yet.
    unseen: Vec<u64>,
    /// Begun, and not committed.
    begun: Vec<u64>,
}

impl Load {
    pub(crate) fn of(database: Database, counted: bool, seed: u64) -> Load {
        let rng = SmallRng::seed_from_u64(seed);
        Load { database, counted, rng, unseen: Vec::new(), begun: Vec::new() }
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.rng.random_range(0..limit)
    }

    /// One thing that happens.
    pub(crate) fn step(&mut self) {
        match self.rng.random_range(0..12) {
            0 => self.begun.push(self.database.begin()),
            1 => self.database.idle(),
            2 | 3 => self.unseen.drain(..).for_each(|xid| self.database.appear(xid)),
            4 => {
                let actions = self.transaction();
                self.unseen.push(self.database.commit_unseen(actions));
            }
            5 if !self.begun.is_empty() => {
                let xid = self.begun.swap_remove(0);
                let actions = self.transaction();
                self.database.commit_begun(xid, actions);
                self.unseen.push(xid);
            }
            _ => {
                let actions = self.transaction();
                self.database.commit(actions);
            }
        }
    }

    /// Nothing stays open, and a commit follows all others.
    pub(crate) fn ends(&mut self) {
        for xid in std::mem::take(&mut self.begun) {
            self.database.commit_begun(xid, Vec::new());
            self.database.appear(xid);
        }
        self.unseen.drain(..).for_each(|xid| self.database.appear(xid));
        self.database.commit(Vec::new());
    }

    fn transaction(&mut self) -> Vec<Action> {
        // As the transaction sees them.
        let mut tables: Vec<_> = (0..=CHILDREN).map(|table| self.database.rows(table)).collect();
        let changes = if self.rng.random_bool(0.05) { 40 } else { self.rng.random_range(1..5) };
        let mut actions = Vec::new();
        for _ in 0..changes {
            let table = self.rng.random_range(0..=CHILDREN);
            if table == FACTS && !self.counted {
                continue;
            }
            actions.extend(self.change(table, &mut tables[table]));
        }
        actions
    }

    fn change(&mut self, table: usize, rows: &mut Vec<Tuple>) -> Option<Action> {
        if self.rng.random_bool(0.02) {
            rows.clear();
            return Some(Action::Truncate(table));
        }
        let new = self.row(table);
        let known = if table == FACTS {
            let there = !rows.is_empty() && self.rng.random_bool(0.5);
            there.then(|| self.rng.random_range(0..rows.len()))
        } else {
            let any = !rows.is_empty() && self.rng.random_bool(0.3);
            let same = rows.iter().position(|row| value(row, 0) == value(&new, 0));
            if any { Some(self.rng.random_range(0..rows.len())) } else { same }
        };
        let Some(at) = known else {
            rows.push(new.clone());
            return Some(Action::Insert(table, new));
        };
        let old = rows[at].clone();
        if self.rng.random_bool(0.3) {
            rows.swap_remove(at);
            return Some(Action::Delete(table, old));
        }
        let new = match table {
            // The list stays, and is not sent.
            LISTS if self.rng.random_bool(0.6) => {
                row(&[value(&new, 0), value(&old, 1), value(&new, 2)])
            }
            _ => new,
        };
        let taken = |(other, row): (usize, &Tuple)| other != at && value(row, 0) == value(&new, 0);
        if table != FACTS && rows.iter().enumerate().any(taken) {
            return None;
        }
        rows[at] = new.clone();
        Some(Action::Update(table, old, new))
    }

    fn row(&mut self, table: usize) -> Tuple {
        let mut byte = |limit: u8| [self.rng.random_range(0..limit)];
        match table {
            LISTS => {
                let (key, note) = (byte(KEYS), byte(5));
                let items = byte(16)[0];
                let items: Vec<u8> = (0..4).filter(|item| items >> item & 1 == 1).collect();
                row(&[&key, &items, &note])
            }
            PARENTS | FACTS => row(&[&byte(4)]),
            _ => row(&[&byte(KEYS), &byte(4)]),
        }
    }
}
