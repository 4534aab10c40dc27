//! How far the target is behind, as it is measured: the end of the source's log is asked for again and
//! again, and each answer is kept until the target has everything up to there.

use std::collections::VecDeque;
use std::time::Duration;

use regraft_core::Position;
use tokio::time::Instant;

/// Marks that are kept; beyond them every second one is forgotten.
const MARKS_MAX: usize = 1024;
/// The end of the log is asked for twice a second: an answer that is older than this is old.
const STALE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Default)]
pub(crate) struct Lag {
    /// The end of the source's log, as it was last heard of.
    end: Option<Position>,
    /// Ends that were measured, and that the target has not reached yet.
    marks: VecDeque<(Position, Instant)>,
    measured: Option<Instant>,
    level: bool,
}

impl Lag {
    /// The source's log ends here, at least.
    pub(crate) fn heard(&mut self, end: Position) {
        if !self.end.as_ref().is_some_and(|known| known.covers(&end)) {
            self.end = Some(end);
        }
    }

    /// The source's log ended here at that time; the target has everything up to `reached`.
    pub(crate) fn measured(&mut self, end: Position, reached: Option<&Position>, at: Instant) {
        self.heard(end.clone());
        self.measured = Some(at);
        if self.marks.len() >= MARKS_MAX {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.marks.push_back((end, at));
        if let Some(reached) = reached {
            self.reached(reached);
        }
    }

    /// The target has everything up to here.
    pub(crate) fn reached(&mut self, position: &Position) {
        while self.marks.front().is_some_and(|(end, _)| position.covers(end)) {
            self.marks.pop_front();
            self.level |= self.marks.is_empty();
        }
    }

    /// The target has had everything that was in the source at some moment since this began.
    pub(crate) fn was_level(&self) -> bool {
        self.level
    }

    /// Bytes of the source's log that the target has not; `None` as long as nothing was measured, and where the
    /// log does not count in bytes.
    pub(crate) fn bytes(&self, reached: Option<&Position>) -> Option<u64> {
        self.measured?;
        self.end.as_ref()?.bytes_since(reached?)
    }

    /// For how long something has been in the source's log that is not in the target, about; for how
    /// long the source has not been heard of, where that is more. `first` is the answer for what was
    /// pending before anything was measured. `None` as long as nothing was measured.
    pub(crate) fn time(&self, now: Instant, first: Option<Duration>) -> Option<Duration> {
        let since = |then: Instant| now.saturating_duration_since(then);
        let silent = since(self.measured?);
        let pending = self.marks.front().map(|(_, at)| since(*at));
        let before = first.filter(|_| !self.level && pending.is_some());
        let silent = Some(silent).filter(|silent| *silent > STALE);
        Some(pending.max(before).max(silent).unwrap_or_default())
    }
}

/// How far the target is.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    /// Everything up to here is in the target.
    pub(crate) position: Position,
    /// The source has nothing for this pipeline from there up to here.
    idle: Option<Position>,
}

impl Reached {
    pub(crate) fn at(position: Position) -> Self {
        Self { position, idle: None }
    }

    /// The source has nothing between `after` and `idle`. False when not everything before that is in the
    /// target yet.
    pub(crate) fn idle_at(&mut self, after: &Position, idle: &Position) -> bool {
        let all = self.position.covers(after);
        if all {
            self.idle = Some(idle.clone());
        }
        all
    }

    /// Nothing is pending up to here, which may be ahead of the last commit.
    pub(crate) fn upto(&self) -> &Position {
        let beyond = |idle: &&Position| idle.covers(&self.position);
        self.idle.as_ref().filter(beyond).unwrap_or(&self.position)
    }
}

#[cfg(test)]
mod tests {
    use regraft_core::Lsn;

    use super::*;

    fn at(lsn: u64) -> Position {
        Position::Lsn(Lsn(lsn))
    }

    #[test]
    fn nothing_is_known_before_it_is_measured() {
        let mut lag = Lag::default();
        lag.heard(at(10));
        assert_eq!(lag.bytes(Some(&at(5))), None);
        assert_eq!(lag.time(Instant::now(), None), None);
        assert!(!lag.was_level());
    }

    #[test]
    fn it_is_the_age_of_the_oldest_end_that_is_not_reached() {
        let begin = Instant::now();
        let second = |s| begin + Duration::from_secs(s);
        let mut lag = Lag::default();
        lag.measured(at(100), Some(&at(50)), second(0));
        lag.measured(at(200), Some(&at(50)), second(1));
        assert_eq!(lag.bytes(Some(&at(50))), Some(150));
        assert_eq!(lag.time(second(3), None), Some(Duration::from_secs(3)));
        // What was pending before is older than any measurement.
        let old = Some(Duration::from_secs(900));
        assert_eq!(lag.time(second(3), old), old);
        lag.reached(&at(150));
        assert!(!lag.was_level());
        assert_eq!(lag.time(second(3), None), Some(Duration::from_secs(2)));
        lag.reached(&at(200));
        assert!(lag.was_level());
        assert_eq!(lag.time(second(3), old), Some(Duration::ZERO));
    }

    #[test]
    fn a_source_that_is_not_heard_of_is_behind() {
        let begin = Instant::now();
        let mut lag = Lag::default();
        lag.measured(at(100), Some(&at(100)), begin);
        assert_eq!(lag.time(begin + Duration::from_secs(4), None), Some(Duration::ZERO));
        let later = Duration::from_secs(60);
        assert_eq!(lag.time(begin + later, None), Some(later));
    }

    #[test]
    fn a_night_of_marks_keeps_the_oldest() {
        let begin = Instant::now();
        let mut lag = Lag::default();
        for n in 0..50_000_u64 {
            lag.measured(at(100 + n), Some(&at(50)), begin + Duration::from_millis(n * 500));
        }
        assert!(lag.marks.len() <= MARKS_MAX);
        let now = begin + Duration::from_secs(25_000);
        assert_eq!(lag.time(now, None), Some(Duration::from_secs(25_000)));
        lag.reached(&at(50_100));
        assert!(lag.was_level());
    }
}
