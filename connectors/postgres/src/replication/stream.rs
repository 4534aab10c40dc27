//! The change stream of a slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use regraft_core::contract::ChangeStream;
use regraft_core::{Event, Lsn, Position, Result};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::connection::{StreamOptions, WireConnection, closed};
use super::receiver::Receiver;
use super::replay::Replay;

/// What the task that owns the socket and its consumer both see.
#[derive(Debug)]
pub(super) struct Shared {
    acknowledged: AtomicU64,
    source_end: AtomicU64,
    /// There is something to tell the server.
    pub(super) wake: Notify,
}

impl Shared {
    pub(super) fn new(acknowledged: Lsn) -> Self {
        Self {
            acknowledged: AtomicU64::new(acknowledged.0),
            source_end: AtomicU64::new(0),
            wake: Notify::new(),
        }
    }

    pub(super) fn acknowledged(&self) -> Lsn {
        Lsn(self.acknowledged.load(Ordering::Acquire))
    }

    pub(super) fn heard_of(&self, end: Lsn) {
        self.source_end.fetch_max(end.0, Ordering::Relaxed);
    }
}

/// Events that were decoded from one read, and the room that they take until they are taken.
pub(super) struct Piece {
    pub(super) events: Vec<Event>,
    pub(super) room: OwnedSemaphorePermit,
}

/// A [`ChangeStream`] from a logical replication slot.
///
/// A task of its own reads, decodes and keeps the connection alive, so that a consumer may take as
/// long as it needs. Dropping the stream closes the connection without a farewell.
pub struct PgStream {
    pieces: UnboundedReceiver<Result<Piece>>,
    /// Of the events that were taken last.
    room: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
    close: oneshot::Sender<()>,
    task: AbortOnDropHandle<Result<()>>,
    place: String,
}

impl PgStream {
    /// The consumer has everything up to `start`; what a `replay` was asked for comes before it. The slot has
    /// confirmed `acknowledged`.
    pub(crate) fn spawn(
        connection: WireConnection,
        (start, acknowledged): (Lsn, Lsn),
        replay: Option<Replay>,
        options: StreamOptions,
    ) -> Self {
        let shared = Arc::new(Shared::new(acknowledged));
        let place = connection.place().to_owned();
        let (sender, pieces) = mpsc::unbounded_channel();
        let (close, closing) = oneshot::channel();
        let receiver =
            Receiver::new(connection, (start, replay), options, Arc::clone(&shared), sender);
        let task = AbortOnDropHandle::new(tokio::spawn(receiver.run(closing)));
        Self { pieces, room: None, shared, close, task, place }
    }
}

impl ChangeStream for PgStream {
    async fn next(&mut self) -> Result<Vec<Event>> {
        // Whoever asks for more is done with those.
        self.room = None;
        match self.pieces.recv().await {
            Some(Ok(Piece { events, room })) => {
                self.room = Some(room);
                Ok(events)
            }
            Some(Err(error)) => Err(error),
            // The error that ended the stream was taken before.
            None => Err(closed(&self.place)),
        }
    }

    fn ready(&self) -> bool {
        !self.pieces.is_empty() || self.pieces.is_closed()
    }

    fn acknowledge(&self, position: Position) {
        // No other was ever opened.
        let Position::Lsn(Lsn(lsn)) = position else { return };
        if self.shared.acknowledged.fetch_max(lsn, Ordering::AcqRel) < lsn {
            self.shared.wake.notify_one();
        }
    }

    /// The highest position that the server has mentioned. While a walsender is behind, it mentions
    /// only how far *it* has read, so this is a lower bound of the end of the log.
    fn source_end(&self) -> Position {
        Position::Lsn(Lsn(self.shared.source_end.load(Ordering::Relaxed)))
    }

    async fn close(self) -> Result<()> {
        let Self { pieces, room, close, task, .. } = self;
        // Frees the room that waiting pieces take.
        drop((pieces, room));
        if close.send(()).is_err() {
            // The task has ended by an error before.
            return Ok(());
        }
        // A panic there was reported by the runtime already; the slot is free all the same.
        task.await.unwrap_or(Ok(()))
    }
}
