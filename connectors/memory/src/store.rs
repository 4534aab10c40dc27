//! The target's server: rows, and the ledger of one pipeline beside them, committed together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use regraft_core::contract::{Phase, PlannedChunk, Written};
use regraft_core::segment::{
    ChunkDone, Commit, KeysToRead, PatchGroup, Payload, Route, TableWrites,
};
use regraft_core::verify::{Outcome, Request, Sweep};
use regraft_core::{
    ChunkScope, Code, Entry, EntryKind, Error, Key, Position, Result, Row, Rows, TableName,
    Transaction,
};

/// What a table is for the rows of one statement.
#[derive(Clone, Debug)]
pub struct TargetTable {
    /// Columns of its key; `None` where equal rows are counted.
    pub key: Option<Vec<usize>>,
}

/// A server; clones are the same one.
#[derive(Clone)]
pub struct Store(Arc<Mutex<State>>);

pub(crate) struct State {
    pub(crate) routes: Vec<Route>,
    pub(crate) tables: Vec<TargetTable>,
    pub(crate) committed: Content,
    /// What is on the disk.
    durable: Content,
    /// Who has the pipeline.
    pub(crate) owner: Option<u64>,
    pub(crate) owners: u64,
    next_chunk: i64,
    /// Somebody else has changed its rows.
    tampered: bool,
}

/// Rows and ledger at one moment.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) rows: Tables,
    /// What came in the form of a log. Beside the rows, which are what it says.
    pub(crate) log: Vec<Arc<Entry>>,
    pub(crate) ledger: LedgerRows,
}

/// Rows by statement and key; where they are counted, the row is the key.
pub(crate) type Tables = Vec<BTreeMap<Vec<u8>, Counted>>;

#[derive(Clone)]
pub(crate) struct Counted {
    pub(crate) row: Vec<u8>,
    pub(crate) count: u64,
    /// The source row that it is of, if it came in a log.
    of: Option<Key>,
}

impl Counted {
    fn once(row: &[u8]) -> Self {
        Self { row: row.to_vec(), count: 1, of: None }
    }
}

/// The ledger's tables.
#[derive(Clone)]
pub(crate) struct LedgerRows {
    pub(crate) epoch: u64,
    pub(crate) position: Position,
    pub(crate) last: Option<Transaction>,
    pub(crate) commit_time: Option<SystemTime>,
    pub(crate) history: Option<String>,
    pub(crate) tables: BTreeMap<TableName, LedgerTable>,
    pub(crate) chunks: BTreeMap<i64, LedgerChunk>,
    pub(crate) phase: Option<Phase>,
    pub(crate) last_error: Option<Code>,
    pub(crate) sweeps: BTreeMap<usize, Sweep>,
    /// By statement: owners that are still to be looked at.
    pub(crate) unsettled: BTreeSet<(usize, Key)>,
    /// By statement and the target's key: rows that differ.
    pub(crate) findings: BTreeMap<(usize, Key), FoundRow>,
    pub(crate) requests: Vec<Asked>,
}

#[derive(Clone)]
pub(crate) struct FoundRow {
    pub(crate) owner: Key,
    /// Its repair was asked for.
    pub(crate) asked: bool,
    /// It was found again since.
    pub(crate) seen_again: bool,
}

/// A verification that somebody asked for.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) id: i64,
    pub(crate) request: Request,
    pub(crate) ended: Option<Verdict>,
}

/// How a verification ended: what was found, or why it was refused.
pub type Verdict = Result<Vec<Outcome>, Code>;

#[derive(Clone, Default)]
pub(crate) struct LedgerTable {
    pub(crate) planned_upto: Option<Vec<String>>,
    pub(crate) fully_planned: bool,
    pub(crate) anew_from: Option<Position>,
    /// Where the last chunk of it so far joined.
    joined_at: Option<Position>,
}

#[derive(Clone)]
pub(crate) struct LedgerChunk {
    pub(crate) chunk: PlannedChunk,
    pub(crate) done: bool,
}

