//! Of several sessions that read rows, one at a time has a wide one.
//!
//! How large a row is, is known when its first bytes are here. Until the rest may come it stays with the
//! server, which waits.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A session's part in that; a clone is of the same session.
#[derive(Clone, Debug)]
pub(crate) struct Wide {
    one: Arc<Semaphore>,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Wide {
    /// Of a session like others that have the same `one`, which has one permit.
    pub(crate) fn new(one: Arc<Semaphore>) -> Self {
        Self { one, held: Arc::default() }
    }

    /// Another session has its turn. What this one has read goes on to count until then.
    pub(crate) fn release(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits for this session's turn, if it is not.
    pub(super) async fn turn(self) {
        if self.held.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return;
        }
        let permit = self.one.acquire_owned().await.ok();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}
