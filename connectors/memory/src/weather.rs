//! What goes wrong, and how late things are: drawn from a seed, or asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use regraft_core::{Code, Error, Result};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Before it did anything.
    Before,
    /// After it did its work: the caller does not know.
    After,
}

/// How often something happens, of 1000 calls, and how late answers are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chances {
    /// A call fails before it did anything.
    pub before: u32,
    /// A call fails after it did its work.
    pub after: u32,
    /// Answers come up to so much later, a few of them eight times that.
    pub late: Duration,
}

/// The weather of one server; clones share it.
#[derive(Clone)]
pub struct Weather(Arc<Mutex<Inner>>);

struct Inner {
    rng: SmallRng,
    chances: Chances,
    asked: HashMap<&'static str, Failure>,
}

impl Weather {
    /// Nothing fails by itself, and nothing is late.
    pub fn calm() -> Self {
        Self::of_seed(0, Chances::default())
    }

    /// The same seed gives the same weather to the same calls.
    pub fn of_seed(seed: u64, chances: Chances) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self(Arc::new(Mutex::new(Inner { rng, chances, asked: HashMap::new() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next call of this name, such as `sink.commit`, fails like this.
    pub fn ask(&self, call: &'static str, failure: Failure) {
        self.inner().asked.insert(call, failure);
    }

    /// From now on nothing fails by itself.
    pub fn clears_up(&self) {
        let mut inner = self.inner();
        inner.chances = Chances { late: inner.chances.late, ..Chances::default() };
    }

    /// A number below `limit`; 0 for 0.
    pub fn below(&self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.inner().rng.random_range(0..limit) }
    }

    /// The start of a call: waits as long as it is late, and may fail.
    pub(crate) async fn before(&self, call: &'static str) -> Result<()> {
        let late = {
            let mut inner = self.inner();
            let most = u64::try_from(inner.chances.late.as_micros()).unwrap_or(u64::MAX);
            // Most answers come at once, and some when nobody waits for them any more.
            let most = match inner.rng.random_range(0..16) {
                0 => most * 8,
                1..4 => most,
                _ => 0,
            };
            Duration::from_micros(inner.rng.random_range(0..=most))
        };
        if !late.is_zero() {
            tokio::time::sleep(late).await;
        }
        self.may_fail(call, Failure::Before)
    }

    /// The end of a call that did its work.
    pub(crate) fn after(&self, call: &'static str) -> Result<()> {
        self.may_fail(call, Failure::After)
    }

    fn may_fail(&self, call: &'static str, failure: Failure) -> Result<()> {
        let mut inner = self.inner();
        let chance = match failure {
            Failure::Before => inner.chances.before,
            Failure::After => inner.chances.after,
        };
        let asked = inner.asked.get(call) == Some(&failure);
        if asked {
            inner.asked.remove(call);
        }
        if !asked && inner.rng.random_range(0..1000) >= chance {
            return Ok(());
        }
        let when = if failure == Failure::Before { "before" } else { "after" };
        Err(Error::new(Code::Unreachable, format!("the connection broke {when} {call}"))
            .at("memory"))
    }
}
