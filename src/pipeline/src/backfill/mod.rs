//! The backfill: plans chunks, reads them on several connections, and hands them to the follower.
//!
//! One coordinator owns the plan of chunks; each chunk is read by a task of its own on one of the reader
//! connections:
//!
//! ```text
//!  open a window ─▶ read the chunk in a snapshot ─▶ hand it over ─▶ write the watermark ─▶ joined?
//!        ▲                                                                                   │ stale
//!        └───────────────────────────── wait a little ◀──────────────────────────────────────┘
//! ```
//!
//! Keys that the stream could not carry whole come as further chunks, recorded by the commits. So do
//! changes of other tables that statements read: the source tells which keys they touch, and these are
//! read once every chunk is done whose window was open then, for its rows may be from before the change.

mod chunks;
mod read;

use std::sync::Arc;
use std::time::Duration;

use regraft_core::chunk::ChunkScope;
use regraft_core::contract::{ChunkReader, Ledger, LedgerState, PlannedChunk};
use regraft_core::{Code, Error, Key, Mark, Result, Watermarks, fail_point};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::chunks::State;
pub(crate) use self::read::Stale;
use self::read::{Read, ReadChunk, ReadEnd, trace};
use crate::applier::Landed;
use crate::between::{Copied, Trouble};
use crate::copy::CopyTable;
use crate::follow::ChunkMessage;
use crate::plan::{Options, PlannedTable};
use crate::progress::Reporter;
use crate::refused::{Refusal, Refusals};

/// How often the ledger is asked for keys that somebody else wants read.
const TICK: Duration = Duration::from_millis(500);

/// See the module.
pub(crate) struct Backfill<R, L> {
    pub(crate) ledger: Arc<Mutex<L>>,
    /// Plans ranges; gone when all of them are copied. Reads no chunks.
    pub(crate) planner: Option<R>,
    /// Writes the closing watermark.
    pub(crate) marker: R,
    pub(crate) readers: Vec<R>,
    pub(crate) follower: mpsc::Sender<ChunkMessage>,
    pub(crate) committed: mpsc::UnboundedReceiver<Landed>,
    pub(crate) options: Options,
    pub(crate) reporter: Reporter,
    /// Of each source table by its index.
    pub(crate) copied: watch::Sender<Vec<Copied>>,
    pub(crate) trouble: Trouble,
    pub(crate) refusals: Refusals,
    pub(crate) watermarks: Watermarks,
    pub(crate) cancel: CancellationToken,
}

