//! The applier: writes segments to the target, set-based, with the position in the same transaction.
//!
//! The order inside a segment is that of [`regraft_core::TableWrites`]: what is cleared and what is
//! replaced goes first, children before parents; then rows come, parents before children; patches
//! last. Where the target's constraints may object to that order although the end result satisfies
//! them, the segment is written inside a savepoint and tried in other ways, see [`recover`].
//!
//! Batches that have no source row in common are written side by side, in sessions of their own, see
//! [`apart`]. Each commits after the one before it: the target passes through the same states as if
//! they were written one after the other.
//!
//! Each module uses only those before it (`src/rooms.rs`); most have a part of what a [`lane::Lane`] does:
//!
//! - what is known: [`target`], [`shape`], [`apart`]; the SQL: [`statements`]
//! - the session: [`owed`] (what is left for the commit), [`lane`]; how rows reach it: [`give`]
//! - rows: [`freed`], [`identity`], [`put`], [`guard`] (whose row it is), [`leaving`], [`park`] (what is in the way)
//! - segments: [`write`], [`recover`]; [`transaction`], which ends with the commit

mod apart;
mod freed;
mod give;
mod guard;
mod identity;
mod lane;
mod leaving;
mod owed;
mod park;
mod put;
mod recover;
mod shape;
mod statements;
mod target;
mod transaction;
mod write;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use regraft_core::contract::{Sink, Written};
use regraft_core::segment::Route;
use regraft_core::{Code, Error, Lsn, Position, Result, Segment, Takes, fail_point};
use tokio::sync::oneshot;
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

use crate::classify;
use crate::ledger::Fence;
use apart::Apart;
use lane::Lane;
use transaction::{Committed, Outcome};

/// Writes batches to a PostgreSQL target.
pub struct PgSink {
    idle: Vec<Lane>,
    /// The lane whose transaction goes on with the next segment.
    open: Option<Lane>,
    /// Batches under way, the oldest first.
    busy: VecDeque<Busy>,
    /// How batches are told apart; `None` when they are written one after the other.
    apart: Option<Apart>,
    /// Commits that may not be on disk yet.
    in_flight: VecDeque<(Lsn, Position)>,
    durable: Option<Position>,
}

/// A batch under way.
struct Busy {
    task: AbortOnDropHandle<(Lane, Result<Outcome>)>,
    /// Hashes of the source rows that it touches.
    rows: HashSet<u64>,
    /// For the batch after it: it is committed. Closed when it failed.
    committed: Option<oneshot::Receiver<()>>,
}

impl PgSink {
    /// A sink on connections of its own, of which the first one is enough where batches cannot be told
    /// apart. With `trusted`, neither foreign keys nor ordinary triggers of the target fire, as in the
    /// apply worker of native logical replication.
    ///
    /// # Errors
    /// When a target table is missing, or has no key that its statement fills.
    pub async fn new(
        clients: Vec<Client>,
        place: &str,
        routes: Vec<Route>,
        fence: Fence,
        trusted: bool,
    ) -> Result<Self> {
        let Some(first) = clients.first() else {
            return Err(Error::new(Code::Internal, "a sink without a connection"));
        };
        // Before the tables are read: what is altered from now on is seen before a commit.
        let shapes = shape::shapes(first, place, &routes).await?;
        let tables = target::tables(first, place, &routes).await?;
        let sql = "SELECT has_database_privilege(current_database(), 'TEMP')";
        let stages =
            first.query_one(sql, &[]).await.map_err(|error| classify(&error, place))?.get(0);
        let apart = if clients.len() > 1 { Apart::new(&routes, &tables, trusted) } else { None };
        let mut targets = target::read(&routes, &tables, trusted)?;
        targets.iter_mut().zip(shapes).for_each(|(target, shape)| target.shape = shape);
        let targets: Arc<[_]> = targets.into();
        let routes: Arc<[_]> = routes.into();
        let lanes = if apart.is_some() { clients.len() } else { 1 };
        let mut idle = Vec::new();
        for client in clients.into_iter().take(lanes) {
            let (routes, targets) = (Arc::clone(&routes), Arc::clone(&targets));
            let how = (trusted, stages);
            idle.push(Lane::new(client, place, routes, targets, fence.clone(), how).await?);
        }
        let (busy, in_flight) = (VecDeque::new(), VecDeque::new());
        Ok(Self { idle, open: None, busy, apart, in_flight, durable: None })
    }

