//! What the targets of a pipeline share.

use std::sync::Arc;

use regraft_pipeline::{Fan, Room};
use regraft_settings::Settings;
use tokio::sync::Mutex;

/// What the targets of a daemon share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) fan: Fan,
    /// Held by one at a time: publication and slot are made and judged for all of them.
    pub(crate) set_up: Arc<Mutex<()>>,
}

impl Shared {
    pub(crate) fn of(legs: &[Settings]) -> Self {
        let names = legs.iter().map(|leg| {
            let limit = leg.target.keep_log.and_then(|limit| u64::try_from(limit).ok());
            (leg.target.name.clone(), limit)
        });
        // Of what each may use; batches and chunks have the rest.
        let memory = legs.first().map_or(0, |leg| leg.limits.memory);
        let room = Room { fastest: memory / 32, slower: memory / 8 };
        Self { fan: Fan::new(names, room), set_up: Arc::default() }
    }
}

/// A target among those that share a stream.
#[derive(Clone)]
pub struct Share {
    pub(crate) shared: Shared,
    pub(crate) leg: usize,
}

impl Share {
    /// Of a process that follows one of the targets, and knows nothing of the others: the source forgets nothing.
    pub(crate) fn alone(settings: &Settings) -> Option<Self> {
        let mut legs = settings.is_shared().then(|| settings.legs())?;
        let leg = legs.iter().position(|leg| leg.name == settings.name)?;
        // It is not known where the others are.
        legs.iter_mut().for_each(|leg| leg.target.keep_log = None);
        Some(Self { shared: Shared::of(&legs), leg })
    }
}
