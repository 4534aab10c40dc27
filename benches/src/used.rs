//! What servers use of the processors, from /proc.

use std::time::{Duration, Instant};

use regraft_throwaway::Cluster;

use crate::report::Way;

/// Servers and pipelines come to rest within it.
pub(crate) const REST: Duration = Duration::from_secs(2);
/// `src/include/linux`: `USER_HZ` of every architecture that PostgreSQL is packaged for.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the processes of a cluster have used of the processors, and since when.
pub(crate) struct Used {
    seconds: Option<f64>,
    at: Instant,
}

impl Used {
    pub(crate) fn by(cluster: &Cluster) -> Self {
        Self { seconds: cluster.pid().and_then(cpu_seconds), at: Instant::now() }
    }

    /// Notes the processor time as what was measured.
    pub(crate) fn seconds_until_now(&self, cluster: &Cluster, way: &mut Way) {
        let now = cluster.pid().and_then(cpu_seconds);
        way.seconds.extend(now.zip(self.seconds).map(|(now, then)| now - then));
        way.busy.extend(way.seconds.last().map(|used| used / self.at.elapsed().as_secs_f64()));
    }

    pub(crate) async fn until_now(&self, cluster: &Cluster, way: &mut Way) {
        let elapsed = self.at.elapsed().as_secs_f64();
        // A backend that is about to end is neither a child nor counted with the postmaster.
        tokio::time::sleep(REST).await;
        let now = cluster.pid().and_then(cpu_seconds);
        way.seconds.push(elapsed);
        way.busy.extend(now.zip(self.seconds).map(|(now, then)| (now - then) / elapsed));
    }
}

/// Processor time of a postmaster, of its children, and of those that have ended; `None` where there is
/// no /proc.
fn cpu_seconds(postmaster: u32) -> Option<f64> {
    let ticks = |pid: u32| -> Option<(u32, u64)> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program, in parentheses, may hold spaces.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // The children of a backend are none; those of the postmaster are counted once they have ended.
        let used = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Some((fields.get(1)?.parse().ok()?, used))
    };
    let mut all = ticks(postmaster)?.1;
    for entry in std::fs::read_dir("/proc").ok()? {
        let pid = entry.ok()?.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some((parent, used)) = pid.and_then(ticks)
            && parent == postmaster
        {
            all += used;
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "hundredths of seconds")]
    Some(all as f64 / TICKS_PER_SECOND)
}
