//! How long transactions took from the source to the target.

use std::time::Duration;

use serde::Serialize;

/// Time from the commit at the source to the commit at the target, over all transactions.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LagSummary {
    /// Half of the transactions took at most this many seconds.
    pub p50: f64,
    /// 99 % of the transactions took at most this many seconds.
    pub p99: f64,
}

/// Counts of durations in buckets that grow by 5 %, from 0.1 ms to about 100 days.
#[derive(Default)]
pub(super) struct LagHistogram {
    buckets: Vec<u64>,
    count: u64,
}

const FIRST_BUCKET_SECONDS: f64 = 1e-4;
const BUCKET_GROWTH: f64 = 1.05;

impl LagHistogram {
    pub(super) fn add(&mut self, lag: Duration) {
        let steps = (lag.as_secs_f64() / FIRST_BUCKET_SECONDS).max(1.0).log(BUCKET_GROWTH);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 500"
        )]
        let bucket = steps.min(500.0) as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
    }

    /// What is shown of it.
    pub(super) fn summary(&self) -> LagSummary {
        LagSummary { p50: self.quantile(0.5), p99: self.quantile(0.99) }
    }

    /// Upper edge, in seconds, of the bucket in which the quantile lies.
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn quantile(&self, q: f64) -> f64 {
        let wanted = self.count as f64 * q;
        let mut seen = 0.0;
        let mut edge = FIRST_BUCKET_SECONDS;
        for &count in &self.buckets {
            seen += count as f64;
            edge *= BUCKET_GROWTH;
            if seen >= wanted && seen > 0.0 {
                return edge;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket() {
        let mut lag = LagHistogram::default();
        assert!(lag.quantile(0.5).abs() < f64::EPSILON);
        (1..=1000).for_each(|ms| lag.add(Duration::from_millis(ms)));
        assert!((0.5..0.53).contains(&lag.quantile(0.5)), "{}", lag.quantile(0.5));
        assert!((0.99..1.05).contains(&lag.quantile(0.99)), "{}", lag.quantile(0.99));
    }
}
