//! The backfill: plans chunks, reads them on several connections, and hands them to the follower.
//!
//! One coordinator owns the ledger and the plan of chunks; each chunk is read by a task of its own on
//! one of the reader connections:
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

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use regraft_core::chunk::{ChunkScope, StatementRows};
use regraft_core::contract::{ChunkReader, Ledger, LedgerState, Phase, PlannedChunk};
use regraft_core::{Code, Error, Mark, Result, Watermarks, fail_point};
use regraft_telemetry::record;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::applier::Committed;
use crate::copy::CopyTable;
use crate::follow::{ChunkMessage, Joined};
use crate::plan::{Options, PlannedTable};
use crate::progress::Progress;
use crate::refused::{Refusal, Refusals};

/// First and longest wait before a stale chunk is read again.
const STALE_WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));
/// How often the phase is looked at.
const TICK: Duration = Duration::from_millis(500);
/// How often, in ticks, the follower gets a snapshot, so that it can forget commits.
const SNAPSHOT_TICKS: u64 = 10;
/// How often, in ticks, the ledger hears that the daemon lives.
const BEAT_TICKS: u64 = 10;
/// A pipeline that lags less than this follows the source.
const STREAMING_LAG: Duration = Duration::from_secs(10);
/// When a chunk has been stale for this long, the log says why.
const STALE_NOTICE: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Backfill<R, L> {
    pub(crate) ledger: L,
    /// Plans and marks; never reads chunks.
    pub(crate) planner: R,
    pub(crate) readers: Vec<R>,
    pub(crate) follower: mpsc::Sender<ChunkMessage>,
    pub(crate) committed: mpsc::UnboundedReceiver<Committed>,
    pub(crate) options: Options,
    pub(crate) progress: Arc<Progress>,
    pub(crate) refusals: Refusals,
    pub(crate) watermarks: Watermarks,
    /// Told when somebody has said how a held table goes on.
    pub(crate) resumed: Arc<Notify>,
    pub(crate) cancel: CancellationToken,
}

struct Table {
    planned: PlannedTable,
    planned_upto: Option<Vec<String>>,
    fully_planned: bool,
    chunks: u64,
    done: u64,
    /// About how many rows it has.
    rows: u64,
    /// Range chunks planned and not committed.
    open: u64,
    /// Rows to plan per chunk, from the limits in rows and in bytes.
    chunk_rows: Option<u64>,
}

pub(crate) struct State {
    tables: Vec<Table>,
    queue: VecDeque<PlannedChunk>,
    /// Changes of other tables, whose keys are to be asked for.
    traced: VecDeque<PlannedChunk>,
    /// Chunks being read.
    reading: HashSet<i64>,
    /// Chunks that have to wait for others, see the module.
    waits: HashMap<i64, HashSet<i64>>,
    /// Refused rows, each with the time at which it is read again.
    refused: Vec<(Instant, PlannedChunk)>,
    /// Chunks not committed yet, by id.
    open: HashMap<i64, Open>,
    /// Segments with keys that were committed, as the follower counts them.
    key_segments: u64,
    marked_end: Option<u64>,
    next_read: Instant,
}

/// A chunk on its way.
#[derive(Clone, Copy)]
struct Open {
    table: usize,
    /// A range of the backfill, rather than keys.
    range: bool,
    /// Rows that it was planned for; halved by each split.
    rows: u64,
    /// It is a single row as far as can be told: it passes whatever its size.
    unlimited: bool,
    /// It is a whole table whose rows have no key.
    copy: bool,
}

impl Table {
    /// About how many chunks there will be.
    fn expected(&self, options: &Options) -> u64 {
        if self.fully_planned {
            return self.chunks;
        }
        self.chunks.max(self.rows.div_ceil(self.chunk_rows.unwrap_or(options.chunk_rows).max(1)))
    }
}

impl State {
    fn new(tables: &[PlannedTable], ledger: &LedgerState, backfill: bool) -> Self {
        let table = |planned: &PlannedTable| {
            let known = ledger.tables.iter().find(|table| table.table == planned.table);
            Table {
                planned: planned.clone(),
                planned_upto: known.and_then(|table| table.planned_upto.clone()),
                fully_planned: !backfill || known.is_some_and(|table| table.fully_planned),
                chunks: known.map_or(0, |table| table.chunks),
                done: known.map_or(0, |table| table.chunks_done),
                rows: 0,
                open: 0,
                chunk_rows: None,
            }
        };
        let mut state = Self {
            tables: tables.iter().map(table).collect(),
            queue: VecDeque::new(),
            traced: VecDeque::new(),
            reading: HashSet::new(),
            waits: HashMap::new(),
            refused: Vec::new(),
            open: HashMap::new(),
            key_segments: 0,
            marked_end: None,
            next_read: Instant::now(),
        };
        ledger.pending.iter().cloned().for_each(|chunk| state.enqueue(chunk, None));
        state
    }

