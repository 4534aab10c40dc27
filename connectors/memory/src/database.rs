//! The source's server: tables, a log of commits, and which of them snapshots see.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use regraft_core::{
    Key, Keyless, Lsn, Mapped, Mapper, Position, Relation, Rows, Snapshot, TableName, Tuple,
};
use tokio::sync::Notify;

/// Evaluates a statement for one row of its source table, given the rows of all tables.
pub type Select = Arc<dyn Fn(&[Vec<Tuple>], &Tuple, &mut Rows) + Send + Sync>;

/// The statement of a mapper that gives rows for any whole image.
///
/// # Panics
/// When the mapper gives none: what it is handed is whole.
pub fn mapped(mapper: Arc<dyn Mapper>) -> Select {
    Arc::new(move |_, row, rows| match mapper.map(row, rows) {
        Ok(Mapped::Rows(_)) => {}
        other => panic!("a whole row was not mapped: {other:?}"),
    })
}

/// A table, and the statements that read it in the order of the mapping.
#[derive(Clone)]
pub struct TableSpec {
    /// Its shape.
    pub relation: Arc<Relation>,
    /// How it is followed when its rows have no key.
    pub keyless: Option<Keyless>,
    /// Columns whose values an update does not send when they are as before.
    pub out_of_line: Vec<usize>,
    /// Statements.
    pub statements: Vec<Select>,
    /// Traces that lead to it: name, and the column that has the traced value.
    pub traces: Vec<(String, usize)>,
}

/// One thing that a transaction does. Rows are given whole.
#[derive(Clone, Debug)]
pub enum Action {
    /// A new row of the table with this index.
    Insert(usize, Tuple),
    /// A row becomes another one.
    Update(usize, Tuple, Tuple),
    /// A row goes.
    Delete(usize, Tuple),
    /// All rows go.
    Truncate(usize),
    /// A logical message of the pipeline.
    Message(String),
}

/// What a transaction has locked until it is visible.
struct Lock {
    table: usize,
    /// `None` for the whole table.
    key: Option<Key>,
}

impl Lock {
    fn excludes(&self, other: &Lock) -> bool {
        let whole = self.key.is_none() || other.key.is_none();
        self.table == other.table && (whole || self.key == other.key)
    }
}

/// A committed transaction in the log.
#[derive(Clone)]
pub(crate) struct Logged {
    pub(crate) xid: u64,
    pub(crate) at: Lsn,
    pub(crate) end: Lsn,
    pub(crate) time: SystemTime,
    pub(crate) actions: Vec<Action>,
}

/// A server with tables and a log; clones are the same server.
#[derive(Clone)]
pub struct Database {
    state: Arc<Mutex<State>>,
    pub(crate) grown: Arc<Notify>,
}

pub(crate) struct State {
    pub(crate) tables: Vec<TableSpec>,
    pub(crate) log: Vec<Logged>,
    pub(crate) end: Lsn,
    /// Up to here the log may be forgotten.
    pub(crate) confirmed: Lsn,
    next_xid: u64,
    /// Begun, or committed and not visible yet.
    running: BTreeSet<u64>,
    /// The rows of the first so many transactions of the log, which everybody sees.
    seen_by_all: RefCell<(usize, Vec<Content>)>,
}

/// Log bytes of a transaction, and of its commit record.
const TRANSACTION: u64 = 100;
const COMMIT: u64 = 10;

