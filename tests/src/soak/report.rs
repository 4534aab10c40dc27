//! What a soak has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::faults::Fault;

/// Counts and times.
#[derive(Debug, Default)]
pub struct Report {
    /// Where chance began.
    pub seed: u64,
    /// Comparisons of all tables, each of which was equal.
    pub compared: u64,
    /// Transactions of the source that were confirmed.
    pub transactions: u64,
    /// Rows written and removed at the targets.
    pub rows: u64,
    /// Wall time.
    pub took: Duration,
    /// From a fault until the target has what the source had then, under load.
    pub caught_up: Vec<Duration>,
    /// The schemas.
    pub worlds: BTreeSet<&'static str>,
    faults: BTreeMap<&'static str, u64>,
    kills: u64,
}

impl Report {
    pub(super) fn of(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(super) fn count(&mut self, fault: &Fault) {
        *self.faults.entry(fault.name()).or_default() += 1;
        self.kills += fault.kills();
    }

    /// Faults that ended a process or sessions.
    pub fn kills(&self) -> u64 {
        self.kills
    }

    /// The time in which so many per cent had caught up.
    fn quantile(&self, percent: usize) -> Duration {
        let mut times = self.caught_up.clone();
        times.sort_unstable();
        let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(at).copied().unwrap_or_default()
    }

    /// The state of affairs.
    pub fn line(&self) -> String {
        format!(
            "{} kills, {} faults, caught up again p50 {:.1} s, p99 {:.1} s",
            self.kills,
            self.faults.values().sum::<u64>(),
            self.quantile(50).as_secs_f64(),
            self.quantile(99).as_secs_f64(),
        )
    }
}

/// As a table of Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.values().sum();
        let minutes = self.took.as_secs_f64() / 60.0;
        let worlds: Vec<_> = self.worlds.iter().copied().collect();
        writeln!(f, "| | |\n|---|---:|")?;
        writeln!(f, "| seed | {} |", self.seed)?;
        writeln!(f, "| time | {minutes:.0} min |")?;
        writeln!(f, "| kills survived | {} |", self.kills)?;
        writeln!(f, "| faults in all | {faults} |")?;
        writeln!(f, "| transactions of the source | {} |", self.transactions)?;
        writeln!(f, "| rows written and removed at the targets | {} |", self.rows)?;
        writeln!(f, "| comparisons of all tables, all of them equal | {} |", self.compared)?;
        writeln!(f, "| schemas | {} |", worlds.join(", "))?;
        let (p50, p99) = (self.quantile(50).as_secs_f64(), self.quantile(99).as_secs_f64());
        writeln!(f, "| from a fault until level with the source of then, p50 | {p50:.1} s |")?;
        writeln!(f, "| the same, p99 | {p99:.1} s |")?;
        writeln!(f, "\n| fault | times |\n|---|---:|")?;
        for (name, count) in &self.faults {
            writeln!(f, "| {name} | {count} |")?;
        }
        Ok(())
    }
}
