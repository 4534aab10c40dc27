//! The follower: takes the stream's events in order, nets them, and closes batches.
//!
//! It is the only place that orders things: windows open, chunks join and batches close between two
//! events. The invariants:
//!
//! - A segment with a commit is sent only between two source transactions (a batch is whole).
//! - The commit's position is the end of the last source transaction in it, or a later position up
//!   to which the source had nothing (nothing is skipped).
//! - The source is told a position only after the sink reported it durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use regraft_core::chunk::{ChunkData, ChunkScope};
use regraft_core::contract::{ChangeStream, LedgerState, PlannedChunk, WATERMARK_PREFIX};
use regraft_core::segment::{ChunkDone, Commit, KeysToRead, TableWrites};
use regraft_core::{
    Change, Code, Error, Event, Key, Lsn, Oid, Position, Relation, Result, Segment, Snapshot,
    Transaction, Tuple,
};
use regraft_telemetry::metrics::ChangeOperation;
use regraft_telemetry::record;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::batch::{Batch, Netting};
use crate::plan::{Options, Plan};
use crate::progress::Progress;
use crate::traces::Traces;
use crate::windows::{Closed, Touched, Watched, Windows};

/// How often the position is recorded while the source has nothing for this pipeline.
/// A server that shuts down waits until its last position is acknowledged.
const IDLE_RECORD: Duration = Duration::from_secs(1);
/// Record it earlier when the source holds this much log for us.
const IDLE_RECORD_BYTES: u64 = 16 << 20;

/// From the backfill to the follower.
pub(crate) enum ChunkMessage {
    /// Open a window; answered when it is open.
    Open { token: u64, table: usize, opened: oneshot::Sender<()> },
    /// The chunk of an open window; its watermark is about to be put into the stream.
    Data { token: u64, chunk: PlannedChunk, data: ChunkData, outcome: oneshot::Sender<Joined> },
    /// The chunk of an open window will not come.
    Cancel { token: u64 },
    /// A snapshot of the source: the commits that it sees need not be remembered.
    Snapshot(Snapshot),
    /// Open a window for a verification, between two transactions; answered with the position up to
    /// which the changes came before it.
    Watch { token: u64, table: usize, opened: oneshot::Sender<Position> },
    /// Both sides were read, the source in this snapshot, and the watermark is about to be put into the
    /// stream. Answered with what the window saw up to it; `None` when the comparison proves nothing.
    Watched { token: u64, snapshot: Snapshot, outcome: oneshot::Sender<Option<Watched>> },
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Its rows are on the way to the sink.
    Joined,
    /// It has to be read again.
    Stale,
}

/// Why the follower ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// It was told to stop.
    Stopped,
    /// Everything up to the closing watermark is on the way to the sink.
    CaughtUp,
    /// The applier is gone; it has the error.
    ApplierGone,
}

/// Ends of the channels to the other tasks.
pub(crate) struct Ports {
    pub(crate) segments: mpsc::Sender<Segment>,
    pub(crate) durable: watch::Receiver<Option<Position>>,
    pub(crate) chunks: mpsc::Receiver<ChunkMessage>,
    pub(crate) cancel: CancellationToken,
}

/// See the module.
pub(crate) struct Follower<'a, S> {
    plan: &'a mut Plan,
    options: &'a Options,
    progress: Arc<Progress>,
    stream: S,
    ports: Ports,
    /// Content prefix of this attempt's own watermarks.
    watermark: String,
    windows: Windows,
    batch: Batch,
    tables: Vec<TableState>,
    by_oid: HashMap<Oid, usize>,
    traces: Traces,
    /// The source table to which each of them leads.
    traced: Vec<Option<usize>>,
    transaction: Option<Transaction>,
    /// Changes of the open transaction so far.
    inside_changes: u64,
    /// The open transaction was applied before.
    skipping: bool,
    pending: Pending,
    /// Chunks read, whose watermark has not been seen.
    waiting: HashMap<u64, (PlannedChunk, ChunkData, oneshot::Sender<Joined>)>,
    /// Windows that have to wait until their table is copied anew.
    deferred: Vec<(u64, usize, oneshot::Sender<()>)>,
    /// Windows of verifications that have to wait for the end of the transaction.
    watches: Vec<(u64, usize, oneshot::Sender<Position>)>,
    /// Verifications that were read, whose watermark has not been seen.
    watched: HashMap<u64, (Snapshot, oneshot::Sender<Option<Watched>>)>,
    /// Segments with keys to read that were sent.
    key_segments: u64,
    caught_up: bool,
}

