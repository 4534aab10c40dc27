//! The stream that all legs share: opened by one of them, read for all.

use std::sync::Arc;

use regraft_core::Position;
use regraft_core::contract::ChangeStream;
use tokio::sync::oneshot;

use super::hub::{Closed, Hub};

/// One leg opens the stream at a time.
pub(super) struct Opening {
    hub: Arc<Hub>,
    /// The hub knows what came of it.
    told: bool,
}

impl Opening {
    /// `None` while there is a stream, or somebody opens it.
    pub(super) fn begin(hub: &Arc<Hub>) -> Option<Self> {
        hub.begins_to_open().then(|| Self { hub: Arc::clone(hub), told: false })
    }

    /// The stream of this scope gives what comes after `position`, first of all to this leg; to nobody, if
    /// its attempt is over.
    pub(super) fn opened(
        mut self,
        stream: impl ChangeStream + 'static,
        of: (&Position, String),
        leg: (usize, u64),
    ) {
        self.told = true;
        if let Some(closing) = self.hub.is_opened(of, leg) {
            tokio::spawn(pump(Arc::clone(&self.hub), stream, closing));
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if !self.told {
            self.hub.is_not_opened();
        }
    }
}

/// Reads the stream until nobody needs it, or it breaks.
async fn pump<C: ChangeStream>(
    hub: Arc<Hub>,
    mut stream: C,
    mut closing: oneshot::Receiver<Closed>,
) {
    let closed = loop {
        let has_room = hub.has_room();
        tokio::select! {
            biased;
            closed = &mut closing => break closed.ok(),
            () = hub.acknowledge.notified() => acknowledge(&hub, &stream),
            events = stream.next(), if has_room => match events {
                Ok(events) => hub.give(events, stream.source_end()),
                Err(error) => return hub.ended(Some(&error)),
            },
            () = hub.drained.notified(), if !has_room => {}
        }
    };
    acknowledge(&hub, &stream);
    let outcome = stream.close().await;
    hub.ended(None);
    if let Some(closed) = closed {
        // Nobody waits for it where the leg was dropped.
        drop(closed.send(outcome));
    }
}

fn acknowledge(hub: &Hub, stream: &impl ChangeStream) {
    hub.acknowledged().into_iter().for_each(|position| stream.acknowledge(position));
}
