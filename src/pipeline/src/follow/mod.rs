//! The follower: takes the stream's events in order, folds them, and closes batches.
//!
//! It is the only place that orders things: windows open, chunks join and batches close between two
//! events. The invariants:
//!
//! - A segment with a commit is sent only between two source transactions (a batch is whole).
//! - The commit's position is the end of the last source transaction in it, or a later position up
//!   to which the source had nothing (nothing is skipped).
//! - The source is told a position only after the sink reported it durable.

mod changes;
mod chunks;
mod keyless;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use regraft_core::chunk::{ChunkData, ChunkScope};
use regraft_core::contract::{ChangeStream, LedgerState, PlannedChunk, WATERMARK_PREFIX};
use regraft_core::segment::{ChunkDone, Commit};
use regraft_core::{
    Code, Error, Event, Gives, Oid, Position, Relation, Result, Segment, Snapshot, Token,
    Transaction, Watermarks, fail_point,
};
use regraft_telemetry::metrics::ChangeOperation;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub(crate) use self::chunks::{ChunkMessage, Joined};
pub(crate) use self::keyless::CopyMessage;
use self::keyless::Copying;
use crate::between::{Changes, Copied};
use crate::fold::Fold;
use crate::lag::Reached;
use crate::plan::{Options, Plan};
use crate::progress::Reporter;
use crate::traces::Traces;
use crate::windows::{Watched, Windows};

/// How often the position is recorded while the source has nothing for this pipeline.
/// A server that shuts down waits until its last position is acknowledged.
const IDLE_RECORD: Duration = Duration::from_secs(1);
/// Record it earlier when the source holds this much log for us.
const IDLE_RECORD_BYTES: u64 = 16 << 20;

/// More source transactions in one batch are not timed.
const COMMIT_TIMES_MAX: usize = 1 << 20;

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

/// A segment on its way to the sink; with wide rows, it keeps others with such rows from being made.
pub(crate) type OnItsWay = (Segment, Option<OwnedSemaphorePermit>);

/// Ends of the channels to the other tasks.
pub(crate) struct Ports {
    pub(crate) segments: mpsc::Sender<OnItsWay>,
    pub(crate) durable: watch::Receiver<Option<Position>>,
    pub(crate) chunks: mpsc::Receiver<ChunkMessage>,
    /// How far the target is, with what is idle beyond.
    pub(crate) reached: watch::Sender<Option<Reached>>,
    /// Of each source table by its index.
    pub(crate) copied: watch::Receiver<Vec<Copied>>,
    /// Commits of the source wait until what they wrote is durable in the target.
    pub(crate) awaited: watch::Receiver<bool>,
    pub(crate) changes: Arc<Changes>,
    /// Told when the stream has told the shape of a table.
    pub(crate) reshaped: Arc<Notify>,
    /// The end of the source's log, of a source that cannot be asked for it.
    pub(crate) heard: Option<watch::Sender<Option<Position>>>,
    pub(crate) cancel: CancellationToken,
}

/// See the module.
pub(crate) struct Follower<'a, S, F> {
    plan: &'a mut Plan,
    options: &'a Options,
    reporter: Reporter,
    stream: S,
    ports: Ports,
    /// Content prefix of this attempt's own watermarks.
    watermarks: Watermarks,
    windows: Windows,
    batch: F,
    /// One segment with wide rows is under way.
    wide: Arc<Semaphore>,
    /// It is to be the next one.
    wide_is_next: Option<OwnedSemaphorePermit>,
    tables: Vec<TableState>,
    by_oid: HashMap<Oid, usize>,
    /// Some table is [`TableState::unbound`].
    some_unbound: bool,
    traces: Traces,
    /// The source table to which each of them leads.
    traced: Vec<Option<usize>>,
    transaction: Option<Transaction>,
    /// Changes of the open transaction so far.
    inside_changes: u64,
    /// The open transaction was applied before.
    skipping: bool,
    pending: Pending,
    /// The first batch goes on until the stream reaches the start of this attempt: what held the one
    /// before may be mended by then, in a later transaction.
    whole: bool,
    /// What comes was written after this attempt began.
    reached_start: bool,
    gives: Gives,
    /// Chunks read, whose watermark has not been seen.
    waiting: HashMap<Token, (PlannedChunk, ChunkData, oneshot::Sender<Joined>)>,
    /// Copies that were read, whose watermark has not been seen: table, and what to tell of them.
    copied: HashMap<Token, (usize, ChunkDone, oneshot::Sender<Joined>)>,
    /// Readers of copies whose rows are in the batch.
    taken: Vec<oneshot::Sender<()>>,
    /// Windows that have to wait until their table is copied anew.
    deferred: Vec<(Token, usize, oneshot::Sender<()>)>,
    /// Windows of verifications that have to wait for the end of the transaction.
    watches: Vec<(Token, usize, oneshot::Sender<Position>)>,
    /// Verifications that were read, whose watermark has not been seen.
    watched: HashMap<Token, (Snapshot, oneshot::Sender<Option<Watched>>)>,
    /// Segments with keys to read that were sent.
    key_segments: u64,
    caught_up: bool,
}

