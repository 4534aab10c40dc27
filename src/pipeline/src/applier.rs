//! The applier: writes segments to the sink, one at a time, and reports what became durable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regraft_core::contract::Sink;
use regraft_core::segment::ChunkDone;
use regraft_core::{Position, Result, Segment};
use regraft_telemetry::record;
use tokio::sync::{mpsc, watch};

use crate::progress::Progress;

/// How often the sink is asked what is durable while something is not.
const DURABLE_POLL: Duration = Duration::from_millis(25);

/// What a commit means for the backfill.
#[derive(Debug)]
pub(crate) enum Committed {
    /// A chunk is in the target.
    Chunk(ChunkDone),
    /// Keys to read were recorded in the ledger.
    KeysToRead,
}

/// Runs until the segments end, and then until everything committed is durable.
pub(crate) async fn apply<K: Sink>(
    mut sink: K,
    mut segments: mpsc::Receiver<Segment>,
    durable: watch::Sender<Option<Position>>,
    committed: mpsc::UnboundedSender<Committed>,
    progress: Arc<Progress>,
) -> Result<()> {
    let mut newest: Option<Position> = None;
    let mut polled = Instant::now();
    let mut notes = Vec::new();
    loop {
        let waiting = newest > *durable.borrow();
        tokio::select! {
            biased;
            segment = segments.recv() => {
                let Some(segment) = segment else { break };
                if let Some(position) = write(&mut sink, segment, &mut notes, &progress).await? {
                    newest = Some(position);
                    // Nobody listens when the pipeline ends; the ledger has it.
                    notes.drain(..).for_each(|note| drop(committed.send(note)));
                }
                if polled.elapsed() < DURABLE_POLL {
                    continue;
                }
            }
            () = tokio::time::sleep(DURABLE_POLL), if waiting => {}
        }
        polled = Instant::now();
        report(&mut sink, &durable).await?;
    }
    while newest > *durable.borrow() {
        report(&mut sink, &durable).await?;
        tokio::time::sleep(DURABLE_POLL / 5).await;
    }
    Ok(())
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

/// Writes one segment; gives the position when it had a commit. What the backfill has to know of it
/// is noted, and true once a commit follows.
async fn write<K: Sink>(
    sink: &mut K,
    segment: Segment,
    notes: &mut Vec<Committed>,
    progress: &Progress,
) -> Result<Option<Position>> {
    let started = Instant::now();
    let rows: usize = segment.writes.iter().map(|w| w.upserts.len() + w.fresh.len()).sum();
    let bytes: usize = segment.writes.iter().map(|w| w.upserts.size() + w.fresh.size()).sum();
    let commit = segment.commit.clone();
    notes.extend(segment.chunks_done.iter().cloned().map(Committed::Chunk));
    notes.extend((!segment.to_read.is_empty()).then_some(Committed::KeysToRead));
    let written = sink.write(segment).await?;
    progress.written(&written);
    record::batch(rows, bytes, started.elapsed());
    if let Some(commit) = &commit {
        progress.committed(commit);
    }
    Ok(commit.map(|commit| commit.position))
}
