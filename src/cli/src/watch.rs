//! Progress for the person who watches: a bar on a terminal, log lines elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use regraft_core::contract::Phase;
use regraft_pipeline::{Progress, Status};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const DRAW: Duration = Duration::from_millis(250);
const LOG: Duration = Duration::from_secs(10);
/// While the target follows there is little news; the metrics have it.
const LOG_STREAMING: Duration = Duration::from_secs(300);

/// Watches until cancelled.
pub(crate) fn spawn(progress: Arc<Progress>, cancel: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let bar = crate::run::on_terminal().then(bar);
        let mut rate = Rate::default();
        let mut tick = tokio::time::interval(if bar.is_some() { DRAW } else { LOG });
        tick.tick().await;
        let mut logged = (Phase::Starting, Instant::now());
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                _ = tick.tick() => {}
            }
            let status = progress.status();
            let chunks = progress.chunks();
            rate.add(&status, chunks.0);
            match &bar {
                Some(bar) => draw(bar, &status, chunks, &rate),
                None => {
                    let quiet = status.phase == Phase::Streaming && logged.0 == status.phase;
                    if !quiet || logged.1.elapsed() >= LOG_STREAMING {
                        log(&status, chunks, &rate);
                        logged = (status.phase, Instant::now());
                    }
                }
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    })
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{prefix:>12} {bar:30} {pos}/{len} chunks  {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn draw(bar: &ProgressBar, status: &Status, (done, total): (u64, u64), rate: &Rate) {
    bar.set_prefix(status.phase.as_str());
    bar.set_length(total);
    bar.set_position(done);
    bar.set_message(format!(
        "{:.0} rows/s{}  lag {}",
        rate.rows_per_second,
        rate.left(status.phase, done, total),
        match (status.lag_seconds, status.lag_bytes) {
            (Some(seconds), Some(bytes)) => format!("{seconds:.1} s, {bytes} bytes"),
            _ => "not known yet".to_owned(),
        }
    ));
}

fn log(status: &Status, (done, total): (u64, u64), rate: &Rate) {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is small and positive"
    )]
    let rows_per_second = rate.rows_per_second as u64;
    tracing::info!(
        phase = status.phase.as_str(),
        position = status.position.map(tracing::field::display),
        rows_per_second,
        chunks_done = done,
        chunks_expected = total,
        lag_bytes = status.lag_bytes,
        lag_seconds = status.lag_seconds,
        "progress"
    );
}

/// Rows written and chunks done per second, over the time since the last look and since the start.
#[derive(Default)]
struct Rate {
    last: Option<(Instant, u64)>,
    /// When, and with how many chunks done.
    started: Option<(Instant, u64)>,
    rows_per_second: f64,
}

impl Rate {
    #[allow(clippy::cast_precision_loss, reason = "shown with a few digits")]
    fn add(&mut self, status: &Status, chunks_done: u64) {
        let rows = status.tables.iter().map(|table| table.rows + table.deleted).sum();
        let now = Instant::now();
        self.started.get_or_insert((now, chunks_done));
        if let Some((then, before)) = self.last {
            let seconds = now.duration_since(then).as_secs_f64();
            let rate = (rows - before) as f64 / seconds.max(1e-3);
            self.rows_per_second = self.rows_per_second * 0.7 + rate * 0.3;
        }
        self.last = Some((now, rows));
    }

    /// Time left of the backfill, from the chunks done so far by this daemon.
    #[allow(clippy::cast_precision_loss, reason = "shown in whole seconds")]
    fn left(&self, phase: Phase, done: u64, total: u64) -> String {
        let Some((started, before)) = self.started.filter(|_| phase == Phase::Backfill) else {
            return String::new();
        };
        if done <= before {
            return String::new();
        }
        let each = started.elapsed().as_secs_f64() / (done - before) as f64;
        format!("  about {:.0} s left", each * (total - done.min(total)) as f64)
    }
}