#[derive(Default)]
struct TableState {
    relation: Option<Arc<Relation>>,
    /// The mappers are not bound to the relation: the stream may tell another one before they need it.
    unbound: bool,
    key: Vec<usize>,
    /// It begins anew here: changes before are ignored. With its rows cleared, unless they are kept.
    anew_from: Option<Position>,
    keeps_rows: bool,
    /// Its rows have no key, and are not copied yet.
    copying: Option<Copying>,
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
    last: Option<Transaction>,
    commit_times: Vec<SystemTime>,
    changes: u64,
    since: Instant,
    /// Segments without a commit were sent: the target transaction is open.
    midway: bool,
    anew: Vec<usize>,
    chunks_done: Vec<ChunkDone>,
    recorded: Instant,
    recorded_at: Position,
    /// The source had nothing up to here, which is not recorded yet.
    idle: Option<Position>,
}

impl<'a, S: ChangeStream, F: Fold> Follower<'a, S, F> {
    pub(crate) fn new(
        plan: &'a mut Plan,
        options: &'a Options,
        reporter: Reporter,
        stream: S,
        ports: Ports,
        start: &Start<'_>,
        batch: F,
    ) -> Self {
        let state = start.ledger;
        let tables = plan.tables.iter().map(|planned| {
            let known = state.tables.iter().find(|table| table.table == planned.table);
            let anew_from = known.and_then(|table| table.anew_from.clone());
            let reads_keys = state.pending.iter().any(|chunk| {
                chunk.table == planned.table && !matches!(chunk.scope, ChunkScope::Range { .. })
            });
            let planned_before = known.is_some_and(|table| table.fully_planned);
            let begun = state.pending.iter().any(|chunk| chunk.table == planned.table);
            let copies = start.gives.reads && options.backfill;
            let copied = planned.keyless.is_some() && (begun || copies && !planned_before);
            let copying = copied.then(Copying::default);
            let keeps_rows = known.is_some_and(|table| table.keeps_rows);
            TableState { anew_from, keeps_rows, reads_keys, copying, ..TableState::default() }
        });
        let tables: Vec<_> = tables.collect();
        let by_oid = plan.tables.iter().enumerate().map(|(at, table)| (table.oid, at)).collect();
        let now = Instant::now();
        let mut follower = Self {
            traces: Traces::new(&plan.traces),
            traced: plan.traces.iter().map(|trace| plan.table(&trace.to)).collect(),
            batch,
            wide: Arc::new(Semaphore::new(1)),
            wide_is_next: None,
            tables,
            plan,
            options,
            reporter,
            stream,
            ports,
            watermarks: start.watermarks.clone(),
            windows: Windows::new(start.settle_below),
            // Without a reader nothing marks it.
            reached_start: !start.gives.reads,
            gives: start.gives,
            by_oid,
            some_unbound: false,
            transaction: None,
            inside_changes: 0,
            skipping: false,
            whole: start.whole && start.gives.reads,
            pending: Pending {
                position: state.past.position.clone(),
                moved: false,
                last: None,
                commit_times: Vec::new(),
                changes: 0,
                since: now,
                midway: false,
                anew: Vec::new(),
                chunks_done: Vec::new(),
                recorded: now,
                recorded_at: state.past.position.clone(),
                idle: None,
            },
            waiting: HashMap::new(),
            copied: HashMap::new(),
            taken: Vec::new(),
            deferred: Vec::new(),
            watches: Vec::new(),
            watched: HashMap::new(),
            key_segments: 0,
            caught_up: false,
        };
        follower.mending(&state.mending);
        follower
    }

