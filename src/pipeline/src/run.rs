//! The run: one attempt after the other, each from the ledger's position.
//!
//! Whatever goes wrong ends the attempt: the target rolls back what was not committed, and the next
//! attempt starts from the position that the ledger has. There is no other state.

use std::time::Duration;

use regraft_core::contract::{Pair, Phase, Sentinel, Source, Target};
use regraft_core::{Code, Error, Kind, Result};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::{Before, Ending, Ends, LOOK_PAUSE, STOP_GRACE, attempt};
use crate::plan::{Options, Plan};
use crate::progress::Reporter;
use crate::refused::Refusals;

/// First and longest wait between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// An attempt that lived this long starts the back-off anew.
const HEALTHY_ATTEMPT: Duration = Duration::from_secs(10);
/// A run until caught up gives up after this long without a connection.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// What noting an error in the ledger may take.
const NOTE_TIME: Duration = Duration::from_secs(5);

/// Runs the pipeline until told to stop, caught up (where asked for), or an error that a person has to
/// look at.
///
/// # Errors
/// Errors that trying again cannot mend. Others hold the pipeline and are tried again with back-off;
/// with [`Options::until_caught_up`] only unavailable servers are waited for, and not for ever.
pub async fn run<S: Source, T: Target, P: Pair>(
    ends: &mut Ends<S, T, P>,
    plan: &mut Plan,
    options: &Options,
    reporter: &Reporter,
    cancel: &CancellationToken,
) -> Result<Ending> {
    let takes = ends.target.takes();
    let gives = ends.source.gives();
    for route in &plan.routes {
        takes.fits(route)?;
        let led_to = plan.traces.iter().any(|trace| trace.to == route.source);
        gives.fits(route, !led_to)?;
    }
    let mut held = false;
    let ending = attempts(ends, plan, options, reporter, cancel, &mut held).await;
    // A daemon that ran gives its lock back, and that says it; one that waited has none.
    if ending.is_ok() && held {
        note(&mut ends.target, None, Phase::Stopped).await;
    }
    ending
}

/// `held`: an error held the pipeline to the end.
async fn attempts<S: Source, T: Target, P: Pair>(
    ends: &mut Ends<S, T, P>,
    plan: &mut Plan,
    options: &Options,
    reporter: &Reporter,
    cancel: &CancellationToken,
    held: &mut bool,
) -> Result<Ending> {
    let mut wait = BACKOFF.0;
    let mut failing_since = None;
    let mut came = None;
    // What two rows have in common is mended by a later transaction: both have to be in one batch.
    let mut whole = false;
    let refusals = Refusals::default();
    loop {
        let started = Instant::now();
        let before = Before { whole, held: *held, refusals: &refusals };
        let attempt = attempt(ends, plan, options, &before, reporter, cancel).await;
        *held = attempt.held;
        let error = match attempt.ended {
            Ok(ending) => return Ok(ending),
            Err(_) if cancel.is_cancelled() => return Ok(Ending::Stopped),
            Err(error) => ends.pair.explain(error),
        };
        // A link that breaks again and again still moves: it is taken up at once.
        let moved = attempt.came.is_some() && attempt.came != came;
        came = attempt.came.or(came);
        // What a chunk of existing rows is refused for says nothing of the stream, which may well have moved.
        let waits_alone = refusals.take(&error);
        let moved = if error.chunk().is_some() { waits_alone } else { moved };
        if started.elapsed() >= HEALTHY_ATTEMPT || moved {
            (wait, failing_since) = (BACKOFF.0, None);
        }
        let since = *failing_since.get_or_insert(started);
        reporter.failed(&error);
        whole = error.code() == Code::DuplicateTargetKey || whole && !moved;
        let drifted = error.drift().is_some();
        // The daemon before this one held tables, or had them go on, while this one waited.
        if error.code() == Code::MappingChanged {
            tracing::warn!("the plan is made again: {error:#}");
            return Ok(Ending::OtherPlan);
        }
        let replanned = error.drift().is_some_and(|drifted| drifted.replanned);
        let answerable = drifted && !options.until_caught_up;
        if replanned {
            tracing::warn!("the plan is made again: {error:#}");
        }
        if replanned || answerable && answered(&mut ends.target, &error).await {
            return Ok(Ending::PlanAgain);
        }
        let tried_again = match error.kind() {
            Kind::Unavailable => !options.until_caught_up || since.elapsed() < PATIENCE,
            Kind::Refused => !options.until_caught_up,
            // Held at its position, it is as safe as one that ended.
            Kind::Unsafe | Kind::Usage => !options.until_caught_up && drifted,
            Kind::Internal => false,
        };
        if !tried_again {
            note(&mut ends.target, Some(&error), Phase::Stopped).await;
            return Err(error);
        }
        *held = true;
        reporter.phase(Phase::Held);
        note(&mut ends.target, Some(&error), Phase::Held).await;
        reporter.record().reconnect(&error);
        tracing::warn!(
            wait_ms = wait.as_millis() as u64,
            "the pipeline stopped and is tried again: {error:#}"
        );
        tokio::select! {
            () = cancel.cancelled() => return Ok(Ending::Stopped),
            resumed = pause(ends.pair.sentinel(), wait, drifted) => if resumed {
                return Ok(Ending::PlanAgain);
            }
        }
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// Waits until the next attempt; the application must be able to write meanwhile, too.
///
/// True when somebody has said meanwhile how to go on after a drift.
async fn pause<S: Sentinel>(mut sentinel: S, wait: Duration, drifted: bool) -> bool {
    let over = Instant::now() + wait;
    while Instant::now() < over {
        tokio::time::sleep(over.saturating_duration_since(Instant::now()).min(LOOK_PAUSE.0)).await;
        if wait > LOOK_PAUSE.0 {
            // Of what is found the next attempt tells.
            drop(sentinel.guard().await);
        }
        if drifted && sentinel.resumed().await {
            return true;
        }
    }
    false
}

/// Whether a drift was answered, so that the plan is to be made again.
async fn answered<T: Target>(target: &mut T, error: &Error) -> bool {
    let answer = tokio::time::timeout(NOTE_TIME, target.answer(error)).await;
    match answer {
        Ok(Ok(answered)) => answered,
        Ok(Err(failed)) => {
            tracing::debug!("the drift could not be answered: {failed:#}");
            false
        }
        Err(_) => false,
    }
}

/// Best effort: `regraft status` shows what the daemon's log says.
async fn note<T: Target>(target: &mut T, error: Option<&Error>, phase: Phase) {
    let limit = if error.is_some() { NOTE_TIME } else { STOP_GRACE / 3 };
    if let Ok(Err(failed)) = tokio::time::timeout(limit, target.note(error, phase)).await {
        tracing::debug!("this could not be noted in the ledger: {failed:#}");
    }
}