#[derive(Default)]
struct TableState {
    relation: Option<Arc<Relation>>,
    key: Vec<usize>,
    anew_from: Option<Lsn>,
    /// Rows of it were, or are, to be read by key: until they are, they may be missing.
    reads_keys: bool,
    /// Changes since the last segment, by operation.
    changes: [u64; 4],
}

/// What the next commit covers.
struct Pending {
    position: Position,
    /// The position is beyond that of the last commit sent.
    moved: bool,
    commit_times: Vec<SystemTime>,
    changes: u64,
    since: Instant,
    /// Segments without a commit were sent: the target transaction is open.
    midway: bool,
    anew: Vec<usize>,
    recorded: Instant,
    recorded_at: Position,
}

impl<'a, S: ChangeStream> Follower<'a, S> {
    pub(crate) fn new(
        plan: &'a mut Plan,
        options: &'a Options,
        progress: Arc<Progress>,
        stream: S,
        ports: Ports,
        start: &Start<'_>,
    ) -> Self {
        let state = start.ledger;
        let tables = plan.tables.iter().map(|planned| {
            let known = state.tables.iter().find(|table| table.table == planned.table);
            let anew_from = known.and_then(|table| table.anew_from).map(Position::lsn);
            let reads_keys = state.pending.iter().any(|chunk| {
                chunk.table == planned.table && !matches!(chunk.scope, ChunkScope::Range { .. })
            });
            TableState { anew_from, reads_keys, ..TableState::default() }
        });
        let tables: Vec<_> = tables.collect();
        let by_oid = plan.tables.iter().enumerate().map(|(at, table)| (table.oid, at)).collect();
        let now = Instant::now();
        Self {
            traces: Traces::new(&plan.traces),
            traced: plan.traces.iter().map(|trace| plan.table(&trace.to)).collect(),
            batch: Batch::new(tables.len()),
            tables,
            plan,
            options,
            progress,
            stream,
            ports,
            watermark: start.watermark.to_owned(),
            windows: Windows::new(start.settle_below),
            by_oid,
            transaction: None,
            inside_changes: 0,
            skipping: false,
            pending: Pending {
                position: state.position,
                moved: false,
                commit_times: Vec::new(),
                changes: 0,
                since: now,
                midway: false,
                anew: Vec::new(),
                recorded: now,
                recorded_at: state.position,
            },
            waiting: HashMap::new(),
            deferred: Vec::new(),
            watches: Vec::new(),
            watched: HashMap::new(),
            key_segments: 0,
            caught_up: false,
        }
    }

    /// Follows the stream until cancelled, caught up (where asked for), or an error.
    pub(crate) async fn run(mut self) -> Result<(Followed, S)> {
        let ended = loop {
            // A batch may leave only between transactions, and only when nothing more is at hand.
            let may_close =
                self.pending.moved && self.transaction.is_none() && !self.stream.ready();
            let segments = self.ports.segments.clone();
            tokio::select! {
                biased;
                () = self.ports.cancel.cancelled() => break Followed::Stopped,
                Ok(()) = self.ports.durable.changed() => self.acknowledge(),
                Some(message) = self.ports.chunks.recv() => self.chunk_message(message),
                events = self.stream.next() => {
                    let events = events?;
                    if !self.events(events).await? {
                        break Followed::ApplierGone;
                    }
                    if self.caught_up {
                        break Followed::CaughtUp;
                    }
                }
                permit = segments.reserve(), if may_close => match permit {
                    Ok(permit) => {
                        let segment = self.closing_segment()?;
                        permit.send(segment);
                    }
                    Err(_) => break Followed::ApplierGone,
                },
                () = self.ports.segments.closed() => break Followed::ApplierGone,
            }
        };
        Ok((ended, self.stream))
    }

    /// False when the applier is gone.
    async fn events(&mut self, events: Vec<Event>) -> Result<bool> {
        for event in events {
            if !self.event(event).await? {
                return Ok(false);
            }
            if self.caught_up {
                break;
            }
        }
        self.progress.source_end(self.stream.source_end());
        Ok(true)
    }