    /// Follows the stream until cancelled, caught up (where asked for), or an error.
    pub(crate) async fn run(mut self) -> Result<(Followed, S)> {
        let ended = loop {
            // A batch may leave only between transactions, and only when nothing more is at hand.
            let stalled = self.is_stalled();
            let may_close = self.pending.moved
                && self.transaction.is_none()
                && (stalled || !self.stream.ready())
                && !self.whole;
            if self.has_all_that_is_told() {
                break Followed::CaughtUp;
            }
            let idles =
                self.pending.idle.is_some() && !self.pending.moved && self.transaction.is_none();
            let segments = self.ports.segments.clone();
            tokio::select! {
                biased;
                () = self.ports.cancel.cancelled() => break Followed::Stopped,
                Ok(()) = self.ports.durable.changed() => self.acknowledge(),
                Some(message) = self.ports.chunks.recv() => {
                    self.chunk_message(message);
                    if !self.make_room().await? {
                        break Followed::ApplierGone;
                    }
                }
                events = self.stream.next(), if !stalled => {
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
                        permit.send((segment, self.wide_is_next.take()));
                    }
                    Err(_) => break Followed::ApplierGone,
                },
                () = self.ports.segments.closed() => break Followed::ApplierGone,
                // A source may say it once, and be silent.
                () = sleep_until(self.pending.recorded + IDLE_RECORD), if idles => {
                    if let Some(position) = self.pending.idle.take() {
                        self.idle(position)?;
                    }
                }
            }
        };
        Ok((ended, self.stream))
    }

    /// What a source that cannot be asked has told of is on the way to the sink, and that is the end of the run.
    fn has_all_that_is_told(&self) -> bool {
        !self.gives.reads
            && self.options.until_caught_up
            && !self.pending.moved
            && self.transaction.is_none()
            && !self.stream.ready()
            && self.pending.position.covers(&self.stream.source_end())
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
        let end = self.stream.source_end();
        if let Some(heard) = &self.ports.heard {
            heard.send_replace(Some(end.clone()));
        }
        self.reporter.heard_of(end);
        Ok(true)
    }

    async fn event(&mut self, event: Event) -> Result<bool> {
        match event {
            Event::Begin(transaction) => {
                self.skipping = self.pending.position.has(&transaction.at);
                self.start_anew(|from| !from.has(&transaction.at));
                self.batch.begins(&transaction);
                self.transaction = Some(transaction);
                self.inside_changes = 0;
                Ok(true)
            }
            Event::Change(change) if !self.skipping => {
                self.batch.next_change();
                self.change(&change).await
            }
            // A shape is told once, whether or not the changes after it are wanted.
            Event::Relation(relation) => self.relation(relation).await,
            Event::Change(_) | Event::Type { .. } => Ok(true),
            Event::Message { prefix, content, transactional } => {
                if transactional && prefix == WATERMARK_PREFIX {
                    return self.message(&content).await;
                }
                Ok(true)
            }
            Event::Commit { end } => self.commit(&end).await,
            Event::Progress { position } => {
                self.idle(position)?;
                Ok(true)
            }
        }
    }

    async fn commit(&mut self, end: &Position) -> Result<bool> {
        let Some(transaction) = self.transaction.take() else {
            return Err(Error::new(Code::Protocol, "a commit without a begin").at("source stream"));
        };
        if std::mem::take(&mut self.skipping) {
            self.watch();
            return Ok(true);
        }
        transaction.xid.into_iter().for_each(|xid| self.windows.commit(xid));
        let pending = &mut self.pending;
        if !pending.moved {
            pending.since = Instant::now();
        }
        pending.position = pending.position.join(end)?;
        pending.moved = true;
        if pending.commit_times.len() < COMMIT_TIMES_MAX {
            pending.commit_times.push(transaction.commit_time);
        }
        pending.last = Some(transaction);
        self.watch();
        let pending = &self.pending;
        let full = self.batch.rows() >= self.options.batch_rows
            || self.batch.bytes() >= self.options.batch_bytes
            || pending.since.elapsed() >= self.options.batch_age && !self.whole;
        match full {
            true if self.whole => self.flush().await,
            true => self.close().await,
            false => Ok(true),
        }
    }

    /// The source has nothing up to `position`: recorded now and then, so that it can forget its log.
    fn idle(&mut self, position: Position) -> Result<()> {
        self.start_anew(|from| position.covers(from));
        let covered = self.pending.position.covers(&position);
        if covered {
            return Ok(());
        }
        if self.pending.moved || self.transaction.is_some() {
            self.pending.idle = Some(position);
            return Ok(());
        }
        self.reporter.idle_at(&self.pending.position, &position);
        self.ports.reached.send_modify(|reached| {
            if let Some(reached) = reached {
                reached.idle_at(&self.pending.position, &position);
            }
        });
        let held = position.bytes_since(&self.pending.recorded_at).unwrap_or(0);
        let late = self.pending.recorded.elapsed() >= IDLE_RECORD;
        if held >= IDLE_RECORD_BYTES || late || *self.ports.awaited.borrow() {
            self.pending.position = self.pending.position.join(&position)?;
            self.pending.moved = true;
            self.pending.since = Instant::now();
        } else {
            self.pending.idle = Some(position);
        }
        Ok(())
    }

    /// Tables that begin anew from a position that the stream has reached.
    fn start_anew(&mut self, is_reached: impl Fn(&Position) -> bool) {
        for table in 0..self.tables.len() {
            if self.tables[table].anew_from.as_ref().is_some_and(&is_reached) {
                self.tables[table].anew_from = None;
                self.tables[table].unbound = true;
                self.some_unbound = true;
                if !self.tables[table].keeps_rows {
                    self.batch.clear(table);
                }
                self.pending.anew.push(table);
                self.pending.moved = true;
            }
        }
        for (token, table, opened) in std::mem::take(&mut self.deferred) {
            self.open(token, table, opened);
        }
    }

    fn acknowledge(&mut self) {
        let durable = self.ports.durable.borrow_and_update().clone();
        if let Some(position) = durable {
            self.stream.acknowledge(position);
            fail_point!("batch.acknowledged", exit);
        }
    }

    fn drain(&mut self) -> Result<Segment> {
        let complete = {
            let copied = self.ports.copied.borrow();
            let complete = |at| copied.get(at).is_some_and(|copied: &Copied| copied.complete);
            let tables = self.tables.iter().enumerate();
            tables.map(|(at, table)| complete(at) && !table.reads_keys).collect::<Vec<_>>()
        };
        let mut segment = self.batch.drain(self.plan, &complete)?;
        segment.to_read.extend(self.traces.drain());
        segment.to_read.iter().try_for_each(|to_read| self.gives.left_to_read(&to_read.table))?;
        self.leaves_to_read(&segment);
        segment.chunks_done = std::mem::take(&mut self.pending.chunks_done);
        for taken in std::mem::take(&mut self.taken) {
            // The reader may be gone.
            taken.send(()).ok();
        }
        segment.anew = std::mem::take(&mut self.pending.anew)
            .into_iter()
            .map(|table| self.plan.tables[table].table.clone())
            .collect();
        for (state, planned) in self.tables.iter_mut().zip(&self.plan.tables) {
            for operation in ChangeOperation::ALL {
                let count = std::mem::take(&mut state.changes[operation as usize]);
                if count > 0 {
                    self.reporter.record().changes(&planned.table, operation, count);
                }
            }
        }
        Ok(segment)
    }

    /// Rows that a segment leaves to be read may be missing from now on.
    fn leaves_to_read(&mut self, segment: &Segment) {
        for to_read in &segment.to_read {
            if let Some(table) = self.plan.table(&to_read.table) {
                self.tables[table].reads_keys = true;
            }
        }
        self.key_segments += u64::from(!segment.to_read.is_empty());
    }

    /// The segment that ends the open target transaction.
    fn closing_segment(&mut self) -> Result<Segment> {
        let mut segment = self.drain()?;
        let pending = &mut self.pending;
        segment.commit = Some(Commit {
            position: pending.position.clone(),
            last: pending.last.take(),
            commit_times: std::mem::take(&mut pending.commit_times),
            changes: std::mem::take(&mut pending.changes),
            awaited: *self.ports.awaited.borrow(),
        });
        pending.moved = false;
        pending.midway = false;
        pending.recorded = Instant::now();
        pending.recorded_at = pending.position.clone();
        Ok(segment)
    }

    /// There is something to commit.
    fn stirred(&mut self) {
        if !std::mem::replace(&mut self.pending.moved, true) {
            self.pending.since = Instant::now();
        }
    }

    async fn close(&mut self) -> Result<bool> {
        let segment = self.closing_segment()?;
        Ok(self.send(segment).await)
    }

    /// Sends what is folded so far into the open target transaction.
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
                    let wide = self.wide_is_next.take();
                    return permit.map(|permit| permit.send((segment, wide))).is_ok();
                }
            }
        }
    }

    /// Waits until no segment with wide rows is under way. False as of [`Self::send`].
    async fn is_alone(&mut self) -> bool {
        if self.wide_is_next.is_some() {
            return true;
        }
        let (wide, segments) = (Arc::clone(&self.wide), self.ports.segments.clone());
        let alone = wide.acquire_owned();
        tokio::pin!(alone);
        loop {
            tokio::select! {
                biased;
                () = self.ports.cancel.cancelled() => return false,
                Ok(()) = self.ports.durable.changed() => self.acknowledge(),
                permit = &mut alone => {
                    self.wide_is_next = permit.ok();
                    return true;
                }
                () = segments.closed() => return false,
            }
        }
    }
}

/// What an attempt starts from.
pub(crate) struct Start<'a> {
    pub(crate) ledger: &'a LedgerState,
    pub(crate) watermarks: &'a Watermarks,
    /// Everything up to the start of this attempt is one batch.
    pub(crate) whole: bool,
    /// Every transaction that was assigned an id before this daemon opened the stream is below.
    pub(crate) settle_below: u64,
    pub(crate) gives: Gives,
}
