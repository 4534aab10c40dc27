//! Reads at the source that meet locks of others.

use std::time::{Duration, Instant};

use regraft_core::Error;

use crate::classify::is_lock_timeout;

/// Whoever waits for one table while it has another one can be half of a deadlock, of which the server may end
/// the other half: the application. It is the one that has waited for `deadlock_timeout`, a second as a rule.
pub(crate) const HARDLY_WAITING: &str = "SET lock_timeout = '5ms'";
/// So long a read is tried again at once for a lock that somebody has.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The tries of one read.
pub(crate) struct Hindered {
    since: Instant,
    pause: Duration,
    /// The log has told of it.
    pub(crate) told: bool,
}

impl Default for Hindered {
    fn default() -> Self {
        Self { since: Instant::now(), pause: PAUSE.0, told: false }
    }
}

impl Hindered {
    /// It was a lock, and the read is to be tried again.
    pub(crate) fn by(&self, error: &Error) -> bool {
        is_lock_timeout(error) && self.since.elapsed() < PATIENCE
    }

    /// The pause before the next try.
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
    }
}

/// Asks until no lock is in the way; in between, the reader waits with nothing in hand.
macro_rules! unhindered {
    ($reader:ident, $name:expr, $asked:expr) => {{
        let mut hindered = $crate::hindered::Hindered::default();
        loop {
            match $asked.await {
                Err(error) if hindered.by(&error) => {
                    $reader.wait_for($name, &mut hindered).await?;
                }
                asked => break asked,
            }
        }
    }};
}
pub(crate) use unhindered;
