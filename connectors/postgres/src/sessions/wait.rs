//! Waits for something else than an answer: every server answers, and says each time that it is not so yet.

use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use super::{Sessions, Waiting, lock};

/// Something that is waited for, shown with the sessions that wait until this is dropped.
pub struct Wait(Arc<Known>);

pub(super) struct Known {
    server: String,
    request: String,
    since: Instant,
    seen: Mutex<Option<String>>,
}

impl Sessions {
    /// From now on this is waited for: what a server is to answer.
    pub fn wait(&self, server: &str, request: impl Into<String>) -> Wait {
        let (server, request) = (server.to_owned(), request.into());
        let known = Known { server, request, since: Instant::now(), seen: Mutex::default() };
        let known = Arc::new(known);
        let mut waits = lock(&self.0.waits);
        waits.retain(|wait| wait.strong_count() > 0);
        waits.push(Arc::downgrade(&known) as Weak<Known>);
        Wait(known)
    }
}

impl Wait {
    /// What keeps it, as it is now. True when something else was known before.
    pub fn seen(&self, what: String) -> bool {
        let mut seen = lock(&self.0.seen);
        let news = seen.as_ref() != Some(&what);
        *seen = Some(what);
        news
    }
}

impl Known {
    pub(super) fn waiting(&self) -> Option<Waiting> {
        let seen = lock(&self.seen).clone();
        Waiting::now(&self.server, &self.request, self.since.elapsed(), seen)
    }
}