    async fn event(&mut self, event: Event) -> Result<bool> {
        match event {
            Event::Begin(transaction) => {
                self.skipping = transaction.commit_lsn < self.pending.position.lsn();
                self.transaction = Some(transaction);
                self.inside_changes = 0;
                self.start_anew(transaction.commit_lsn)?;
                Ok(true)
            }
            Event::Change(change) if !self.skipping => self.change(&change).await,
            // A shape is told once, whether or not the changes after it are wanted.
            Event::Relation(relation) => self.relation(relation).await,
            Event::Change(_) | Event::Type { .. } => Ok(true),
            Event::Message { prefix, content, transactional } => {
                if transactional && prefix == WATERMARK_PREFIX {
                    return self.message(&content).await;
                }
                Ok(true)
            }
            Event::Commit { end_lsn } => self.commit(end_lsn).await,
            Event::Progress { lsn } => {
                self.idle(lsn)?;
                Ok(true)
            }
        }
    }

    async fn commit(&mut self, end_lsn: Lsn) -> Result<bool> {
        let Some(transaction) = self.transaction.take() else {
            return Err(Error::new(Code::Protocol, "a commit without a begin").at("source stream"));
        };
        if std::mem::take(&mut self.skipping) {
            self.watch();
            return Ok(true);
        }
        self.windows.commit(transaction.xid);
        let pending = &mut self.pending;
        if !pending.moved {
            pending.since = Instant::now();
        }
        pending.position = pending.position.max(Position::Lsn(end_lsn));
        pending.moved = true;
        pending.commit_times.push(transaction.commit_time);
        self.watch();
        let pending = &self.pending;
        let full = self.batch.rows() >= self.options.batch_rows
            || self.batch.bytes() >= self.options.batch_bytes
            || pending.since.elapsed() >= self.options.batch_age;
        if full { self.close().await } else { Ok(true) }
    }

    /// The source has nothing up to `lsn`: recorded now and then, so that it can forget its log.
    fn idle(&mut self, lsn: Lsn) -> Result<()> {
        let position = Position::Lsn(lsn);
        self.start_anew(lsn)?;
        if self.pending.moved || self.transaction.is_some() || position <= self.pending.position {
            return Ok(());
        }
        self.progress.idle_at(self.pending.position, position);
        let held = lsn.bytes_since(self.pending.recorded_at.lsn());
        if held >= IDLE_RECORD_BYTES || self.pending.recorded.elapsed() >= IDLE_RECORD {
            self.pending.position = position;
            self.pending.moved = true;
            self.pending.since = Instant::now();
        }
        Ok(())
    }

    /// Tables that are to be copied anew from a position that the stream has reached.
    fn start_anew(&mut self, lsn: Lsn) -> Result<()> {
        for table in 0..self.tables.len() {
            if self.tables[table].anew_from.is_some_and(|from| from <= lsn) {
                self.tables[table].anew_from = None;
                if let Some(relation) = self.tables[table].relation.take() {
                    self.adopt(table, relation)?;
                }
                self.batch.truncate(table);
                self.pending.anew.push(table);
                self.pending.moved = true;
            }
        }
        for (token, table, opened) in std::mem::take(&mut self.deferred) {
            self.open(token, table, opened);
        }
        Ok(())
    }

    fn acknowledge(&mut self) {
        if let Some(position) = *self.ports.durable.borrow_and_update() {
            self.stream.acknowledge(position);
        }
    }

    // ---- changes -------------------------------------------------------------------------------

    async fn change(&mut self, change: &Change) -> Result<bool> {
        let (windows, traced) = (&mut self.windows, &self.traced);
        self.traces.note(change, |trace, value| {
            if let Some(table) = traced[trace] {
                windows.trace(table, trace, value);
            }
        });
        match change {
            Change::Insert { relation, new } => {
                let Some(table) = self.mapped(relation) else { return Ok(true) };
                self.count(table, ChangeOperation::Insert);
                let key = self.key(table, new)?;
                self.touch(table, &key, false);
                self.batch.insert(table, key, new);
            }
            Change::Update { relation, old, new } => {
                let Some(table) = self.mapped(relation) else { return Ok(true) };
                self.count(table, ChangeOperation::Update);
                let new_key = self.key(table, new)?;
                let old_key = old.as_ref().map(|old| self.key(table, old.tuple())).transpose()?;
                let incomplete = new.has_unchanged();
                self.touch(table, &new_key, incomplete);
                match old_key {
                    Some(old_key) if old_key != new_key => {
                        self.touch(table, &old_key, false);
                        if incomplete {
                            self.windows.arrive(table, &new_key);
                        }
                        let alone =
                            incomplete && self.batch.rekey_is_incomplete(table, &old_key, new);
                        if alone && !self.flush().await? {
                            return Ok(false);
                        }
                        let netting = self.batch.rekey(table, old_key, new_key, old.as_ref(), new);
                        if netting == Netting::DrainNow {
                            return self.flush().await;
                        }
                    }
                    _ => self.batch.update(table, new_key, old.as_ref(), new),
                }
            }
            Change::Delete { relation, old } => {
                let Some(table) = self.mapped(relation) else { return Ok(true) };
                self.count(table, ChangeOperation::Delete);
                let key = self.key(table, old.tuple())?;
                self.touch(table, &key, false);
                self.batch.delete(table, key, old);
            }
            Change::Truncate { relations } => {
                for relation in relations {
                    if let Some(table) = self.mapped(relation) {
                        self.count(table, ChangeOperation::Truncate);
                        self.windows.truncate(table);
                        self.batch.truncate(table);
                    }
                }
            }
        }
        // A transaction of any size passes through a fixed budget: what is netted so far goes into
        // the open target transaction. One that is nearly through is given some more, as a batch that
        // is sent whole can be written beside others.
        let Options { batch_rows, batch_bytes, .. } = *self.options;
        let full = self.batch.rows() + self.traces.values() >= batch_rows + batch_rows / 2
            || self.batch.bytes() >= batch_bytes + batch_bytes / 2;
        if full { self.flush().await } else { Ok(true) }
    }