impl Database {
    /// An empty database with these tables.
    pub fn new(tables: Vec<TableSpec>) -> Self {
        let (end, next_xid) = (Lsn(1000), 100);
        let contents = tables.iter().map(|_| Content::default()).collect();
        let state = State {
            tables,
            log: Vec::new(),
            end,
            confirmed: end,
            next_xid,
            running: BTreeSet::new(),
            seen_by_all: RefCell::new((0, contents)),
        };
        Self { state: Arc::new(Mutex::new(state)), grown: Arc::new(Notify::new()) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a transaction: it has an id, and holds back what snapshots call settled.
    pub fn begin(&self) -> u64 {
        let mut state = self.state();
        let xid = state.next_xid;
        state.next_xid += 1;
        state.running.insert(xid);
        xid
    }

    /// Commits a new transaction, visible at once.
    pub fn commit(&self, actions: Vec<Action>) -> u64 {
        let xid = self.commit_unseen(actions);
        self.appear(xid);
        xid
    }

    /// Commits a new transaction that is in the log, and that no snapshot sees until it [`appear`](Self::appear)s.
    pub fn commit_unseen(&self, actions: Vec<Action>) -> u64 {
        let xid = self.begin();
        self.commit_begun(xid, actions);
        xid
    }

    /// Puts the commit of a transaction that was begun into the log; it appears later. Transactions that are not
    /// seen yet, and have touched the same rows, appear first: they hold their locks until then.
    pub fn commit_begun(&self, xid: u64, actions: Vec<Action>) {
        let mut state = self.state();
        let locks: Vec<_> = actions.iter().flat_map(|action| state.locks(action)).collect();
        let held = |logged: &&Logged| {
            let mut theirs = logged.actions.iter().flat_map(|action| state.locks(action));
            theirs.any(|held| locks.iter().any(|wanted| held.excludes(wanted)))
        };
        let before = state.log.iter().filter(|logged| state.running.contains(&logged.xid));
        let before: Vec<_> = before.filter(held).map(|logged| logged.xid).collect();
        before.iter().for_each(|xid| _ = state.running.remove(xid));
        let at = Lsn(state.end.0 + TRANSACTION);
        let end = Lsn(at.0 + COMMIT);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(end.0);
        state.log.push(Logged { xid, at, end, time, actions });
        state.end = end;
        drop(state);
        self.grown.notify_waiters();
    }

    /// Snapshots see a committed transaction from now on.
    pub fn appear(&self, xid: u64) {
        self.state().running.remove(&xid);
    }

    /// The log grows by something that is not for this pipeline.
    pub fn idle(&self) {
        let mut state = self.state();
        state.end = Lsn(state.end.0 + COMMIT);
        drop(state);
        self.grown.notify_waiters();
    }

    /// The end of the log.
    pub fn end(&self) -> Position {
        self.state().end.into()
    }

    /// All transactions so far, in the order of their commits: where each is, and what it did.
    pub fn transactions(&self) -> Vec<(Position, Vec<Action>)> {
        let state = self.state();
        state.log.iter().map(|logged| (logged.at.into(), logged.actions.clone())).collect()
    }

    /// Rows of a table by everything that is committed, in key order.
    pub fn rows(&self, table: usize) -> Vec<Tuple> {
        let state = self.state();
        let all = Snapshot { xmin: state.next_xid, xmax: state.next_xid, running: Vec::new() };
        state.rows(&all).swap_remove(table)
    }

    /// What each statement of each table gives for all that is committed, sorted.
    pub fn expected(&self) -> Vec<Vec<Vec<u8>>> {
        let state = self.state();
        let all = Snapshot { xmin: state.next_xid, xmax: state.next_xid, running: Vec::new() };
        let tables = state.rows(&all);
        let mut expected = Vec::new();
        for (spec, rows) in state.tables.iter().zip(&tables) {
            for select in &spec.statements {
                let mut given = Rows::new();
                rows.iter().for_each(|row| select(&tables, row, &mut given));
                let mut given: Vec<_> = given.iter().map(|row| row.0.to_vec()).collect();
                given.sort();
                expected.push(given);
            }
        }
        expected
    }
}

impl State {
    /// What a new transaction sees.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let xmax = self.next_xid;
        let xmin = self.running.first().copied().unwrap_or(xmax);
        Snapshot { xmin, xmax, running: self.running.iter().copied().collect() }
    }

    fn locks(&self, action: &Action) -> Vec<Lock> {
        let (table, rows): (_, &[&Tuple]) = match action {
            Action::Insert(table, row) | Action::Delete(table, row) => (*table, &[row]),
            Action::Update(table, old, new) => (*table, &[old, new]),
            Action::Truncate(table) => return vec![Lock { table: *table, key: None }],
            Action::Message(_) => return Vec::new(),
        };
        // Of equal rows without a key it is not known which one.
        let whole = |row: &Tuple| Key::of(row, &(0..row.len()).collect::<Vec<_>>());
        let key = |row: &&Tuple| self.tables[table].key(row).or_else(|| whole(row));
        rows.iter().filter_map(key).map(|key| Lock { table, key: Some(key) }).collect()
    }

    /// The rows of all tables in a snapshot; of those with a key in its order.
    pub(crate) fn rows(&self, snapshot: &Snapshot) -> Vec<Vec<Tuple>> {
        let Self { tables, log, running, .. } = self;
        let mut seen_by_all = self.seen_by_all.borrow_mut();
        let (seen, contents) = &mut *seen_by_all;
        while let Some(logged) = log.get(*seen).filter(|logged| !running.contains(&logged.xid)) {
            apply(tables, contents, &logged.actions);
            *seen += 1;
        }
        let mut contents = contents.clone();
        #[allow(clippy::cast_possible_truncation, reason = "ids are small here")]
        let visible = log[*seen..].iter().filter(|logged| snapshot.sees(logged.xid as u32));
        visible.for_each(|logged| apply(tables, &mut contents, &logged.actions));
        contents.into_iter().map(Content::rows).collect()
    }

    pub(crate) fn table(&self, name: &TableName) -> Option<(usize, &TableSpec)> {
        self.tables.iter().enumerate().find(|(_, spec)| spec.relation.table == *name)
    }
}

impl TableSpec {
    /// The key of a whole row; `None` where rows have none.
    pub fn key(&self, row: &Tuple) -> Option<Key> {
        if self.keyless.is_some() {
            return None;
        }
        Key::of(row, &self.relation.key_columns())
    }
}

fn apply(tables: &[TableSpec], contents: &mut [Content], actions: &[Action]) {
    for action in actions {
        match action {
            Action::Insert(at, new) => contents[*at].add(&tables[*at], new),
            Action::Update(at, old, new) => {
                contents[*at].remove(&tables[*at], old);
                contents[*at].add(&tables[*at], new);
            }
            Action::Delete(at, old) => contents[*at].remove(&tables[*at], old),
            Action::Truncate(at) => contents[*at] = Content::default(),
            Action::Message(_) => {}
        }
    }
}

/// The rows of a table.
#[derive(Clone, Default)]
struct Content {
    keyed: BTreeMap<Key, Tuple>,
    others: Vec<Tuple>,
}

impl Content {
    fn add(&mut self, spec: &TableSpec, row: &Tuple) {
        match spec.key(row) {
            Some(key) => drop(self.keyed.insert(key, row.clone())),
            None => self.others.push(row.clone()),
        }
    }

    fn remove(&mut self, spec: &TableSpec, row: &Tuple) {
        match spec.key(row) {
            Some(key) => drop(self.keyed.remove(&key)),
            None => {
                let at = self.others.iter().position(|known| known == row);
                at.map(|at| self.others.swap_remove(at));
            }
        }
    }

    fn rows(self) -> Vec<Tuple> {
        self.keyed.into_values().chain(self.others).collect()
    }
}
