//! What has to happen in time, whatever the other tasks are at: the source is asked where its log ends, the
//! phase follows from that, and the ledger hears that the daemon lives.

use std::sync::Arc;
use std::time::Duration;

use regraft_core::contract::{ChunkReader, Ledger, Phase, SourceState};
use regraft_core::{Position, Result};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::time::Instant;

use crate::between::{Copied, Trouble};
use crate::follow::ChunkMessage;
use crate::lag::{Lag, Reached};
use crate::progress::Reporter;

/// How often the source is asked.
const TICK: Duration = Duration::from_millis(500);
/// How often, in ticks, the follower gets a snapshot, so that it can forget commits.
const SNAPSHOT_TICKS: u64 = 10;
/// How often, in ticks, the ledger hears that the daemon lives.
const BEAT_TICKS: u64 = 10;
/// A pipeline that lags less than this follows the source.
const STREAMING_LAG: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Pulse<R, L> {
    /// On it nothing else is asked that takes long. A source that cannot be asked tells by its stream.
    pub(crate) source: Option<R>,
    /// The end of the source's log, as the stream has told.
    pub(crate) heard: watch::Receiver<Option<Position>>,
    pub(crate) ledger: Arc<Mutex<L>>,
    pub(crate) follower: mpsc::Sender<ChunkMessage>,
    pub(crate) reporter: Reporter,
    pub(crate) trouble: Trouble,
    pub(crate) reached: watch::Receiver<Option<Reached>>,
    pub(crate) copied: watch::Receiver<Vec<Copied>>,
    pub(crate) phase: watch::Sender<Phase>,
    /// Commits of the source wait until what they wrote is durable here.
    pub(crate) awaited: watch::Sender<bool>,
    /// Told when somebody has said how a held table goes on.
    pub(crate) resumed: Arc<Notify>,
    pub(crate) measure: Measure,
}

impl<R: ChunkReader, L: Ledger> Pulse<R, L> {
    /// Runs until it is dropped, or a server fails.
    pub(crate) async fn run(mut self) -> Result<()> {
        let mut tick = tokio::time::interval(TICK);
        let mut ticks: u64 = 0;
        loop {
            tick.tick().await;
            let source = match &mut self.source {
                Some(source) => Some(source.state().await?),
                None => None,
            };
            let end = match &source {
                Some(source) => Some(self.measured(source)),
                None => self.heard.borrow().clone(),
            };
            let follows = end.is_some_and(|end| self.follows(end));
            self.tell_phase(follows).await?;
            if ticks.is_multiple_of(BEAT_TICKS) && self.ledger.lock().await.beat().await? {
                self.resumed.notify_one();
            }
            ticks += 1;
            if let Some(source) = source.filter(|_| ticks.is_multiple_of(SNAPSHOT_TICKS)) {
                // When the follower is busy, the next one will do.
                drop(self.follower.try_send(ChunkMessage::Snapshot(source.snapshot)));
            }
        }
    }

    /// The end of the source's log.
    fn measured(&self, source: &SourceState) -> Position {
        self.awaited.send_replace(source.synchronous);
        self.reporter.record().wal_held(source.held_bytes);
        source.end.clone()
    }

    /// True when the target follows.
    fn follows(&mut self, end: Position) -> bool {
        let reached = self.reached.borrow();
        let follows =
            self.measure.follows(&end, reached.as_ref().map(Reached::upto), Instant::now());
        self.reporter.measured(end);
        follows
    }

    async fn tell_phase(&mut self, follows: bool) -> Result<()> {
        if self.trouble.take_over() {
            self.ledger.lock().await.last_error(None).await?;
        }
        if self.trouble.holds() {
            return Ok(());
        }
        let phase = if !self.copied.borrow().iter().all(|table| table.complete) {
            Phase::Backfill
        } else if follows {
            Phase::Streaming
        } else {
            Phase::CatchingUp
        };
        if self.phase.send_replace(phase) != phase {
            self.reporter.phase(phase);
            self.ledger.lock().await.phase(phase).await?;
        }
        Ok(())
    }
}

/// Whether the target follows, as far as this attempt has seen: it has everything up to where the source's
/// log ended first, and does not lag since.
#[derive(Default)]
pub(crate) struct Measure {
    first: Option<Position>,
    lag: Lag,
}

impl Measure {
    fn follows(&mut self, end: &Position, reached: Option<&Position>, now: Instant) -> bool {
        let first = self.first.get_or_insert_with(|| end.clone());
        let has_first = reached.is_some_and(|reached| reached.covers(first));
        self.lag.measured(end.clone(), reached, now);
        has_first && self.lag.time(now, None).is_some_and(|lag| lag <= STREAMING_LAG)
    }
}

#[cfg(test)]
mod tests {
    use regraft_core::Lsn;

    use super::*;

    #[test]
    fn the_target_follows_once_it_has_what_was_there_and_does_not_lag() {
        let begun = Instant::now();
        let mut measure = Measure::default();
        let mut follows = |second, end, reached| {
            let now = begun + Duration::from_secs(second);
            measure.follows(&Lsn(end).into(), Some(&Lsn(reached).into()), now)
        };
        assert!(!follows(0, 100, 10));
        assert!(!follows(1, 110, 99), "not all that was there");
        assert!(follows(2, 120, 100));
        assert!(follows(11, 200, 109), "ten seconds");
        assert!(!follows(12, 210, 109));
        assert!(!follows(30, 300, 199));
        assert!(follows(31, 310, 300));
    }
}