    fn touch(&mut self, table: usize, key: &Key, incomplete: bool) {
        self.windows.touch(table, key, incomplete);
        self.progress.changed(table, key);
    }

    fn count(&mut self, table: usize, operation: ChangeOperation) {
        self.inside_changes += 1;
        self.pending.changes += 1;
        self.tables[table].changes[operation as usize] += 1;
    }

    /// The planned table of a relation; `None` for tables outside the mapping, and while a table
    /// waits to be copied anew.
    fn mapped(&self, relation: &Relation) -> Option<usize> {
        let table = *self.by_oid.get(&relation.oid)?;
        self.tables[table].anew_from.is_none().then_some(table)
    }

    fn key(&self, table: usize, tuple: &Tuple) -> Result<Key> {
        Key::of(tuple, &self.tables[table].key).ok_or_else(|| {
            let planned = &self.plan.tables[table];
            let what = format!("a change carries no key ({})", planned.key.join(", "));
            Error::new(Code::SourceKeyMissing, what).at(planned.table.to_string()).remedy(format!(
                "give the table a primary key, or ALTER TABLE {} REPLICA IDENTITY FULL",
                planned.table.quoted()
            ))
        })
    }

    /// A table's shape from here on. What is netted so far was of the old shape.
    async fn relation(&mut self, relation: Arc<Relation>) -> Result<bool> {
        self.traces.bind(&relation)?;
        // A table that was renamed is still the same table.
        let named = self.plan.table(&relation.table);
        let Some(table) = self.by_oid.get(&relation.oid).copied().or(named) else {
            return Ok(true);
        };
        if self.by_oid.iter().any(|(&oid, &known)| known == table && oid != relation.oid) {
            let what = "another table has taken the name, or the table was made anew";
            let remedy =
                format!("`regraft run --recopy {}` copies what is there now", relation.table);
            let place = format!("{}{}", relation.table, self.place());
            return Err(Error::new(Code::ShapeChanged, what).at(place).remedy(remedy));
        }
        self.by_oid.insert(relation.oid, table);
        if self.tables[table].relation.as_deref() == Some(&relation) {
            return Ok(true);
        }
        if self.tables[table].anew_from.is_some() {
            // The mapping need not fit what is ignored; the last shape is adopted at the end of it.
            self.tables[table].relation = Some(relation);
            return Ok(true);
        }
        // What came before is applied whatever comes of the new shape: as a whole, where the shape
        // stands at the start of a transaction, which it does unless the transaction itself altered it.
        let sent = if self.inside_changes == 0 && self.pending.moved {
            self.close().await?
        } else {
            self.flush().await?
        };
        if sent {
            self.adopt(table, relation)?;
        }
        Ok(sent)
    }

    /// Binds the mappers of a table to its shape.
    fn adopt(&mut self, table: usize, relation: Arc<Relation>) -> Result<()> {
        let planned = &self.plan.tables[table];
        let key = planned.key.iter().map(|name| relation.column(name)).collect::<Option<Vec<_>>>();
        let at = self.place();
        let Some(key) = key else {
            let what = format!("the key ({}) lost a column", planned.key.join(", "));
            return Err(Error::new(Code::ShapeChanged, what).at(format!("{}{at}", relation.table)));
        };
        for &statement in &planned.statements {
            self.plan.mappers[statement].bind(&relation).map_err(|error| {
                let place = error.place().unwrap_or(&self.plan.routes[statement].place);
                let place = format!("{place}{at}");
                error.at(place)
            })?;
        }
        self.tables[table].key = key;
        self.tables[table].relation = Some(relation);
        Ok(())
    }