impl Store {
    /// A store for the rows of these statements, registered at a position, with nothing copied.
    pub fn new(routes: Vec<Route>, tables: Vec<TargetTable>, position: Position) -> Self {
        let sources = routes.iter().map(|route| (route.source.clone(), LedgerTable::default()));
        let ledger = LedgerRows {
            epoch: 0,
            position,
            last: None,
            commit_time: None,
            history: None,
            tables: sources.collect(),
            chunks: BTreeMap::new(),
            phase: None,
            last_error: None,
            sweeps: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            findings: BTreeMap::new(),
            requests: Vec::new(),
        };
        let rows = vec![BTreeMap::new(); routes.len()];
        let committed = Content { rows, log: Vec::new(), ledger };
        let durable = committed.clone();
        let (owner, owners, next_chunk) = (None, 0, 1);
        let state = State {
            routes,
            tables,
            committed,
            durable,
            owner,
            owners,
            next_chunk,
            tampered: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine stops, and starts with what was on its disk. Whoever had the pipeline is gone.
    pub fn crash(&self) {
        let mut state = self.state();
        state.committed = state.durable.clone();
        state.owner = None;
    }

    /// Has a source table copied anew: its changes before `from` are ignored, then its rows are cleared.
    pub fn begin_anew(&self, table: &TableName, from: Position) {
        let mut state = self.state();
        let ledger = &mut state.committed.ledger;
        if let Some(known) = ledger.tables.get_mut(table) {
            *known = LedgerTable { anew_from: Some(from), ..LedgerTable::default() };
        }
        ledger.chunks.retain(|_, known| known.chunk.table != *table);
        state.flush();
    }

    /// The rows of each statement, sorted, each as often as it is there.
    pub fn rows(&self) -> Vec<Vec<Vec<u8>>> {
        let state = self.state();
        let of = |rows: &BTreeMap<_, Counted>| {
            let mut all = Vec::new();
            rows.values()
                .for_each(|known| (0..known.count).for_each(|_| all.push(known.row.clone())));
            all.sort();
            all
        };
        state.committed.rows.iter().map(of).collect()
    }

    /// Everything that came in the form of a log, in order.
    pub fn log(&self) -> Vec<Arc<Entry>> {
        self.state().committed.log.clone()
    }

    /// The position with which the last chunk of a table joined that is not one of keys; `None` before there is one.
    pub fn joined_at(&self, table: &TableName) -> Option<Position> {
        self.state().committed.ledger.tables.get(table)?.joined_at.clone()
    }

    /// The position that the rows have.
    pub fn position(&self) -> Position {
        self.state().committed.ledger.position.clone()
    }

    /// Everything is planned and copied, and nothing is left to be read by key.
    pub fn is_complete(&self) -> bool {
        let state = self.state();
        let ledger = &state.committed.ledger;
        let begun_anew = |table: &LedgerTable| table.anew_from.is_some();
        ledger.tables.values().all(|table| table.fully_planned && !begun_anew(table))
            && ledger.chunks.values().all(|known| known.done)
    }

    /// Asks for a verification; gives its number.
    pub fn request(&self, request: Request) -> i64 {
        let mut state = self.state();
        let id = i64::try_from(state.committed.ledger.requests.len()).unwrap_or(i64::MAX);
        state.committed.ledger.requests.push(Asked { id, request, ended: None });
        state.flush();
        id
    }

    /// How the verification of this number ended; `None` as long as it has not.
    pub fn verdict(&self, request: i64) -> Option<Verdict> {
        let state = self.state();
        let asked = state.committed.ledger.requests.iter().find(|asked| asked.id == request)?;
        asked.ended.clone()
    }

    pub(crate) fn end_request(&self, request: i64, verdict: Option<Verdict>) {
        let mut state = self.state();
        let requests = &mut state.committed.ledger.requests;
        if let Some(asked) = requests.iter_mut().find(|asked| asked.id == request) {
            asked.ended = verdict;
        }
        state.flush();
    }

    /// Somebody takes a row of a statement away, or puts one there.
    pub fn tamper(&self, statement: usize, row: &[u8], put: bool) {
        let mut state = self.state();
        let key = match &state.tables[statement].key {
            Some(key) => columns(Row(row), key),
            None => row.to_vec(),
        };
        state.tampered = true;
        let rows = &mut state.committed.rows[statement];
        match put {
            true => drop(rows.insert(key, Counted::once(row))),
            false => drop(rows.remove(&key)),
        }
        state.flush();
    }

    /// What the last daemon has noted: its phase, and the code of an error.
    pub fn noted(&self) -> (Option<Phase>, Option<Code>) {
        let state = self.state();
        (state.committed.ledger.phase, state.committed.ledger.last_error)
    }
}

impl State {
    /// Everything committed so far is on the disk.
    pub(crate) fn flush(&mut self) {
        self.durable = self.committed.clone();
    }

    /// The daemon of this epoch still has the pipeline.
    pub(crate) fn fenced(&self, epoch: u64) -> Result<()> {
        if self.committed.ledger.epoch == epoch {
            return Ok(());
        }
        let what = "another daemon took over the pipeline";
        Err(Error::new(Code::PipelineRunning, what).at("memory"))
    }

    pub(crate) fn chunk_id(&mut self) -> i64 {
        self.next_chunk += 1;
        self.next_chunk
    }

    /// Writes what a segment brings into `tables`.
    pub(crate) fn write(&self, tables: &mut Tables, payload: &Payload) -> Result<Vec<Written>> {
        let mut written = vec![(0, 0); tables.len()];
        let mut write =
            |statement: usize, write: &dyn Fn(&mut Writer<'_>) -> Result<(u64, u64)>| {
                let (route, table) = (&self.routes[statement], &self.tables[statement]);
                let (rows, lenient) = (&mut tables[statement], self.tampered);
                let (upserted, deleted) = write(&mut Writer { route, table, rows, lenient })?;
                written[statement].0 += upserted;
                written[statement].1 += deleted;
                Ok(())
            };
        match payload {
            Payload::Net(all) => {
                all.iter().try_for_each(|w| write(w.statement, &|rows| rows.write(w)))
            }
            Payload::Log(entries) => {
                entries.iter().try_for_each(|e| write(e.statement, &|rows| rows.follow(e)))
            }
        }?;
        let told = |(statement, (upserted, deleted)): (usize, (u64, u64))| {
            let any = upserted > 0 || deleted > 0;
            any.then_some(Written { statement, upserted, deleted })
        };
        Ok(written.into_iter().enumerate().filter_map(told).collect())
    }

    /// Notes that rows are still to be read.
    pub(crate) fn note_to_read(&mut self, to_read: &[KeysToRead]) {
        for KeysToRead { table, scope } in to_read {
            let id = self.chunk_id();
            let chunk = PlannedChunk { id, table: table.clone(), scope: scope.clone() };
            self.committed.ledger.chunks.insert(id, LedgerChunk { chunk, done: false });
        }
    }
}

impl LedgerRows {
    /// Notes tables that begin anew, and chunks that are done.
    pub(crate) fn note(&mut self, anew: &[TableName], chunks_done: &[ChunkDone]) {
        for table in anew {
            if let Some(known) = self.tables.get_mut(table) {
                known.anew_from = None;
            }
        }
        for done in chunks_done {
            match self.chunks.get_mut(&done.id) {
                Some(known) if matches!(known.chunk.scope, ChunkScope::Range { .. }) => {
                    known.done = true;
                }
                _ => drop(self.chunks.remove(&done.id)),
            }
        }
    }

    pub(crate) fn record(&mut self, commit: &Commit, chunks_done: &[ChunkDone]) {
        self.position = commit.position.clone();
        for done in chunks_done {
            let table = self.chunks.get(&done.id).map(|known| known.chunk.table.clone());
            if let Some(known) = table.and_then(|table| self.tables.get_mut(&table)) {
                known.joined_at = Some(commit.position.clone());
            }
        }
        if let Some(last) = &commit.last {
            self.last = Some(last.clone());
            self.commit_time = Some(last.commit_time);
        }
    }
}

/// Writes the rows of one statement.
struct Writer<'a> {
    route: &'a Route,
    table: &'a TargetTable,
    rows: &'a mut BTreeMap<Vec<u8>, Counted>,
    /// It is not as it was left: what is there may be overwritten.
    lenient: bool,
}

impl Writer<'_> {
    fn key(&self, row: Row<'_>) -> Vec<u8> {
        self.table.key.as_ref().map_or_else(|| row.0.to_vec(), |key| columns(row, key))
    }

