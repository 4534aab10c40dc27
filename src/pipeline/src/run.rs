//! The run: one attempt after the other, each from the ledger's position.
//!
//! ```text
//!  ledger ─position─▶ stream ─▶ Follower ─segments─▶ applier ─▶ sink
//!                                  ▲
//!                        Backfill ─┘ chunks
//! ```
//!
//! Whatever goes wrong ends the attempt: the target rolls back what was not committed, and the next
//! attempt starts from the position that the ledger has. There is no other state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regraft_core::contract::{ChangeStream, ChunkReader, Connectors, Ledger, Phase, Sentinel};
use regraft_core::segment::Route;
use regraft_core::verify::Verifier;
use regraft_core::{Code, Error, Kind, Mark, Position, Result, Watermarks};
use regraft_telemetry::record;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::applier::Applier;
use crate::backfill::Backfill;
use crate::follow::{ChunkMessage, Followed, Follower, Ports, Start};
use crate::plan::{Options, Plan};
use crate::progress::Progress;
use crate::refused::Refusals;
use crate::verify::{Verify, Watch};

/// First and longest wait between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// An attempt that lived this long starts the back-off anew.
const HEALTHY_ATTEMPT: Duration = Duration::from_secs(10);
/// A run until caught up gives up after this long without a connection.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// What the applier gets to finish its commit when told to stop.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// What noting an error in the ledger may take.
const NOTE_TIME: Duration = Duration::from_secs(5);
/// Between looks at the catalogues: so many times as long as the last one took, within these bounds.
const LOOK_SHARE: u32 = 300;
const RESHAPED_SHARE: u32 = 10;
const LOOK_PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// Chunk messages in flight; data is bounded by the number of readers.
const CHUNK_MESSAGES: usize = 64;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was told to stop.
    Stopped,
    /// Everything is copied, and the source's position of that moment is in the target.
    CaughtUp,
    /// Something that the mapping stands on is not the same, and it is said how to go on: the plan has to
    /// be made again.
    PlanAgain,
    /// Another daemon has changed the plan while this one waited: it has to be made again, if it still can be.
    OtherPlan,
}

