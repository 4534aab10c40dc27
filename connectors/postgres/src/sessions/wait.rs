//! Waits for something else than an answer: every server answers, and says each time that it is not so yet.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::{Sessions, Waiting, lock};

/// Something that is waited for, shown with the sessions that wait until this is dropped.
pub struct Wait(Arc<Known>);

pub(super) struct Known {
    server: String,
    request: String,
    since: Instant,
    /// It is shown when it takes longer.
    notice: Duration,
    seen: Mutex<Option<String>>,
}

impl Sessions {
    /// From now on this is waited for: what a server is to answer.
    pub fn wait(&self, server: &str, request: impl Into<String>) -> Wait {
        self.wait_long(server, request, Duration::ZERO)
    }

    /// The same of something that is told only when it takes longer than so long.
    pub(crate) fn wait_long(
        &self,
        server: &str,
        request: impl Into<String>,
        notice: Duration,
    ) -> Wait {
        let known = Arc::new(Known {
            server: server.to_owned(),
            request: request.into(),
            since: Instant::now(),
            notice,
            seen: Mutex::default(),
        });
        let mut waits = lock(&self.0.waits);
        waits.retain(|wait| wait.strong_count() > 0);
        waits.push(Arc::downgrade(&known) as Weak<Known>);
        Wait(known)
    }
}

impl Wait {
    /// What keeps it, as it is now.
    pub fn seen(&self, what: String) {
        *lock(&self.0.seen) = Some(what);
    }
}

impl Known {
    pub(super) fn waiting(&self) -> Option<Waiting> {
        let (seen, silence) = (lock(&self.seen).clone(), self.since.elapsed());
        (silence >= self.notice)
            .then(|| Waiting::now(&self.server, &self.request, silence, seen))?
    }
}
