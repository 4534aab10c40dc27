//! One attempt: from the ledger's position to the first error, or to the end of the run.
//!
//! ```text
//!  ledger ─position─▶ stream ─▶ Follower ─segments─▶ applier ─▶ sink
//!                                  ▲
//!                        Backfill ─┘ chunks
//! ```

use std::sync::Arc;
use std::time::Duration;

use regraft_core::contract::{
    ChangeStream, ChunkReader, Ledger, LedgerState, Opened, Pair, Phase, Sentinel, Source, Target,
};
use regraft_core::segment::Route;
use regraft_core::verify::Verifier;
use regraft_core::{Code, Error, Form, Mark, Position, Result, Watermarks};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::applier::{self, Applier};
use crate::backfill::Backfill;
use crate::between::{Changes, Copied, Trouble};
use crate::fold::log::Log;
use crate::fold::net::Net;
use crate::follow::{ChunkMessage, Followed, Follower, Ports, Start};
use crate::lag::Reached;
use crate::plan::{Options, Plan, VerifyOptions};
use crate::progress::Reporter;
use crate::pulse::{Measure, Pulse};
use crate::refused::Refusals;
use crate::verify::{Compared, Verify};

/// What the applier gets to finish its commit when told to stop.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(3);
/// Between looks at the catalogues: so many times as long as the last one took, within these bounds.
const LOOK_SHARE: u32 = 300;
const RESHAPED_SHARE: u32 = 10;
pub(crate) const LOOK_PAUSE: (Duration, Duration) =
    (Duration::from_secs(2), Duration::from_secs(60));
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

/// Both ends of a pipeline.
pub struct Ends<S, T, P> {
    /// Where changes come from.
    pub source: S,
    /// Where rows go.
    pub target: T,
    /// What looks at both.
    pub pair: P,
}

/// What an attempt has of those before it: how to try again, and nothing of what they did.
pub(crate) struct Before<'a> {
    /// Everything up to the start of this attempt is one batch.
    pub(crate) whole: bool,
    /// The one before ended by an error.
    pub(crate) held: bool,
    pub(crate) refusals: &'a Refusals,
}

/// What became of an attempt.
pub(crate) struct Attempt {
    pub(crate) ended: Result<Ending>,
    /// How far it came: position, and chunks done and expected. `None` when it did not begin.
    pub(crate) came: Option<(Position, (u64, u64))>,
    /// An error, of this or an earlier one, was not over.
    pub(crate) held: bool,
}

/// What the tasks of an attempt tell that counts when it has ended, too.
struct Told {
    phase: watch::Sender<Phase>,
    reached: watch::Sender<Option<Reached>>,
    copied: watch::Sender<Vec<Copied>>,
}

/// One attempt.
pub(crate) async fn attempt<S: Source, T: Target, P: Pair>(
    ends: &mut Ends<S, T, P>,
    plan: &mut Plan,
    options: &Options,
    before: &Before<'_>,
    reporter: &Reporter,
    cancel: &CancellationToken,
) -> Attempt {
    let (phase_tx, phase) = watch::channel(if before.held { Phase::Held } else { Phase::Starting });
    let (reached_tx, reached) = watch::channel(None);
    let (copied_tx, copied) = watch::channel(Vec::new());
    let told = Told { phase: phase_tx, reached: reached_tx, copied: copied_tx };
    let ended = follow(ends, plan, options, before, (reporter, told), cancel).await;
    let chunks = copied
        .borrow()
        .iter()
        .fold((0, 0), |(done, all), table: &Copied| (done + table.done, all + table.expected));
    let came = reached.borrow().as_ref().map(|reached| (reached.position.clone(), chunks));
    let held = *phase.borrow() == Phase::Held;
    Attempt { ended, came, held }
}

/// What an attempt has once it is connected.
struct Connected<S: Source, T: Target, P: Pair> {
    ledger: T::Ledger,
    sink: T::Sink,
    state: LedgerState,
    stream: S::Stream,
    watermarks: Watermarks,
    /// `None`: the source cannot be asked.
    asked: Option<Asked<S::Reader, P::Verifier>>,
    sentinel: P::Sentinel,
}