    fn write(&mut self, writes: &TableWrites) -> Result<(u64, u64)> {
        let before = self.rows.len();
        if writes.clear {
            self.rows.clear();
        }
        let arriving: Vec<_> = writes.arriving().map(|row| self.key(row)).collect();
        let owner = self.route.owner.clone().unwrap_or_default();
        let gone: Vec<_> = writes.replaced.iter().map(|row| row.0.to_vec()).collect();
        self.rows.retain(|key, known| {
            !gone.contains(&columns(Row(&known.row), &owner)) || arriving.contains(key)
        });
        for row in writes.withdrawn.iter() {
            let key = self.key(row);
            if !arriving.contains(&key) {
                self.rows.remove(&key);
            }
        }
        self.take_away(&writes.uncounted)?;
        let deleted = before.saturating_sub(self.rows.len()) as u64;
        for row in writes.upserts.iter() {
            self.rows.insert(self.key(row), Counted::once(row.0));
        }
        for row in writes.fresh.iter() {
            self.bring(row)?;
        }
        for group in &writes.patches {
            self.patch(group)?;
        }
        Ok(((writes.upserts.len() + writes.fresh.len()) as u64, deleted))
    }

    /// Does what an entry says.
    fn follow(&mut self, entry: &Entry) -> Result<(u64, u64)> {
        let before = self.rows.len();
        if entry.kind == EntryKind::Cleared {
            self.rows.clear();
        } else if let Some(key) = &entry.key {
            let owner = self.route.owner.as_ref();
            // Somebody else's rows are not of an entry.
            let owned = |row: &[u8]| owner.is_some_and(|at| *columns(Row(row), at) == *key.0);
            self.rows.retain(|_, known| known.of.as_ref() != Some(key) && !owned(&known.row));
        } else if let Some(gone) = &entry.before {
            self.take_away(gone)?;
        }
        let deleted = before.saturating_sub(self.rows.len()) as u64;
        for row in entry.after.iter() {
            if entry.key.is_none() {
                self.bring(row)?;
            } else {
                let known = Counted { of: entry.key.clone(), ..Counted::once(row.0) };
                self.rows.insert(self.key(row), known);
            }
        }
        Ok((entry.after.len() as u64, deleted))
    }

