//! Which statement's sweep goes on next, and when.
//!
//! What changed, or was not compared for long, is compared at the rate of the settings. Of a statement whose
//! source table nothing happened to since its last sweep began, the target only can have become another: that
//! is looked for at a small share of the rate, so that a pipeline with nothing to do costs next to nothing.

use std::time::Duration;
use tokio::time::Instant;

use crate::plan::VerifyOptions;

/// The rate of the settings is so many times that at which statements at rest are compared.
const RESTING: u32 = 50;
/// From the beginning of a sweep to that of the next one, at least: so long where the source may be busy with
/// it all the time, longer where it may not.
const BETWEEN: Duration = Duration::from_millis(500);
const BETWEEN_CHANGED: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Pace {
    statements: Vec<Swept>,
    /// When the next range may be compared: of a statement that waits for it, and of one at rest.
    next: [Instant; 2],
}

#[derive(Clone, Copy)]
struct Swept {
    /// Changes of the source table when the sweep under way began, and when the last whole one did.
    touched: [Option<u64>; 2],
    begun: Option<Instant>,
}

/// What there is to know of a statement.
pub(super) struct Now {
    /// Changes of its source table.
    pub(super) touched: u64,
    /// How old the oldest evidence is.
    pub(super) age: Duration,
    /// A sweep is under way.
    pub(super) under_way: bool,
}

impl Pace {
    pub(super) fn new(statements: usize, now: Instant) -> Self {
        let swept = Swept { touched: [None; 2], begun: None };
        Self { statements: vec![swept; statements], next: [now; 2] }
    }

    /// It changed since it was compared, or that was too long ago.
    pub(super) fn waits(&self, at: usize, now: &Now, options: &VerifyOptions) -> bool {
        self.statements[at].touched[1] != Some(now.touched) || now.age > options.due
    }

    /// A range of it may be compared now.
    pub(super) fn may(&self, at: usize, now: &Now, options: &VerifyOptions, time: Instant) -> bool {
        let waits = self.waits(at, now, options);
        let between = if waits { BETWEEN_CHANGED } else { BETWEEN };
        let rested = self.statements[at].begun.is_none_or(|begun| {
            time.saturating_duration_since(begun) >= options.stretched(between)
        });
        (now.under_way || rested) && self.next[usize::from(!waits)] <= time
    }

    /// A sweep begins.
    pub(super) fn begins(&mut self, at: usize, touched: u64, time: Instant) {
        let swept = &mut self.statements[at];
        swept.touched[0] = Some(touched);
        swept.begun = Some(time);
    }

    /// A range was compared, from `begun` on.
    pub(super) fn compared(&mut self, begun: Instant, pause: Duration) {
        self.next = [begun + pause, begun + pause * RESTING];
    }

    /// The last range of a sweep was.
    pub(super) fn ends(&mut self, at: usize) {
        let swept = &mut self.statements[at];
        swept.touched[1] = swept.touched[0];
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const OPTIONS: VerifyOptions = VerifyOptions {
        enabled: true,
        rows_per_second: 5_000,
        source_share: 0.1,
        chunk_rows: 5_000,
        repairs_per_hour: None,
        due: Duration::from_secs(3600),
        since: SystemTime::UNIX_EPOCH,
    };
    const SECOND: Duration = Duration::from_secs(1);

    fn now(touched: u64, age: Duration) -> Now {
        Now { touched, age, under_way: false }
    }

    #[test]
    fn what_was_never_compared_waits_for_it() {
        let begin = Instant::now();
        let pace = Pace::new(1, begin);
        assert!(pace.waits(0, &now(0, SECOND), &OPTIONS));
        assert!(pace.may(0, &now(0, SECOND), &OPTIONS, begin));
    }

    #[test]
    fn what_did_not_change_rests_until_it_is_old_or_changes() {
        let begin = Instant::now();
        let mut pace = Pace::new(2, begin);
        for at in [0, 1] {
            pace.begins(at, 7, begin);
            pace.compared(begin, SECOND / 10);
            pace.ends(at);
        }
        let may = |now: &Now, after: Duration| pace.may(0, now, &OPTIONS, begin + after);
        // Nothing happened: after five seconds, at a fiftieth of the rate.
        assert!(!may(&now(7, SECOND), 4 * SECOND));
        assert!(may(&now(7, SECOND), 6 * SECOND));
        // Something did.
        assert!(may(&now(8, SECOND), SECOND));
        // It was long ago.
        assert!(may(&now(7, OPTIONS.due + SECOND), SECOND));
    }

    #[test]
    fn many_statements_at_rest_share_the_rate() {
        let begin = Instant::now();
        let mut pace = Pace::new(2, begin);
        pace.begins(0, 0, begin);
        pace.ends(0);
        pace.compared(begin + 10 * SECOND, SECOND);
        assert!(!pace.may(0, &now(0, SECOND), &OPTIONS, begin + 59 * SECOND));
        assert!(pace.may(0, &now(0, SECOND), &OPTIONS, begin + 60 * SECOND));
        // What changed need not wait for it.
        assert!(pace.may(1, &now(0, SECOND), &OPTIONS, begin + 11 * SECOND));
    }
}