/// On what a source is asked.
struct Asked<R, V> {
    /// Every transaction that was assigned an id before the stream was opened is below.
    settle_below: u64,
    /// On it nothing is asked that takes long.
    marker: R,
    planner: R,
    /// Of verification.
    compared: R,
    readers: Vec<R>,
    verifier: Option<(V, VerifyOptions)>,
}

impl<R: ChunkReader, V> Asked<R, V> {
    fn of<S: Source<Reader = R>>(
        source: &mut S,
        options: &Options,
        verifier: Option<(V, VerifyOptions)>,
    ) -> Option<Self> {
        Some(Self {
            settle_below: 0,
            marker: source.reader()?,
            planner: source.reader()?,
            compared: source.reader()?,
            readers: (0..options.readers).filter_map(|_| source.reader()).collect(),
            verifier,
        })
    }
}

/// Connects, in the order in which a mistake is cheapest.
async fn connect<S: Source, T: Target, P: Pair>(
    Ends { source, target, pair }: &mut Ends<S, T, P>,
    pipeline: &str,
    options: &Options,
) -> Result<Connected<S, T, P>> {
    let mut sentinel = pair.sentinel();
    let (guarded, opened) = tokio::join!(sentinel.guard(), target.open());
    guarded?;
    let (mut ledger, sink) = opened?;
    let mut state = ledger.load().await?;
    let verifier = match options.verify.filter(|_| source.gives().reads) {
        Some(verify) => Some((pair.verifier().await?, verify)),
        None => None,
    };
    let mut asked = Asked::of(source, options, verifier);
    let Opened { stream, history } = source.stream(&state.past).await?;
    // On the target's disk since the ledger was opened.
    stream.acknowledge(state.past.position.clone());
    if let Some(history) = history {
        ledger.note_history(&history).await?;
    }
    let watermarks = Watermarks::of_attempt(pipeline);
    if let Some(asked) = &mut asked {
        asked.settle_below = asked.marker.mark(&watermarks.write(Mark::Start)).await?;
    }
    // Before a row moves.
    state.mending.extend(sentinel.look().await?);
    Ok(Connected { ledger, sink, state, stream, watermarks, asked, sentinel })
}

