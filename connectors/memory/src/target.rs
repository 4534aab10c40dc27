//! The store as a target: its ledger, and the sink that writes rows and position in one commit.

use std::collections::VecDeque;
use std::sync::Arc;

use regraft_core::contract::{
    Ledger, LedgerState, Past, Phase, PlannedChunk, Sink, TableProgress, Target, Written,
};
use regraft_core::segment::{ChunkDone, KeysToRead, Payload};
use regraft_core::{
    ChunkScope, Code, Entry, Error, Form, Position, Result, Segment, TableName, Takes,
};

use crate::store::{Content, LedgerChunk, Store, Tables};
use crate::weather::Weather;

/// Segments that may be under way at a time.
const UNDER_WAY: u64 = 3;

/// See the module.
#[derive(Clone)]
pub struct MemoryTarget {
    /// The server.
    pub store: Store,
    /// What happens to its calls.
    pub weather: Weather,
    /// What the sink takes.
    pub takes: Takes,
}

impl Target for MemoryTarget {
    type Ledger = MemoryLedger;
    type Sink = MemorySink;

    fn takes(&self) -> Takes {
        self.takes
    }

    async fn open(&mut self) -> Result<(MemoryLedger, MemorySink)> {
        self.weather.before("target.open").await?;
        let ledger = self.ledger()?;
        let sink = MemorySink {
            store: self.store.clone(),
            weather: self.weather.clone(),
            takes: self.takes,
            epoch: ledger.epoch,
            open: Open::default(),
            under_way: VecDeque::new(),
        };
        self.weather.after("target.open")?;
        Ok((ledger, sink))
    }

    async fn note(&mut self, error: Option<&Error>, phase: Phase) -> Result<()> {
        self.weather.before("target.note").await?;
        let mut ledger = self.ledger()?;
        if error.is_some() {
            ledger.last_error(error).await?;
        }
        ledger.phase(phase).await
    }

    async fn answer(&mut self, _: &Error) -> Result<bool> {
        Ok(false)
    }
}

impl MemoryTarget {
    /// Takes the pipeline. From here on the commits of earlier sinks fail.
    fn ledger(&self) -> Result<MemoryLedger> {
        let mut state = self.store.state();
        if state.owner.is_some() {
            let what = "another daemon runs the pipeline";
            return Err(Error::new(Code::PipelineRunning, what).at("memory"));
        }
        state.owners += 1;
        state.owner = Some(state.owners);
        state.committed.ledger.epoch += 1;
        let (owner, epoch) = (state.owners, state.committed.ledger.epoch);
        state.flush();
        let (store, weather) = (self.store.clone(), self.weather.clone());
        Ok(MemoryLedger { store, weather, owner, epoch })
    }
}

/// The ledger, for as long as the pipeline is held.
pub struct MemoryLedger {
    store: Store,
    weather: Weather,
    owner: u64,
    epoch: u64,
}

impl Drop for MemoryLedger {
    fn drop(&mut self) {
        let mut state = self.store.state();
        if state.owner == Some(self.owner) {
            state.owner = None;
        }
    }
}

impl MemoryLedger {
    /// Changes the ledger, on the disk at once.
    async fn change<T>(
        &mut self,
        call: &'static str,
        change: impl FnOnce(&mut Content, &mut dyn FnMut() -> i64) -> T,
    ) -> Result<T> {
        self.weather.before(call).await?;
        let changed = {
            let mut state = self.store.state();
            let mut content = state.committed.clone();
            let changed = change(&mut content, &mut || state.chunk_id());
            state.committed = content;
            state.flush();
            changed
        };
        self.weather.after(call)?;
        Ok(changed)
    }
}