    fn enqueue(&mut self, chunk: PlannedChunk, rows: Option<u64>) {
        let Some(table) = self.tables.iter().position(|t| t.planned.table == chunk.table) else {
            return;
        };
        let range = matches!(chunk.scope, ChunkScope::Range { .. });
        let copy = self.tables[table].planned.keyless.is_some();
        if range {
            self.tables[table].open += 1;
        }
        let rows = rows.unwrap_or(match &chunk.scope {
            ChunkScope::Keys(keys) => keys.len() as u64,
            ChunkScope::Traced(_) => 0,
            ChunkScope::Range { .. } => self.tables[table].chunk_rows.unwrap_or(1 << 16),
        });
        self.open.insert(chunk.id, Open { table, range, rows, unlimited: false, copy });
        if matches!(chunk.scope, ChunkScope::Traced(_)) {
            self.waits.insert(chunk.id, self.reading.clone());
            self.traced.push_back(chunk);
        } else {
            self.queue.push_back(chunk);
        }
    }

    fn ranges_queued(&self) -> usize {
        let range = |chunk: &&PlannedChunk| {
            matches!(chunk.scope, ChunkScope::Range { .. }) && !self.is_copy(chunk.id)
        };
        self.queue.iter().filter(range).count()
    }

    fn is_copy(&self, chunk: i64) -> bool {
        self.open.get(&chunk).is_some_and(|open| open.copy)
    }

    /// The next chunk that need not wait for others.
    fn next_chunk(&mut self, readers: usize) -> Option<PlannedChunk> {
        let reading = &self.reading;
        self.waits.retain(|_, others| {
            others.retain(|other| reading.contains(other));
            !others.is_empty()
        });
        // Copies take long: one reader is left for keys, if there are several.
        let copies = self.reading.iter().filter(|&&chunk| self.is_copy(chunk)).count();
        let copies = copies < readers.saturating_sub(1).max(1);
        let may = |chunk: &PlannedChunk| {
            !self.waits.contains_key(&chunk.id) && (copies || !self.is_copy(chunk.id))
        };
        let at = self.queue.iter().position(may)?;
        self.queue.remove(at)
    }

    /// Refused rows whose time has come are read again.
    fn take_up_refused(&mut self) {
        let now = Instant::now();
        let (due, rest) = self.refused.drain(..).partition(|(until, _)| *until <= now);
        self.refused = rest;
        let due: Vec<_> = due;
        self.queue.extend(due.into_iter().map(|(_, chunk)| chunk));
    }

    fn copied(&self) -> bool {
        self.open.is_empty() && self.tables.iter().all(|table| table.fully_planned)
    }
}

type Read<R> = (R, i64, Result<ReadEnd>);

/// How the reading of a chunk ended.
enum ReadEnd {
    /// It joined the stream, or the attempt is over; so many source rows were read.
    Read(u64),
    /// It has to be split.
    TooLarge(PlannedChunk),
}