async fn follow<S: Source, T: Target, P: Pair>(
    ends: &mut Ends<S, T, P>,
    plan: &mut Plan,
    options: &Options,
    before: &Before<'_>,
    (reporter, told): (&Reporter, Told),
    cancel: &CancellationToken,
) -> Result<Ending> {
    let connected = tokio::select! {
        () = cancel.cancelled() => return Ok(Ending::Stopped),
        connected = connect(ends, &plan.name, options) => connected?,
    };
    let Connected { mut ledger, sink, state, stream, watermarks, asked, sentinel } = connected;
    reporter.begins(&state);
    if !before.held {
        // Of an earlier daemon.
        ledger.last_error(None).await?;
    }
    tracing::info!(position = %state.past.position, "following the source");

    // Start what works beside the follower.
    let attempt_over = cancel.child_token();
    let (segments, segments_rx) = mpsc::channel(1);
    let (durable_tx, durable) = watch::channel(None);
    let (committed_tx, committed) = mpsc::unbounded_channel();
    let (follower_tx, chunks) = mpsc::channel(CHUNK_MESSAGES);
    let trouble = Trouble::new(before.held, false, reporter.clone());
    told.reached.send_replace(Some(Reached::at(state.past.position.clone())));
    let (reached, copied, phase) =
        (told.reached.subscribe(), told.copied.subscribe(), told.phase.subscribe());
    let (awaited_tx, awaited) = watch::channel(false);
    let (heard_tx, heard) = watch::channel(None);
    let heard_tx = asked.is_none().then_some(heard_tx);
    let changes = Arc::new(Changes::new(plan.tables.len()));
    let resumed = Arc::new(Notify::new());
    let ledger = Arc::new(Mutex::new(ledger));
    let pulse = Pulse {
        source: asked.as_ref().map(|asked| asked.marker.beside()),
        heard,
        ledger: Arc::clone(&ledger),
        follower: follower_tx.clone(),
        reporter: reporter.clone(),
        trouble: trouble.clone(),
        reached: reached.clone(),
        copied: copied.clone(),
        phase: told.phase,
        awaited: awaited_tx,
        resumed: Arc::clone(&resumed),
        measure: Measure::default(),
    };
    let applier = Applier::new(
        sink,
        applier::Told {
            durable: durable_tx,
            reached: told.reached.clone(),
            committed: committed_tx,
            trouble: trouble.clone(),
            reporter: reporter.clone(),
        },
    );
    let applier = tokio::spawn(applier.run(segments_rx));
    let reshaped = Arc::new(Notify::new());
    let looking = look(sentinel, Arc::clone(&reshaped), follower_tx.clone());
    let mut looks = AbortOnDropHandle::new(tokio::spawn(looking));
    let gives = ends.source.gives();
    let settle_below = asked.as_ref().map_or(0, |asked| asked.settle_below);
    let (backfill, verify) = match asked {
        None => (None, None),
        Some(Asked { marker, planner, compared, readers, verifier, .. }) => {
            let verify = verifier.map(|(verifier, options)| Verify {
                statements: watches(plan, &verifier),
                verifier,
                marker: marker.beside(),
                reader: compared,
                follower: follower_tx.clone(),
                options,
                reporter: reporter.clone(),
                reached,
                copied: copied.clone(),
                phase,
                changes: Arc::clone(&changes),
                findings_open: 0,
                traces: plan.traces.clone(),
                watermarks: watermarks.clone(),
                cancel: attempt_over.clone(),
                range_limits: Default::default(),
                told: None,
            });
            let backfill = Backfill {
                ledger,
                planner: Some(planner),
                marker,
                readers,
                follower: follower_tx,
                committed,
                options: options.clone(),
                reporter: reporter.clone(),
                copied: told.copied,
                trouble,
                refusals: before.refusals.clone(),
                watermarks: watermarks.clone(),
                cancel: attempt_over.clone(),
            };
            let begun = backfill.begin(&plan.tables, &state);
            (Some(backfill.run(begun)), verify.map(Verify::run))
        }
    };
    let mut backfill = AbortOnDropHandle::new(tokio::spawn(or_nothing(backfill)));
    let mut verify = AbortOnDropHandle::new(tokio::spawn(or_nothing(verify)));
    let mut pulse = AbortOnDropHandle::new(tokio::spawn(pulse.run()));
    let mut applier = AbortOnDropHandle::new(applier);
    // Follow. The first of the tasks that ends, ends the attempt.
    let cancel_follower = attempt_over.clone();
    let ports = Ports {
        segments,
        durable: durable.clone(),
        chunks,
        reached: told.reached,
        copied,
        awaited,
        changes,
        reshaped,
        heard: heard_tx,
        cancel: cancel_follower,
    };
    let start =
        Start { ledger: &state, watermarks: &watermarks, whole: before.whole, settle_below, gives };
    let (takes, tables, telling) = (ends.target.takes(), plan.tables.len(), reporter.clone());
    let following = async {
        match takes.form {
            Form::Net => {
                let fold = Net::new(tables, takes);
                Follower::new(plan, options, telling, stream, ports, &start, fold).run().await
            }
            Form::Log => {
                let fold = Log::new(tables, takes);
                Follower::new(plan, options, telling, stream, ports, &start, fold).run().await
            }
        }
    };
    let followed = tokio::select! {
        followed = following => followed.map(Some),
        result = &mut backfill => Err(ended(result)),
        result = &mut verify => Err(ended(result)),
        result = &mut looks => Err(ended(result)),
        result = &mut pulse => Err(ended(result)),
        () = resumed.notified() => Ok(None),
    };
    attempt_over.cancel();
    drop((backfill, verify, looks, pulse));
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

/// A task that is not needed does not end.
async fn or_nothing(task: Option<impl Future<Output = Result<()>>>) -> Result<()> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
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

/// The statements, as they are verified.
fn watches(plan: &Plan, verifier: &impl Verifier) -> Vec<Compared> {
    let watch = |(at, route): (usize, &Route)| {
        let (owner, key) = verifier.layout(at);
        Compared {
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
