//! Progress for the person who watches: a bar on a terminal, log lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use regraft_core::contract::Phase;
use regraft_pipeline::{Progress, Status};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

const DRAW: Duration = Duration::from_millis(250);
const LOG: Duration = Duration::from_secs(10);
/// While the target follows there is little news; the metrics have it.
const LOG_STREAMING: Duration = Duration::from_secs(300);

/// Watches until cancelled.
pub(crate) fn spawn(progress: Progress, drawn: bool, cancel: CancellationToken) -> JoinHandle<()> {
    let watch = async move {
        let bar = drawn.then(bar);
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
            rate.add(&status);
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
    };
    tokio::spawn(watch.in_current_span())
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
        left(status),
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
        position = status.position.as_ref().map(tracing::field::display),
        rows_per_second,
        chunks_done = done,
        chunks_expected = total,
        lag_bytes = status.lag_bytes,
        lag_seconds = status.lag_seconds,
        "progress"
    );
}

/// Time left of the copy.
fn left(status: &Status) -> String {
    let left = status.copy_seconds_left.filter(|_| status.phase == Phase::Backfill);
    left.map_or_else(String::new, |left| format!("  about {left:.0} s left"))
}

/// Rows written per second, over the time since the last looks.
#[derive(Default)]
struct Rate {
    last: Option<(Instant, u64)>,
    rows_per_second: f64,
}

impl Rate {
    #[allow(clippy::cast_precision_loss, reason = "shown with a few digits")]
    fn add(&mut self, status: &Status) {
        let rows = status.tables.iter().map(|table| table.rows + table.deleted).sum();
        let now = Instant::now();
        if let Some((then, before)) = self.last {
            let seconds = now.duration_since(then).as_secs_f64();
            let rate = (rows - before) as f64 / seconds.max(1e-3);
            self.rows_per_second = self.rows_per_second * 0.7 + rate * 0.3;
        }
        self.last = Some((now, rows));
    }
}