impl Ledger for MemoryLedger {
    async fn load(&mut self) -> Result<LedgerState> {
        self.weather.before("ledger.load").await?;
        let state = self.store.state();
        let ledger = &state.committed.ledger;
        let ranges = |table: &TableName, done_only: bool| {
            let of = ledger.chunks.values().filter(|known| known.chunk.table == *table);
            let of = of.filter(|known| matches!(known.chunk.scope, ChunkScope::Range { .. }));
            of.filter(|known| known.done || !done_only).count() as u64
        };
        let tables = ledger.tables.iter().map(|(table, known)| TableProgress {
            table: table.clone(),
            planned_upto: known.planned_upto.clone(),
            fully_planned: known.fully_planned,
            chunks: ranges(table, false),
            chunks_done: ranges(table, true),
            anew_from: known.anew_from.clone(),
            keeps_rows: false,
        });
        let pending = ledger.chunks.values().filter(|known| !known.done);
        Ok(LedgerState {
            past: Past {
                position: ledger.position.clone(),
                last: ledger.last.clone(),
                history: ledger.history.clone(),
            },
            commit_time: ledger.commit_time,
            tables: tables.collect(),
            pending: pending.map(|known| known.chunk.clone()).collect(),
            mending: Vec::new(),
        })
    }

    async fn plan(&mut self, table: &TableName, scope: &ChunkScope) -> Result<PlannedChunk> {
        self.change("ledger.plan", |content, id| {
            let chunk = PlannedChunk { id: id(), table: table.clone(), scope: scope.clone() };
            if let (ChunkScope::Range { upto, .. }, Some(known)) =
                (scope, content.ledger.tables.get_mut(table))
            {
                known.planned_upto.clone_from(upto);
                known.fully_planned = upto.is_none();
            }
            let planned = LedgerChunk { chunk: chunk.clone(), done: false };
            content.ledger.chunks.insert(chunk.id, planned);
            chunk
        })
        .await
    }

    async fn split(
        &mut self,
        chunk: &PlannedChunk,
        scopes: Vec<ChunkScope>,
    ) -> Result<Vec<PlannedChunk>> {
        self.change("ledger.split", |content, id| {
            content.ledger.chunks.remove(&chunk.id);
            let part = |scope| PlannedChunk { id: id(), table: chunk.table.clone(), scope };
            let parts: Vec<_> = scopes.into_iter().map(part).collect();
            for chunk in &parts {
                let planned = LedgerChunk { chunk: chunk.clone(), done: false };
                content.ledger.chunks.insert(chunk.id, planned);
            }
            parts
        })
        .await
    }

    async fn keys_to_read(&mut self, known: &[i64]) -> Result<Vec<PlannedChunk>> {
        self.weather.before("ledger.keys_to_read").await?;
        let state = self.store.state();
        let open = state.committed.ledger.chunks.values().filter(|chunk| !chunk.done);
        let keys = open.filter(|open| !matches!(open.chunk.scope, ChunkScope::Range { .. }));
        let new = keys.filter(|open| !known.contains(&open.chunk.id));
        Ok(new.map(|open| open.chunk.clone()).collect())
    }

    async fn note_history(&mut self, history: &str) -> Result<()> {
        let history = Some(history.to_owned());
        self.change("ledger.note_history", |content, _| content.ledger.history = history).await
    }

    async fn beat(&mut self) -> Result<bool> {
        self.weather.before("ledger.beat").await?;
        Ok(false)
    }

    async fn phase(&mut self, phase: Phase) -> Result<()> {
        self.change("ledger.phase", |content, _| content.ledger.phase = Some(phase)).await
    }

    async fn last_error(&mut self, error: Option<&Error>) -> Result<()> {
        let code = error.map(Error::code);
        self.change("ledger.last_error", |content, _| content.ledger.last_error = code).await
    }
}

/// Writes segments one after the other, several under way.
pub struct MemorySink {
    store: Store,
    weather: Weather,
    takes: Takes,
    epoch: u64,
    open: Open,
    under_way: VecDeque<Segment>,
}