    fn place(&self) -> String {
        match self.transaction {
            Some(transaction) => {
                format!(", in the transaction committed at {}", transaction.commit_lsn)
            }
            None => String::new(),
        }
    }

    // ---- segments ------------------------------------------------------------------------------

    fn drain(&mut self) -> Result<Segment> {
        let complete = self.progress.complete().into_iter().zip(&self.tables);
        let complete: Vec<_> =
            complete.map(|(copied, table)| copied && !table.reads_keys).collect();
        let mut segment = self.batch.drain(self.plan, &complete)?;
        segment.to_read.extend(self.traces.drain());
        for to_read in &segment.to_read {
            if let Some(table) = self.plan.table(&to_read.table) {
                self.tables[table].reads_keys = true;
            }
        }
        segment.anew = std::mem::take(&mut self.pending.anew)
            .into_iter()
            .map(|table| self.plan.tables[table].table.clone())
            .collect();
        self.key_segments += u64::from(!segment.to_read.is_empty());
        for (state, planned) in self.tables.iter_mut().zip(&self.plan.tables) {
            for operation in ChangeOperation::ALL {
                let count = std::mem::take(&mut state.changes[operation as usize]);
                if count > 0 {
                    record::changes(&planned.table, operation, count);
                }
            }
        }
        Ok(segment)
    }

    /// The segment that ends the open target transaction.
    fn closing_segment(&mut self) -> Result<Segment> {
        let mut segment = self.drain()?;
        let pending = &mut self.pending;
        segment.commit = Some(Commit {
            position: pending.position,
            commit_times: std::mem::take(&mut pending.commit_times),
            changes: std::mem::take(&mut pending.changes),
        });
        pending.moved = false;
        pending.midway = false;
        pending.recorded = Instant::now();
        pending.recorded_at = pending.position;
        Ok(segment)
    }

    async fn close(&mut self) -> Result<bool> {
        let segment = self.closing_segment()?;
        Ok(self.send(segment).await)
    }

    /// Sends what is netted so far into the open target transaction.
    async fn flush(&mut self) -> Result<bool> {
        if self.batch.is_empty() && self.traces.values() == 0 {
            return Ok(true);
        }
        let segment = self.drain()?;
        self.pending.midway = true;
        Ok(self.send(segment).await)
    }

    /// Waits for the applier, acknowledging meanwhile. False when it is gone, or we are told to stop.
    async fn send(&mut self, segment: Segment) -> bool {
        let segments = self.ports.segments.clone();
        loop {
            tokio::select! {
                biased;
                () = self.ports.cancel.cancelled() => return false,
                Ok(()) = self.ports.durable.changed() => self.acknowledge(),
                permit = segments.reserve() => {
                    return permit.map(|permit| permit.send(segment)).is_ok();
                }
            }
        }
    }

    // ---- chunks --------------------------------------------------------------------------------

    fn chunk_message(&mut self, message: ChunkMessage) {
        match message {
            ChunkMessage::Open { token, table, opened } => self.open(token, table, opened),
            ChunkMessage::Data { token, chunk, data, outcome } => {
                self.waiting.insert(token, (chunk, data, outcome));
            }
            ChunkMessage::Cancel { token } => {
                self.windows.cancel(token);
                self.waiting.remove(&token);
                self.watched.remove(&token);
            }
            ChunkMessage::Snapshot(snapshot) => self.windows.seen_by(&snapshot),
            ChunkMessage::Watch { token, table, opened } => {
                self.watches.push((token, table, opened));
                if self.transaction.is_none() {
                    self.watch();
                }
            }
            ChunkMessage::Watched { token, snapshot, outcome } => {
                self.watched.insert(token, (snapshot, outcome));
            }
        }
    }

    /// Opens the windows of verifications, between two transactions.
    fn watch(&mut self) {
        for (token, table, opened) in std::mem::take(&mut self.watches) {
            if self.tables[table].anew_from.is_some() {
                self.watches.push((token, table, opened));
                continue;
            }
            self.windows.open(token, table, None);
            if opened.send(self.pending.position).is_err() {
                self.windows.cancel(token);
            }
        }
    }