/// Runs the pipeline until told to stop, caught up (where asked for), or an error that a person has to
/// look at.
///
/// # Errors
/// Errors that trying again cannot mend. Others hold the pipeline and are tried again with back-off;
/// with [`Options::until_caught_up`] only unavailable servers are waited for, and not for ever.
pub async fn run<C: Connectors>(
    connectors: &mut C,
    plan: &mut Plan,
    options: &Options,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<Ending> {
    let ending = attempts(connectors, plan, options, progress, cancel).await;
    // A daemon that ran gives its lock back, and that says it; one that waited has none.
    if ending.is_ok() && progress.phase() == Phase::Held {
        note(connectors, None, Phase::Stopped).await;
    }
    ending
}

async fn attempts<C: Connectors>(
    connectors: &mut C,
    plan: &mut Plan,
    options: &Options,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<Ending> {
    let mut wait = BACKOFF.0;
    let mut failing_since = None;
    // What two rows have in common is mended by a later transaction: both have to be in one batch.
    let mut whole = false;
    let refusals = Refusals::default();
    loop {
        let started = Instant::now();
        let before = (progress.status().position, progress.chunks());
        let error =
            match attempt(connectors, plan, options, (whole, &refusals), progress, cancel).await {
                Ok(ending) => return Ok(ending),
                Err(_) if cancel.is_cancelled() => return Ok(Ending::Stopped),
                Err(error) => connectors.explain(error),
            };
        // A link that breaks again and again still moves: it is taken up at once.
        let moved = (progress.status().position, progress.chunks()) != before;
        // What a chunk of existing rows is refused for says nothing of the stream, which may well have moved.
        let waits_alone = refusals.take(&error);
        let moved = if error.chunk().is_some() { waits_alone } else { moved };
        if started.elapsed() >= HEALTHY_ATTEMPT || moved {
            (wait, failing_since) = (BACKOFF.0, None);
        }
        let since = *failing_since.get_or_insert(started);
        progress.set_error(&error);
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
        if replanned || answerable && answered(connectors, &error).await {
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
            note(connectors, Some(&error), Phase::Stopped).await;
            return Err(error);
        }
        progress.set_phase(Phase::Held);
        note(connectors, Some(&error), Phase::Held).await;
        record::reconnect(&error);
        tracing::warn!(
            wait_ms = wait.as_millis() as u64,
            "the pipeline stopped and is tried again: {error:#}"
        );
        tokio::select! {
            () = cancel.cancelled() => return Ok(Ending::Stopped),
            resumed = pause(connectors.sentinel(), wait, drifted) => if resumed {
                return Ok(Ending::PlanAgain);
            }
        }
        wait = (wait * 2).min(BACKOFF.1);
    }
}

async fn attempt<C: Connectors>(
    connectors: &mut C,
    plan: &mut Plan,
    options: &Options,
    (whole, refusals): (bool, &Refusals),
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<Ending> {
    // Connect, in the order in which a mistake is cheapest.
    let connect = async {
        let mut sentinel = connectors.sentinel();
        let (guarded, ledger) = tokio::join!(sentinel.guard(), connectors.ledger());
        guarded?;
        let mut ledger = ledger?;
        let mut state = ledger.load().await?;
        let sink = connectors.sink().await?;
        let mut planner = connectors.reader();
        let readers: Vec<_> = (0..options.readers).map(|_| connectors.reader()).collect();
        let verifier = match options.verify {
            Some(verify) => Some((connectors.verifier().await?, verify)),
            None => None,
        };
        let stream = connectors.stream(&state.position).await?;
        let watermarks = Watermarks::of_attempt(&plan.name);
        let settle_below = planner.mark(&watermarks.write(Mark::Start)).await?;
        let verifier = verifier
            .map(|(verifier, verify)| (verifier, (planner.beside(), connectors.reader()), verify));
        // Before a row moves.
        state.mending.extend(sentinel.look().await?);
        Ok::<_, Error>((
            (ledger, state, sink, planner, readers),
            (verifier, stream, watermarks, settle_below, sentinel),
        ))
    };
    let (
        (mut ledger, state, sink, planner, readers),
        (verifier, stream, watermarks, settle_below, sentinel),
    ) = tokio::select! {
        () = cancel.cancelled() => return Ok(Ending::Stopped),
        connected = connect => connected?,
    };
    progress.loaded(&state);
    if !progress.is_held() {
        // Of an earlier daemon.
        ledger.last_error(None).await?;
    }
    tracing::info!(position = %state.position, "following the source");

    // Start the applier and the backfill.
    let attempt_over = cancel.child_token();
    let (segments, segments_rx) = mpsc::channel(1);
    let (durable_tx, durable) = watch::channel(None);
    let (committed_tx, committed) = mpsc::unbounded_channel();
    let (follower_tx, chunks) = mpsc::channel(CHUNK_MESSAGES);
    let applier = Applier::new(sink, durable_tx, committed_tx, Arc::clone(progress));
    let applier = tokio::spawn(applier.run(segments_rx));
    let resumed = Arc::new(Notify::new());
    let backfill = Backfill {
        ledger,
        planner,
        readers,
        follower: follower_tx,
        committed,
        options: options.clone(),
        progress: Arc::clone(progress),
        refusals: refusals.clone(),
        watermarks: watermarks.clone(),
        resumed: Arc::clone(&resumed),
        cancel: attempt_over.clone(),
    };
    let verify = verifier.map(|(verifier, (marker, reader), options)| Verify {
        statements: watches(plan, &verifier),
        verifier,
        marker,
        reader,
        follower: backfill.follower.clone(),
        options,
        progress: Arc::clone(progress),
        traces: plan.traces.clone(),
        watermarks: watermarks.clone(),
        cancel: attempt_over.clone(),
        range_limits: Default::default(),
        told: None,
    });
    let mut verify = AbortOnDropHandle::new(tokio::spawn(async move {
        match verify {
            Some(verify) => verify.run().await,
            None => std::future::pending().await,
        }
    }));
    let reshaped = Arc::new(Notify::new());
    let looking = look(sentinel, Arc::clone(&reshaped), backfill.follower.clone());
    let mut looks = AbortOnDropHandle::new(tokio::spawn(looking));
    let begun = backfill.begin(&plan.tables, &state);
    let mut backfill = AbortOnDropHandle::new(tokio::spawn(backfill.run(begun)));
    let mut applier = AbortOnDropHandle::new(applier);
    // Follow. The first of the tasks that ends, ends the attempt.
    let cancel_follower = attempt_over.clone();
    let ports =
        Ports { segments, durable: durable.clone(), chunks, reshaped, cancel: cancel_follower };
    let start = Start { ledger: &state, watermarks: &watermarks, whole, settle_below };
    let follower = Follower::new(plan, options, Arc::clone(progress), stream, ports, &start);
    let followed = tokio::select! {
        followed = follower.run() => followed.map(Some),
        result = &mut backfill => Err(ended(result)),
        result = &mut verify => Err(ended(result)),
        result = &mut looks => Err(ended(result)),
        () = resumed.notified() => Ok(None),
    };
    attempt_over.cancel();
    drop((backfill, verify, looks));
    let (followed, stream) = match followed {
        Ok(Some(followed)) => followed,
        ended => {
            // What was sent before is applied; only what is at fault waits.
            drop(tokio::time::timeout(STOP_GRACE, &mut applier).await);
            return ended.map(|_| Ending::PlanAgain);
        }
    };

    // Finish: what was sent is committed and durable, then acknowledged.
    match followed {
        Followed::ApplierGone if !cancel.is_cancelled() => Err(ended((&mut applier).await)),
        Followed::ApplierGone | Followed::Stopped => {
            // A large transaction that is under way is given up: it is applied at the next start.
            if let Ok(result) = tokio::time::timeout(STOP_GRACE, &mut applier).await {
                flatten(result)?;
            }
            close(stream, &durable).await?;
            Ok(Ending::Stopped)
        }
        Followed::CaughtUp => {
            flatten((&mut applier).await)?;
            close(stream, &durable).await?;
            Ok(Ending::CaughtUp)
        }
    }
}

/// Looks whether what the mapping stands on is the same: soon after the stream has told a shape, and from
/// time to time, so that it costs the servers little however much there is to look at. Whether the
/// application may write is looked at more often.
async fn look<S: Sentinel>(
    mut sentinel: S,
    reshaped: Arc<Notify>,
    follower: mpsc::Sender<ChunkMessage>,
) -> Result<()> {
    loop {
        let begun = Instant::now();
        let mending = sentinel.look().await?;
        if !mending.is_empty() && follower.send(ChunkMessage::Mending(mending)).await.is_err() {
            return std::future::pending().await;
        }
        let took = begun.elapsed();
        // Shapes are told in series.
        tokio::time::sleep(took * RESHAPED_SHARE).await;
        let next = Instant::now() + (took * LOOK_SHARE).clamp(LOOK_PAUSE.0, LOOK_PAUSE.1);
        while Instant::now() < next {
            let pause = next.saturating_duration_since(Instant::now()).min(LOOK_PAUSE.0);
            if tokio::time::timeout(pause, reshaped.notified()).await.is_ok() {
                break;
            }
            sentinel.guard().await?;
        }
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
async fn answered<C: Connectors>(connectors: &mut C, error: &Error) -> bool {
    let answer = tokio::time::timeout(NOTE_TIME, connectors.answer(error)).await;
    match answer {
        Ok(Ok(answered)) => answered,
        Ok(Err(failed)) => {
            tracing::debug!("the drift could not be answered: {failed:#}");
            false
        }
        Err(_) => false,
    }
}

/// The statements, as they are verified.
fn watches(plan: &Plan, verifier: &impl Verifier) -> Vec<Watch> {
    let watch = |(at, route): (usize, &Route)| {
        let (owner, key) = verifier.layout(at);
        Watch {
            table: plan.table(&route.source).unwrap_or_default(),
            source: route.source.clone(),
            target: route.target.clone(),
            owner,
            key,
        }
    };
    plan.routes.iter().enumerate().map(watch).collect()
}

/// Acknowledges what is durable, and ends the stream.
async fn close<S: ChangeStream>(
    stream: S,
    durable: &watch::Receiver<Option<Position>>,
) -> Result<()> {
    let durable = durable.borrow().clone();
    if let Some(position) = durable {
        stream.acknowledge(position);
    }
    stream.close().await
}

/// Best effort: `regraft status` shows what the daemon's log says.
async fn note<C: Connectors>(connectors: &mut C, error: Option<&Error>, phase: Phase) {
    let note = async {
        let mut ledger = connectors.ledger().await?;
        if error.is_some() {
            ledger.last_error(error).await?;
        }
        ledger.phase(phase).await
    };
    let limit = if error.is_some() { NOTE_TIME } else { STOP_GRACE / 3 };
    if let Ok(Err(failed)) = tokio::time::timeout(limit, note).await {
        tracing::debug!("this could not be noted in the ledger: {failed:#}");
    }
}

fn flatten(result: std::result::Result<Result<()>, JoinError>) -> Result<()> {
    result.map_err(|error| {
        Error::new(Code::Internal, "a task of the pipeline ended unexpectedly").because(error)
    })?
}

/// The error of a task that should not have ended.
fn ended(result: std::result::Result<Result<()>, JoinError>) -> Error {
    flatten(result).err().unwrap_or_else(|| {
        Error::new(Code::Internal, "a task of the pipeline ended without an error")
    })
}