    /// Writes a segment when nothing else is under way.
    async fn write_alone(&mut self, segment: &Segment) -> Result<Vec<Written>> {
        let lane = self.open.take().or_else(|| self.idle.pop());
        let mut lane = lane.ok_or_else(|| Error::new(Code::Internal, "no lane is idle"))?;
        let Outcome { written, commit } = lane.write(segment, None).await?;
        if lane.is_open() {
            self.open = Some(lane);
        } else {
            self.idle.push(lane);
        }
        self.committed(commit);
        Ok(written)
    }

    fn start(&mut self, mut lane: Lane, segment: Segment, rows: HashSet<u64>) {
        let turn = self.busy.back_mut().and_then(|before| before.committed.take());
        let (done, committed) = oneshot::channel();
        let task = tokio::spawn(async move {
            let outcome = lane.write(&segment, turn).await;
            if outcome.is_ok() {
                // Nobody listens when no batch follows.
                done.send(()).ok();
            }
            (lane, outcome)
        });
        let task = AbortOnDropHandle::new(task);
        self.busy.push_back(Busy { task, rows, committed: Some(committed) });
    }

    fn committed(&mut self, commit: Option<Committed>) {
        if let Some(Committed { position, recorded, flushed }) = commit {
            self.in_flight.push_back((recorded, position));
            self.flushed(flushed);
        }
    }

    fn flushed(&mut self, flushed: Lsn) {
        while let Some((_, position)) = self.in_flight.pop_front_if(|(lsn, _)| *lsn <= flushed) {
            fail_point!("batch.durable", exit);
            self.durable = Some(position);
        }
    }
}

impl PgSink {
    /// What it takes.
    pub const TAKES: Takes = Takes::EVERYTHING;
}

impl Sink for PgSink {
    async fn write(&mut self, segment: Segment) -> Result<Vec<Vec<Written>>> {
        let mut written = Vec::new();
        let rows = match &self.apart {
            Some(apart) if self.open.is_none() => apart.rows(&segment),
            _ => None,
        };
        let Some(rows) = rows else {
            while let Some(settled) = self.settle().await? {
                written.push(settled);
            }
            written.push(self.write_alone(&segment).await?);
            return Ok(written);
        };
        let lane = loop {
            let shared = self.busy.iter().any(|busy| !busy.rows.is_disjoint(&rows));
            match self.idle.pop() {
                Some(lane) if !shared => break lane,
                lane => self.idle.extend(lane),
            }
            written.extend(self.settle().await?);
        };
        self.start(lane, segment, rows);
        Ok(written)
    }

    async fn settle(&mut self) -> Result<Option<Vec<Written>>> {
        let Some(oldest) = self.busy.front_mut() else { return Ok(None) };
        let ended = (&mut oldest.task).await;
        self.busy.pop_front();
        let (lane, outcome) =
            ended.map_err(|error| Error::new(Code::Internal, "a lane ended").because(error))?;
        let Outcome { written, commit } = outcome?;
        self.idle.push(lane);
        self.committed(commit);
        Ok(Some(written))
    }

    async fn durable(&mut self) -> Result<Option<Position>> {
        // A lane that is busy tells it with its commit.
        if let Some(lane) = self.idle.last_mut().filter(|_| !self.in_flight.is_empty()) {
            let [_, flushed] = lane.log_positions().await?;
            self.flushed(flushed);
        }
        Ok(self.durable.clone())
    }
}
