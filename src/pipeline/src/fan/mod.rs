//! One stream for several targets.
//!
//! ```text
//!                         ┌─ queue ─▶ leg: Follower ─▶ applier ─▶ target
//!  Source::stream ─▶ hub ─┤
//!        ▲                └─ queue ─▶ leg: …
//!        └── acknowledge, the least of what all targets have made durable
//! ```
//!
//! A *leg* is a pipeline like any other: it has its own attempts, ledger, backfill and errors, and sees nothing
//! of the others. What they share is hidden in its [`Source`], which is a [`Tap`].
//!
//! The hub reads at the pace of the fastest leg. One for which more waits than there is room for is *detached*: it
//! goes on by a stream of its own ([`Source::beside`]), from where it is, and joins the others again when it
//! has caught up. So does one that was away.
//!
//! The source keeps its log for all of them. Where a leg has a limit, and is further behind another one than
//! that, it is *given up*: the source forgets what it has not had, and it can only be brought in line.

mod hub;
mod leg;
mod pump;

use std::sync::Arc;

use regraft_core::contract::{Opened, Past, Source};
use regraft_core::{Gives, Position, Result};

use self::hub::Hub;
pub use self::leg::LegStream;
use self::leg::Port;

/// How much may wait in memory for a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of events that wait for the fastest leg, before no more are read.
    pub fastest: usize,
    /// Bytes of events that wait for any other, before it is detached.
    pub slower: usize,
}

/// What all legs have in common. Made once for a daemon.
#[derive(Clone)]
pub struct Fan(Arc<Hub>);

/// How a leg gets at its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gets {
    /// Not at all: no attempt is under way.
    Away,
    /// From the stream that all share.
    Shared,
    /// By a stream of its own, until it has caught up.
    Detached,
    /// The source keeps its log no longer for it.
    GivenUp,
}

impl Fan {
    /// Of legs whose targets have these names, and the bytes of log that the source keeps for each alone.
    /// Nothing is acknowledged before all of them have told where they are.
    pub fn new(legs: impl IntoIterator<Item = (Option<String>, Option<u64>)>, room: Room) -> Self {
        Self(Arc::new(Hub::new(legs, room)))
    }

    /// A leg has the slot, or is about to.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// How the leg with this index gets at its changes.
    pub fn gets(&self, leg: usize) -> Gets {
        self.0.gets(leg)
    }

    /// The source of the leg with this index, which reads by `source` what it does not share.
    pub fn tap<S>(&self, leg: usize, source: S) -> Tap<S> {
        Tap { source, shared: Some((Arc::clone(&self.0), leg)) }
    }
}

/// A [`Source`] that may share its stream with others.
pub struct Tap<S> {
    source: S,
    shared: Option<(Arc<Hub>, usize)>,
}

impl<S> Tap<S> {
    /// Of a pipeline that has its source for itself.
    pub fn alone(source: S) -> Self {
        Self { source, shared: None }
    }
}

impl<S: Source + Clone + Sync + 'static> Source for Tap<S> {
    type Stream = LegStream<S>;
    type Reader = S::Reader;

    async fn stream(&mut self, past: &Past) -> Result<Opened<LegStream<S>>> {
        let Some((hub, leg)) = &self.shared else {
            let Opened { stream, history } = self.source.stream(past).await?;
            return Ok(Opened { stream: LegStream::alone(stream), history });
        };
        let attempt = hub.comes(*leg, &past.position)?;
        let port = Port { hub: Arc::clone(hub), leg: *leg, attempt, source: self.source.clone() };
        let Opened { stream, history } = port.open(past).await?;
        let mut past = past.clone();
        past.history = history.clone().or(past.history);
        Ok(Opened { stream: LegStream::shared(port, past, stream), history })
    }

    async fn beside(&mut self, past: &Past) -> Result<Opened<LegStream<S>>> {
        let Opened { stream, history } = self.source.beside(past).await?;
        Ok(Opened { stream: LegStream::alone(stream), history })
    }

    fn gives(&self) -> Gives {
        self.source.gives()
    }

    fn scope(&self) -> String {
        self.source.scope()
    }

    fn reader(&mut self) -> Option<S::Reader> {
        self.source.reader()
    }
}

/// Everything before it is durable in each of the targets.
fn least(positions: impl IntoIterator<Item = Position>) -> Result<Option<Position>> {
    let mut positions = positions.into_iter();
    let Some(first) = positions.next() else { return Ok(None) };
    positions.try_fold(first, |least, position| least.meet(&position)).map(Some)
}

#[cfg(test)]
mod tests;