impl<R: ChunkReader + 'static, L: Ledger> Backfill<R, L> {
    /// What the ledger has of it. The follower has to know that, too, before its first change: which tables
    /// are complete, so that a row of theirs that is missing is an error.
    pub(crate) fn begin(&self, tables: &[PlannedTable], ledger: &LedgerState) -> State {
        let state = State::new(tables, ledger, self.options.backfill);
        self.publish(&state);
        state
    }

    /// Runs until cancelled.
    pub(crate) async fn run(mut self, mut state: State) -> Result<()> {
        let mut reading: JoinSet<Read<R>> = JoinSet::new();
        let mut tick = tokio::time::interval(TICK);
        let mut ticks = 0;
        if state.tables.iter().any(|table| !table.fully_planned) {
            let names: Vec<_> = state.tables.iter().map(|t| t.planned.table.clone()).collect();
            let rows = self.planner.rows(&names).await?;
            state.tables.iter_mut().zip(rows).for_each(|(table, rows)| table.rows = rows);
        }
        self.narrow(&mut state).await?;
        self.publish(&state);
        loop {
            state.take_up_refused();
            self.plan(&mut state).await?;
            self.trace(&mut state).await?;
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
                    let source = self.planner.state().await?;
                    self.progress.measured(source.end);
                    self.progress.set_awaited(source.synchronous);
                    record::wal_held(source.held_bytes);
                    self.phase(&state).await?;
                    if ticks % BEAT_TICKS == 0 && self.ledger.beat().await? {
                        self.resumed.notify_one();
                    }
                    self.keys_to_read(&mut state).await?;
                    self.readers.iter_mut().for_each(ChunkReader::rest);
                    ticks += 1;
                    if ticks % SNAPSHOT_TICKS == 0 {
                        // When the follower is busy, the next one will do.
                        drop(self.follower.try_send(ChunkMessage::Snapshot(source.snapshot)));
                    }
                }
            }
        }
    }

    /// Halves chunks that were refused; those that cannot be halved wait.
    async fn narrow(&mut self, state: &mut State) -> Result<()> {
        self.refusals.retain(|chunk| state.open.contains_key(&chunk));
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
            self.progress.set_refusing(true);
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
                let chunk = self.ledger.plan(name, &scope).await?;
                table.fully_planned = true;
                table.chunks += 1;
                state.enqueue(chunk, None);
                self.publish(state);
                continue;
            }
            let rows = match table.chunk_rows {
                Some(rows) => rows,
                None => self.planner.rows_in(name, self.options.chunk_bytes).await?,
            };
            let rows = rows.min(self.options.chunk_rows);
            table.chunk_rows = Some(rows);
            let upto = self.planner.boundary(name, after.as_deref(), None, rows).await?;
            let scope = ChunkScope::Range { after, upto: upto.clone() };
            let chunk = self.ledger.plan(name, &scope).await?;
            fail_point!("chunk.planned");
            table.fully_planned = upto.is_none();
            table.planned_upto = upto;
            table.chunks += 1;
            state.enqueue(chunk, Some(rows));
            self.publish(state);
        }
        Ok(())
    }

    /// Turns changes of other tables into keys.
    async fn trace(&mut self, state: &mut State) -> Result<()> {
        while let Some(chunk) = state.traced.pop_front() {
            let ChunkScope::Traced(traced) = &chunk.scope else { continue };
            let keys = self.planner.traced(&chunk.table, traced).await?;
            let size = usize::try_from(self.options.chunk_rows).unwrap_or(usize::MAX).max(1);
            let scopes = keys.chunks(size).map(|keys| ChunkScope::Keys(keys.to_vec())).collect();
            let chunks = self.ledger.split(&chunk, scopes).await?;
            fail_point!("trace.split");
            state.open.remove(&chunk.id);
            let others = state.waits.remove(&chunk.id).unwrap_or_default();
            for chunk in chunks {
                state.waits.insert(chunk.id, others.clone());
                state.enqueue(chunk, None);
            }
            self.publish(state);
        }
        Ok(())
    }

    fn start_reads(&mut self, state: &mut State, reading: &mut JoinSet<Read<R>>) {
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
                    let middle = self.planner.boundary(&chunk.table, from, to, rows).await?;
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
        let halves = self.ledger.split(chunk, scopes).await?;
        fail_point!("chunk.split");
        if let Some(open) = state.open.remove(&chunk.id).filter(|open| open.range) {
            state.tables[open.table].open -= 1;
            state.tables[open.table].chunks += 1;
        }
        halves.into_iter().for_each(|half| state.enqueue(half, Some(rows)));
        self.publish(state);
        Ok(())
    }

    async fn committed(&mut self, state: &mut State, committed: &Committed) -> Result<()> {
        match committed {
            Committed::Chunk(done) => {
                self.refusals.retain(|chunk| chunk != done.id);
                self.progress.set_refusing(!self.refusals.is_empty());
                if let Some(open) = state.open.remove(&done.id).filter(|open| open.range) {
                    state.tables[open.table].open -= 1;
                    state.tables[open.table].done += 1;
                }
                self.publish(state);
            }
            Committed::KeysToRead => {
                state.key_segments += 1;
                self.keys_to_read(state).await?;
            }
        }
        Ok(())
    }

    /// Takes up keys that commits recorded, and those that a repair asks for.
    async fn keys_to_read(&mut self, state: &mut State) -> Result<()> {
        let known: Vec<_> = state.open.keys().copied().collect();
        for chunk in self.ledger.keys_to_read(&known).await? {
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
        self.planner.mark(&self.watermarks.write(end)).await?;
        Ok(())
    }

    fn publish(&self, state: &State) {
        for (at, table) in state.tables.iter().enumerate() {
            let expected = table.expected(&self.options);
            self.progress.set_chunks(at, table.done, table.chunks, expected);
            self.progress.set_complete(at, table.fully_planned && table.open == 0);
        }
        let keys = state.open.values().filter(|open| !open.range).count();
        self.progress.set_keys_to_read(keys as u64);
    }

    async fn phase(&mut self, state: &State) -> Result<()> {
        if self.progress.take_recovered() {
            self.ledger.last_error(None).await?;
        }
        if self.progress.is_held() {
            return Ok(());
        }
        let follows = matches!(self.progress.lag(), Some((lag, true)) if lag <= STREAMING_LAG);
        let phase = if state.tables.iter().any(|table| !table.fully_planned || table.open > 0) {
            Phase::Backfill
        } else if follows {
            Phase::Streaming
        } else {
            Phase::CatchingUp
        };
        if self.progress.set_phase(phase) {
            self.ledger.phase(phase).await?;
        }
        Ok(())
    }
}

