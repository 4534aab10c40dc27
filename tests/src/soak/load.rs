//! The application: transactions at the source, through crashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::RwLock;
use tokio_util::task::AbortOnDropHandle;

use crate::world::World;

/// Between two attempts to reach a server that restarts.
const AGAIN: Duration = Duration::from_millis(50);

/// A connection that writes until it is stopped.
pub(super) struct Load {
    shared: Arc<Shared>,
    /// Held while nothing is to be written.
    paused: Option<tokio::sync::OwnedRwLockWriteGuard<()>>,
    task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    gate: Arc<RwLock<()>>,
    stop: AtomicBool,
    transactions: AtomicU64,
}

impl Load {
    /// With so long between two transactions: the machine has more to do.
    pub(super) fn start(url: &str, world: World, seed: u64, pause: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let work = write(url.to_owned(), world, seed, pause, Arc::clone(&shared));
        Self { shared, paused: None, task: AbortOnDropHandle::new(tokio::spawn(work)) }
    }

    /// Waits until nothing is under way, and has nothing begin.
    pub(super) async fn pause(&mut self) {
        self.paused = Some(Arc::clone(&self.shared.gate).write_owned().await);
    }

    pub(super) fn go_on(&mut self) {
        self.paused = None;
    }

    /// Transactions whose commit was confirmed.
    pub(super) async fn stop(mut self) -> u64 {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.go_on();
        self.task.await.unwrap();
        self.shared.transactions.load(Ordering::Relaxed)
    }
}

async fn write(url: String, world: World, seed: u64, pause: Duration, shared: Arc<Shared>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut client = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let gate = shared.gate.read().await;
        let connected = match client.take() {
            Some(client) => Ok(client),
            None => regraft_testkit::connect(&url).await,
        };
        let Ok(connected) = connected else {
            drop(gate);
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let text = (world.transaction)(&mut random);
        match connected.batch_execute(&text).await {
            Ok(()) => {
                shared.transactions.fetch_add(1, Ordering::Relaxed);
                client = Some(connected);
            }
            // The transactions are made so that none of them fails.
            Err(error)
                if error.as_db_error().is_some_and(|e| !e.code().code().starts_with("57")) =>
            {
                panic!("{error:?}\n{text}");
            }
            Err(_) => {}
        }
        drop(gate);
        tokio::time::sleep(pause).await;
    }
}
