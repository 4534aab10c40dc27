//! The applier: takes segments to the sink, and reports what became visible and what durable.

use std::collections::VecDeque;
use std::time::Duration;

use regraft_core::contract::{Sink, Written};
use regraft_core::segment::{ChunkDone, Commit};
use regraft_core::{Position, Result};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::Instant;

use crate::between::Trouble;
use crate::follow::OnItsWay;
use crate::lag::Reached;
use crate::progress::Reporter;

/// How often the sink is asked what is durable while something is not.
const DURABLE_POLL: Duration = Duration::from_millis(25);

/// What a commit means for the backfill.
#[derive(Debug)]
pub(crate) enum Landed {
    /// A chunk is in the target.
    Chunk(ChunkDone),
    /// Keys to read were recorded in the ledger.
    KeysToRead,
}

/// A segment that the sink has not reported as written.
struct UnderWay {
    commit: Option<Commit>,
    rows: usize,
    bytes: usize,
    since: Instant,
    /// What the backfill has to know of it, once a commit follows.
    notes: Vec<Landed>,
    /// No other segment with wide rows is made as long as it is here.
    _wide: Option<OwnedSemaphorePermit>,
}

/// Takes segments from the follower to the sink.
pub(crate) struct Applier<K> {
    sink: K,
    told: Told,
    under_way: VecDeque<UnderWay>,
    /// Of the segments that are written and wait for the commit of a later one.
    notes: Vec<Landed>,
    newest: Option<Position>,
    /// Somebody waits for the last commit to be durable.
    awaited: bool,
}

/// Whom the applier tells.
pub(crate) struct Told {
    /// What is on the target's disk.
    pub(crate) durable: watch::Sender<Option<Position>>,
    /// What is in the target.
    pub(crate) reached: watch::Sender<Option<Reached>>,
    pub(crate) committed: mpsc::UnboundedSender<Landed>,
    pub(crate) trouble: Trouble,
    pub(crate) reporter: Reporter,
}

impl<K: Sink> Applier<K> {
    pub(crate) fn new(sink: K, told: Told) -> Self {
        Self {
            sink,
            told,
            under_way: VecDeque::new(),
            notes: Vec::new(),
            newest: None,
            awaited: false,
        }
    }

    /// Runs until the segments end, and then until everything committed is durable.
    pub(crate) async fn run(mut self, mut segments: mpsc::Receiver<OnItsWay>) -> Result<()> {
        let mut polled = Instant::now();
        loop {
            let waiting = self.newest > *self.told.durable.borrow();
            tokio::select! {
                biased;
                segment = segments.recv() => {
                    let Some(segment) = segment else { break };
                    self.write(segment).await?;
                }
                written = self.sink.settle(), if !self.under_way.is_empty() => {
                    written?.into_iter().for_each(|written| self.written(&written));
                }
                () = tokio::time::sleep(DURABLE_POLL), if waiting => {}
            }
            if std::mem::take(&mut self.awaited) || polled.elapsed() >= DURABLE_POLL {
                polled = Instant::now();
                report(&mut self.sink, &self.told.durable).await?;
            }
        }
        while let Some(written) = self.sink.settle().await? {
            self.written(&written);
        }
        while self.newest > *self.told.durable.borrow() {
            report(&mut self.sink, &self.told.durable).await?;
            tokio::time::sleep(DURABLE_POLL / 5).await;
        }
        Ok(())
    }

    async fn write(&mut self, (segment, wide): OnItsWay) -> Result<()> {
        let chunks = segment.chunks_done.iter().cloned().map(Landed::Chunk);
        let keys = (!segment.to_read.is_empty()).then_some(Landed::KeysToRead);
        self.under_way.push_back(UnderWay {
            commit: segment.commit.clone(),
            rows: segment.payload.rows(),
            bytes: segment.payload.bytes(),
            since: Instant::now(),
            notes: chunks.chain(keys).collect(),
            _wide: wide,
        });
        for written in self.sink.write(segment).await? {
            self.written(&written);
        }
        Ok(())
    }

    /// The oldest segment under way is written.
    fn written(&mut self, written: &[Written]) {
        let Some(segment) = self.under_way.pop_front() else { return };
        self.told.reporter.written(written);
        self.told.reporter.record().batch(segment.rows, segment.bytes, segment.since.elapsed());
        self.notes.extend(segment.notes);
        if let Some(commit) = &segment.commit {
            self.told.reached.send_modify(|reached| {
                if let Some(reached) = reached {
                    reached.position = commit.position.clone();
                }
            });
            self.told.reporter.committed(commit);
            self.told.trouble.committed();
            self.newest = Some(commit.position.clone());
            self.awaited |= commit.awaited;
            // Nobody listens when the pipeline ends; the ledger has it.
            self.notes.drain(..).for_each(|note| drop(self.told.committed.send(note)));
        }
    }
}

async fn report<K: Sink>(sink: &mut K, durable: &watch::Sender<Option<Position>>) -> Result<()> {
    let position = sink.durable().await?;
    durable.send_if_modified(|now| {
        let grows = position > *now;
        if grows {
            *now = position;
        }
        grows
    });
    Ok(())
}