    /// A row that is not there yet.
    fn bring(&mut self, row: Row<'_>) -> Result<()> {
        let key = self.key(row);
        let counted = self.table.key.is_none();
        let known = self.rows.entry(key).or_insert(Counted { count: 0, ..Counted::once(row.0) });
        if known.count > 0 && !counted && !self.lenient {
            return Err(self.wrong("a row that is new is there already"));
        }
        known.row = row.0.to_vec();
        known.count = if counted { known.count + 1 } else { 1 };
        Ok(())
    }

    fn take_away(&mut self, rows: &Rows) -> Result<()> {
        for row in rows.iter() {
            match self.rows.get_mut(row.0) {
                Some(known) if known.count > 1 => known.count -= 1,
                Some(_) => drop(self.rows.remove(row.0)),
                None => return Err(self.wrong("a row that is to be taken away is not there")),
            }
        }
        Ok(())
    }

    fn patch(&mut self, group: &PatchGroup) -> Result<()> {
        let owner = self.route.owner.clone().unwrap_or_default();
        for patch in group.rows.iter() {
            let mut cells = patch.cells();
            let mut of = Vec::new();
            cells.by_ref().take(owner.len()).for_each(|cell| regraft_core::row::put(&mut of, cell));
            let new: Vec<_> = cells.collect();
            let owned = |known: &&Counted| columns(Row(&known.row), &owner) == of;
            let rows: Vec<_> = self.rows.values().filter(owned).map(|k| k.row.clone()).collect();
            if group.expect_rows && rows.len() != 1 && !self.lenient {
                return Err(self.wrong("a row that the stream changed in part is not there"));
            }
            for row in rows {
                self.rows.remove(&self.key(Row(&row)));
                let mut patched = Vec::new();
                for (at, cell) in Row(&row).cells().enumerate() {
                    let changed = group.columns.iter().position(|column| *column == at);
                    regraft_core::row::put(&mut patched, changed.map_or(cell, |at| new[at]));
                }
                self.rows.insert(self.key(Row(&patched)), Counted::once(&patched));
            }
        }
        Ok(())
    }

    fn wrong(&self, what: &str) -> Error {
        Error::new(Code::Internal, format!("{what}: {}", self.route.target)).at("memory")
    }
}

pub(crate) fn columns(row: Row<'_>, at: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    for &column in at {
        regraft_core::row::put(&mut out, row.cell(column).flatten());
    }
    out
}