    fn open(&mut self, token: u64, table: usize, opened: oneshot::Sender<()>) {
        if self.tables[table].anew_from.is_some() {
            self.deferred.push((token, table, opened));
            return;
        }
        let inside = self.transaction.filter(|_| !self.skipping).map(|t| t.xid);
        self.windows.open(token, table, inside);
        if opened.send(()).is_err() {
            self.windows.cancel(token);
        }
    }

    async fn message(&mut self, content: &[u8]) -> Result<bool> {
        let text = std::str::from_utf8(content).unwrap_or_default();
        let Some(own) = text.strip_prefix(self.watermark.as_str()) else { return Ok(true) };
        if let Some(key_segments) = own.strip_prefix("end:") {
            // What is pending may hold rows that have to be read: they count, too.
            if self.pending.moved && !self.close().await? {
                return Ok(false);
            }
            self.caught_up = key_segments.parse() == Ok(self.key_segments);
            return Ok(true);
        }
        match own.parse() {
            Ok(token) => self.join(token).await,
            Err(_) => Ok(true),
        }
    }

    /// A chunk joins the stream here.
    async fn join(&mut self, token: u64) -> Result<bool> {
        while !self.waiting.contains_key(&token) && !self.watched.contains_key(&token) {
            // The reader hands the data over before it writes the watermark.
            let Ok(message) = self.ports.chunks.try_recv() else { return Ok(true) };
            self.chunk_message(message);
        }
        if let Some((snapshot, outcome)) = self.watched.remove(&token) {
            outcome.send(self.windows.watched(token, &snapshot)).ok();
            return Ok(true);
        }
        let Some((chunk, data, outcome)) = self.waiting.remove(&token) else { return Ok(true) };
        let touched = match self.windows.close(token, &data.snapshot) {
            Some(Closed::Join(touched)) => touched,
            Some(Closed::Stale) | None => {
                record::chunk_reread();
                outcome.send(Joined::Stale).ok();
                return Ok(true);
            }
        };
        // The watermark stands in a transaction of its own: we are between two of the user's.
        if self.pending.moved && !self.close().await? {
            return Ok(false);
        }
        let mut segment = self.chunk_segment(&chunk, &data, &touched);
        self.key_segments += u64::from(!segment.to_read.is_empty());
        segment.commit =
            Some(Commit { position: self.pending.position, commit_times: Vec::new(), changes: 0 });
        let sent = self.send(segment).await;
        outcome.send(Joined::Joined).ok();
        Ok(sent)
    }

    /// The writes of a chunk, without the rows that the stream carries.
    fn chunk_segment(&self, chunk: &PlannedChunk, data: &ChunkData, touched: &Touched) -> Segment {
        let mut segment = Segment::default();
        let mut to_read: Vec<Key> = Vec::new();
        let Some(table) = self.plan.table(&chunk.table) else { return segment };
        let mut rows = 0;
        for (&statement, read) in self.plan.tables[table].statements.iter().zip(&data.statements) {
            let mut writes = TableWrites { statement, ..TableWrites::default() };
            if let ChunkScope::Keys(keys) = &chunk.scope {
                let settled = keys.iter().filter(|key| !touched.covers(key));
                settled.for_each(|key| writes.replaced.push(key.row()));
            }
            for (key, row) in read.keys.iter().zip(read.rows.iter()) {
                if !touched.covers(key) {
                    writes.upserts.push(row);
                } else if touched.incomplete.contains(key) && to_read.last() != Some(key) {
                    to_read.push(key.clone());
                }
            }
            rows += writes.upserts.len() as u64;
            if !writes.upserts.is_empty() || !writes.replaced.is_empty() {
                segment.writes.push(writes);
            }
        }
        if let ChunkScope::Keys(keys) = &chunk.scope {
            to_read.extend(keys.iter().filter(|key| touched.incomplete.contains(*key)).cloned());
        }
        to_read.extend(touched.arrived.intersection(&touched.incomplete).cloned());
        to_read.sort_unstable();
        to_read.dedup();
        if !to_read.is_empty() {
            let scope = ChunkScope::Keys(to_read);
            segment.to_read.push(KeysToRead { table: chunk.table.clone(), scope });
        }
        segment.chunks_done.push(ChunkDone { id: chunk.id, rows });
        segment
    }
}

/// What an attempt starts from.
pub(crate) struct Start<'a> {
    pub(crate) ledger: &'a LedgerState,
    pub(crate) watermark: &'a str,
    /// Every transaction that was assigned an id before this daemon opened the stream is below.
    pub(crate) settle_below: u64,
}