/// The target's transaction.
#[derive(Default)]
struct Open {
    /// All rows as they are in it; `None` as long as nothing was written.
    rows: Option<Tables>,
    log: Vec<Arc<Entry>>,
    to_read: Vec<KeysToRead>,
    anew: Vec<TableName>,
    chunks_done: Vec<ChunkDone>,
}

impl Sink for MemorySink {
    async fn write(&mut self, segment: Segment) -> Result<Vec<Vec<Written>>> {
        self.under_way.push_back(segment);
        let most = usize::try_from(self.weather.below(UNDER_WAY)).unwrap_or_default();
        let mut written = Vec::new();
        while self.under_way.len() > most {
            written.extend(self.settle().await?);
        }
        Ok(written)
    }

    async fn settle(&mut self) -> Result<Option<Vec<Written>>> {
        if self.under_way.is_empty() {
            return Ok(None);
        }
        self.weather.before("sink.write").await?;
        // Taken after the last wait, so that a future that is dropped loses nothing.
        let Some(segment) = self.under_way.pop_front() else { return Ok(None) };
        let committed = segment.commit.is_some();
        match self.takes.form {
            Form::Net => segment.net().map(drop),
            Form::Log => segment.log().map(drop),
        }?;
        let written =
            if self.takes.transactions { self.inside(segment) } else { self.at_once(segment) }?;
        if committed {
            self.weather.after("sink.commit")?;
        }
        Ok(Some(written))
    }

    async fn durable(&mut self) -> Result<Option<Position>> {
        self.weather.before("sink.durable").await?;
        let mut state = self.store.state();
        // A disk takes its time; and of another sink than this one nothing is said.
        if self.weather.below(3) == 0 || state.committed.ledger.epoch != self.epoch {
            return Ok(None);
        }
        state.flush();
        Ok(Some(state.committed.ledger.position.clone()))
    }
}

impl MemorySink {
    /// Writes a segment into the open transaction, and commits it if that is its end.
    fn inside(&mut self, segment: Segment) -> Result<Vec<Written>> {
        let mut state = self.store.state();
        let mut open = std::mem::take(&mut self.open);
        let mut rows = open.rows.take().unwrap_or_else(|| state.committed.rows.clone());
        let written = state.write(&mut rows, &segment.payload)?;
        open.log.extend(logged(segment.payload));
        open.to_read.extend(segment.to_read);
        open.anew.extend(segment.anew);
        open.chunks_done.extend(segment.chunks_done);
        let Some(commit) = segment.commit else {
            self.open = Open { rows: Some(rows), ..open };
            return Ok(written);
        };
        state.fenced(self.epoch)?;
        state.committed.rows = rows;
        state.committed.log.extend(open.log);
        state.note_to_read(&open.to_read);
        state.committed.ledger.note(&open.anew, &open.chunks_done);
        state.committed.ledger.record(&commit, &open.chunks_done);
        Ok(written)
    }

    /// Writes a segment at once: first what is still to be read, then the rows, and the position after all.
    fn at_once(&mut self, segment: Segment) -> Result<Vec<Written>> {
        let mut state = self.store.state();
        state.fenced(self.epoch)?;
        state.note_to_read(&segment.to_read);
        let mut rows = state.committed.rows.clone();
        let written = state.write(&mut rows, &segment.payload)?;
        state.committed.rows = rows;
        state.committed.log.extend(logged(segment.payload));
        self.open.anew.extend(segment.anew);
        self.open.chunks_done.extend(segment.chunks_done);
        self.weather.after("sink.rows")?;
        if let Some(commit) = segment.commit {
            let open = std::mem::take(&mut self.open);
            state.committed.ledger.note(&open.anew, &open.chunks_done);
            state.committed.ledger.record(&commit, &open.chunks_done);
        }
        Ok(written)
    }
}

fn logged(payload: Payload) -> Vec<Arc<Entry>> {
    match payload {
        Payload::Log(entries) => entries.into_iter().map(Arc::new).collect(),
        Payload::Net(_) => Vec::new(),
    }
}