/// Reads one chunk until it has joined the stream.
struct ReadChunk {
    follower: mpsc::Sender<ChunkMessage>,
    watermarks: Watermarks,
    table: usize,
    bytes_max: usize,
    /// Source rows read, over all attempts.
    rows: u64,
}

impl ReadChunk {
    async fn run<R: ChunkReader>(mut self, mut reader: R, chunk: PlannedChunk) -> Read<R> {
        let (id, mut stale) = (chunk.id, Stale::default());
        let read = loop {
            match self.once(&mut reader, &chunk).await {
                Ok(Some(Joined::Stale)) => {}
                // The follower is gone: the attempt is over, and its error is elsewhere.
                Ok(Some(Joined::Joined) | None) => break Ok(ReadEnd::Read(self.rows)),
                Err(error) if error.code() == Code::ChunkTooLarge => {
                    break Ok(ReadEnd::TooLarge(chunk));
                }
                Err(error) => break Err(error.in_chunk(id)),
            }
            stale.wait(&chunk).await;
        };
        // Others may wait until it is through.
        reader.rest();
        (reader, id, read)
    }

    /// `None` when the follower is gone.
    async fn once<R: ChunkReader>(
        &mut self,
        reader: &mut R,
        chunk: &PlannedChunk,
    ) -> Result<Option<Joined>> {
        let token = self.watermarks.token();
        let (opened, is_open) = oneshot::channel();
        let open = ChunkMessage::Open { token, table: self.table, opened };
        if self.follower.send(open).await.is_err() || is_open.await.is_err() {
            return Ok(None);
        }
        fail_point!("chunk.opened");
        let data = match reader.read(&chunk.table, &chunk.scope, self.bytes_max).await {
            Ok(data) => data,
            Err(error) => {
                drop(self.follower.send(ChunkMessage::Cancel { token }).await);
                return Err(error);
            }
        };
        self.rows += data.statements.iter().map(source_rows).max().unwrap_or(0);
        fail_point!("chunk.read");
        let (outcome, joined) = oneshot::channel();
        let message = ChunkMessage::Data { token, chunk: chunk.clone(), data, outcome };
        if self.follower.send(message).await.is_err() {
            return Ok(None);
        }
        fail_point!("chunk.handed");
        reader.mark(&self.watermarks.write(Mark::Window(token))).await?;
        fail_point!("chunk.marked");
        Ok(joined.await.ok())
    }
}

/// The waits of a chunk for transactions that its snapshot has to see.
pub(crate) struct Stale {
    wait: Duration,
    since: Instant,
    told: bool,
}

impl Default for Stale {
    fn default() -> Self {
        Self { wait: STALE_WAIT.0, since: Instant::now(), told: false }
    }
}

impl Stale {
    /// Waits until the chunk may be read again, longer each time, and says once why.
    pub(crate) async fn wait(&mut self, chunk: &PlannedChunk) {
        if self.since.elapsed() > STALE_NOTICE && !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                table = %chunk.table,
                "a chunk waits for transactions that are committed in the log and not yet \
                 visible, or that ran when the daemon started; see wait_event and xact_start in \
                 pg_stat_activity of the source"
            );
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(STALE_WAIT.1);
    }
}

/// Source rows that gave the rows of a statement: those of one stand together.
fn source_rows(read: &StatementRows) -> u64 {
    read.keys.chunk_by(|a, b| a == b).count() as u64
}