impl<R: ChunkReader + 'static, L: Ledger> Backfill<R, L> {
    /// What the ledger has of it. The follower has to know that, too, before its first change: which tables
    /// are complete, so that a row of theirs that is missing is an error.
    pub(crate) fn begin(&self, tables: &[PlannedTable], ledger: &LedgerState) -> State {
        let state = State::new(tables, ledger, self.options.backfill);
        self.refusals.retain(|chunk| state.open.contains_key(&chunk));
        self.trouble.set_refusing(self.refusals.some_wait());
        self.publish(&state);
        state
    }

    /// Runs until cancelled.
    pub(crate) async fn run(mut self, mut state: State) -> Result<()> {
        let mut reading: JoinSet<Read<R>> = JoinSet::new();
        let mut tick = tokio::time::interval(TICK);
        if state.tables.iter().any(|table| !table.fully_planned) {
            let names: Vec<_> = state.tables.iter().map(|t| t.planned.table.clone()).collect();
            let rows = self.planner()?.rows(&names).await?;
            state.tables.iter_mut().zip(rows).for_each(|(table, rows)| table.rows = rows);
        }
        self.narrow(&mut state).await?;
        self.publish(&state);
        loop {
            state.take_up_refused();
            self.plan(&mut state).await?;
            if state.ranges_done() {
                self.planner = None;
            }
            self.start_reads(&mut state, &mut reading);
            self.mark_end(&mut state).await?;
            let pause = state.next_read.saturating_duration_since(Instant::now());
            tokio::select! {
                () = self.cancel.cancelled() => return Ok(()),
                Some(read) = reading.join_next() => self.finished(&mut state, read).await?,
                Some(committed) = self.committed.recv() => {
                    self.committed(&mut state, &committed).await?;
                }
                () = tokio::time::sleep(pause), if !pause.is_zero() && !self.readers.is_empty() => {}
                _ = tick.tick() => {
                    self.keys_to_read(&mut state).await?;
                    self.readers.iter_mut().for_each(ChunkReader::rest);
                }
            }
        }
    }

    fn planner(&mut self) -> Result<&mut R> {
        let none = || Error::new(Code::Internal, "a range to plan, and all of them are copied");
        self.planner.as_mut().ok_or_else(none)
    }

    /// Halves chunks that were refused; those that cannot be halved wait.
    async fn narrow(&mut self, state: &mut State) -> Result<()> {
        for chunk in std::mem::take(&mut state.queue) {
            match self.refusals.of(chunk.id) {
                None => state.queue.push_back(chunk),
                Some(Refusal::Wait { until, .. }) => state.refused.push((until, chunk)),
                Some(Refusal::Halve) => match self.halves(state, &chunk).await? {
                    Some((scopes, rows)) => self.replace(state, &chunk, scopes, rows).await?,
                    None => {
                        self.refusals.single(chunk.id);
                        state.queue.push_back(chunk);
                    }
                },
            }
        }
        self.refusals.retain(|chunk| state.open.contains_key(&chunk));
        if !self.refusals.is_empty() {
            self.trouble.set_refusing(true);
        }
        Ok(())
    }

    /// Plans chunks ahead of the readers.
    async fn plan(&mut self, state: &mut State) -> Result<()> {
        // Keys that the stream has read by key must not keep ranges from their turn.
        while state.ranges_queued() < self.options.readers {
            let Some(at) = state.tables.iter().position(|table| !table.fully_planned) else {
                return Ok(());
            };
            let table = &mut state.tables[at];
            let after = table.planned_upto.take();
            let name = &table.planned.table;
            if table.planned.keyless.is_some() {
                let scope = ChunkScope::Range { after: None, upto: None };
                let chunk = self.ledger.lock().await.plan(name, &scope).await?;
                table.fully_planned = true;
                table.chunks += 1;
                state.enqueue(chunk, None);
                self.publish(state);
                continue;
            }
            let (chunk_bytes, chunk_rows) = (self.options.chunk_bytes, self.options.chunk_rows);
            let planner = self.planner()?;
            let rows = match table.chunk_rows {
                Some(rows) => rows,
                None => planner.rows_in(name, chunk_bytes).await?,
            };
            let rows = rows.min(chunk_rows);
            table.chunk_rows = Some(rows);
            let upto = planner.boundary(name, after.as_deref(), None, rows).await?;
            let scope = ChunkScope::Range { after, upto: upto.clone() };
            let chunk = self.ledger.lock().await.plan(name, &scope).await?;
            fail_point!("chunk.planned");
            table.fully_planned = upto.is_none();
            table.planned_upto = upto;
            table.chunks += 1;
            state.enqueue(chunk, Some(rows));
            self.publish(state);
        }
        Ok(())
    }

    /// Puts the keys to which a change of another table leads in its place.
    async fn traced(
        &mut self,
        state: &mut State,
        chunk: &PlannedChunk,
        keys: &[Key],
    ) -> Result<()> {
        let size = usize::try_from(self.options.chunk_rows).unwrap_or(usize::MAX).max(1);
        let scopes = keys.chunks(size).map(|keys| ChunkScope::Keys(keys.to_vec())).collect();
        let chunks = self.ledger.lock().await.split(chunk, scopes).await?;
        fail_point!("trace.split");
        state.open.remove(&chunk.id);
        let others = state.waits.remove(&chunk.id).unwrap_or_default();
        for chunk in chunks {
            state.waits.insert(chunk.id, others.clone());
            state.enqueue(chunk, None);
        }
        self.publish(state);
        Ok(())
    }

    fn start_reads(&mut self, state: &mut State, reading: &mut JoinSet<Read<R>>) {
        while let Some(chunk) = state.traced.pop_front() {
            let Some(reader) = self.readers.pop() else {
                state.traced.push_front(chunk);
                return;
            };
            reading.spawn(trace(reader, chunk));
        }
        while state.next_read <= Instant::now() && !state.queue.is_empty() {
            let Some(reader) = self.readers.pop() else { return };
            let Some(chunk) = state.next_chunk(self.options.readers) else {
                self.readers.push(reader);
                return;
            };
            let Some(&open) = state.open.get(&chunk.id) else {
                self.readers.push(reader);
                continue;
            };
            state.reading.insert(chunk.id);
            if open.copy {
                let copy = CopyTable {
                    follower: self.follower.clone(),
                    watermarks: self.watermarks.clone(),
                    table: open.table,
                    bytes_max: self.options.chunk_bytes.min(self.options.batch_bytes),
                    rows_per_second: self.options.rows_per_second,
                };
                reading.spawn(async move {
                    let (reader, id, copied) = copy.run(reader, chunk).await;
                    // It has kept to its rate by itself.
                    (reader, id, copied.map(|()| ReadEnd::Read(0)))
                });
                continue;
            }
            let read = ReadChunk {
                follower: self.follower.clone(),
                watermarks: self.watermarks.clone(),
                table: open.table,
                bytes_max: if open.unlimited { usize::MAX } else { self.options.chunk_bytes },
                rows: 0,
            };
            reading.spawn(read.run(reader, chunk));
        }
    }

    async fn finished(
        &mut self,
        state: &mut State,
        read: Result<Read<R>, tokio::task::JoinError>,
    ) -> Result<()> {
        let (reader, id, result) = read.map_err(|error| {
            Error::new(Code::Internal, "a chunk reader ended unexpectedly").because(error)
        })?;
        self.readers.push(reader);
        state.reading.remove(&id);
        match result? {
            ReadEnd::TooLarge(chunk) => self.split(state, chunk).await,
            ReadEnd::Traced(chunk, keys) => self.traced(state, &chunk, &keys).await,
            ReadEnd::Read(rows) => {
                if let Some(limit) = self.options.rows_per_second {
                    #[allow(clippy::cast_precision_loss, reason = "a pause needs no precision")]
                    let pause = Duration::from_secs_f64(rows as f64 / limit.max(1) as f64);
                    state.next_read = state.next_read.max(Instant::now()) + pause;
                }
                Ok(())
            }
        }
    }

    /// Halves a chunk that is too large, down to single rows.
    async fn split(&mut self, state: &mut State, chunk: PlannedChunk) -> Result<()> {
        if let Some((scopes, rows)) = self.halves(state, &chunk).await? {
            if let Some(open) = state.open.get(&chunk.id).filter(|open| open.range) {
                let table = &mut state.tables[open.table];
                table.chunk_rows = table.chunk_rows.map(|planned| planned.min(rows).max(1));
            }
            return self.replace(state, &chunk, scopes, rows).await;
        }
        // Nothing to halve by: a single row is left, or deletes emptied the range meanwhile.
        if let Some(open) = state.open.get_mut(&chunk.id) {
            open.unlimited = true;
            state.queue.push_front(chunk);
        }
        Ok(())
    }

    /// Two scopes that cover the same rows as the chunk, with the rows that they are planned for; `None` for
    /// a single row.
    async fn halves(
        &mut self,
        state: &State,
        chunk: &PlannedChunk,
    ) -> Result<Option<(Vec<ChunkScope>, u64)>> {
        let Some(open) = state.open.get(&chunk.id) else { return Ok(None) };
        let mut rows = open.rows / 2;
        match &chunk.scope {
            ChunkScope::Keys(keys) if keys.len() > 1 => {
                let (first, second) = keys.split_at(keys.len() / 2);
                let halves = [first, second].map(|half| ChunkScope::Keys(half.to_vec()));
                Ok(Some((halves.to_vec(), rows)))
            }
            ChunkScope::Keys(_) | ChunkScope::Traced(_) => Ok(None),
            ChunkScope::Range { after, upto } => {
                // There may be fewer rows than were planned, and of a range from an earlier start it is not
                // known how many.
                loop {
                    rows = rows.max(1);
                    let (from, to) = (after.as_deref(), upto.as_deref());
                    let middle = self.planner()?.boundary(&chunk.table, from, to, rows).await?;
                    if let Some(middle) = middle.filter(|middle| Some(middle) != upto.as_ref()) {
                        let after = after.clone();
                        let first = ChunkScope::Range { after, upto: Some(middle.clone()) };
                        let upto = upto.clone();
                        let second = ChunkScope::Range { after: Some(middle), upto };
                        return Ok(Some((vec![first, second], rows)));
                    }
                    if rows == 1 {
                        return Ok(None);
                    }
                    rows /= 2;
                }
            }
        }
    }

    /// Puts chunks that cover the same rows in the place of one.
    async fn replace(
        &mut self,
        state: &mut State,
        chunk: &PlannedChunk,
        scopes: Vec<ChunkScope>,
        rows: u64,
    ) -> Result<()> {
        let halves = self.ledger.lock().await.split(chunk, scopes).await?;
        fail_point!("chunk.split");
        if let Some(open) = state.open.remove(&chunk.id).filter(|open| open.range) {
            state.tables[open.table].open -= 1;
            state.tables[open.table].chunks += 1;
        }
        halves.into_iter().for_each(|half| state.enqueue(half, Some(rows)));
        self.publish(state);
        Ok(())
    }

    async fn committed(&mut self, state: &mut State, committed: &Landed) -> Result<()> {
        match committed {
            Landed::Chunk(done) => {
                self.refusals.retain(|chunk| chunk != done.id);
                self.trouble.set_refusing(!self.refusals.is_empty());
                if let Some(open) = state.open.remove(&done.id).filter(|open| open.range) {
                    state.tables[open.table].open -= 1;
                    state.tables[open.table].done += 1;
                }
                self.publish(state);
            }
            Landed::KeysToRead => {
                state.key_segments += 1;
                self.keys_to_read(state).await?;
            }
        }
        Ok(())
    }

    /// Takes up keys that commits recorded, and those that a repair asks for.
    async fn keys_to_read(&mut self, state: &mut State) -> Result<()> {
        let known: Vec<_> = state.open.keys().copied().collect();
        let more = self.ledger.lock().await.keys_to_read(&known).await?;
        for chunk in more {
            state.enqueue(chunk, None);
        }
        self.publish(state);
        Ok(())
    }

    /// Where the run ends once caught up: puts the closing watermark into the stream.
    async fn mark_end(&mut self, state: &mut State) -> Result<()> {
        if !self.options.until_caught_up
            || !state.copied()
            || state.marked_end == Some(state.key_segments)
        {
            return Ok(());
        }
        state.marked_end = Some(state.key_segments);
        let end = Mark::End { key_segments: state.key_segments };
        self.marker.mark(&self.watermarks.write(end)).await?;
        Ok(())
    }

    fn publish(&self, state: &State) {
        let copied = state.tables.iter().map(|table| table.copied(&self.options));
        let copied: Vec<_> = copied.collect();
        for (at, (table, copied)) in state.tables.iter().zip(&copied).enumerate() {
            self.reporter.chunks(at, copied.done, table.chunks, copied.expected);
        }
        self.copied.send_replace(copied);
        let keys = state.open.values().filter(|open| !open.range).count();
        self.reporter.keys_to_read(keys as u64);
    }
}
