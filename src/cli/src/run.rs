//! `regraft run`: sets the pipeline up where that is still to be done, and runs it.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use regraft_core::{Code, Error, Kind, Result};
use regraft_pipeline::{
    Ending, Ends, Options, PATIENCE, Plan, Progress, Status, Tap, VerifyOptions,
};
use regraft_postgres::address::{Address, application};
use regraft_postgres::ledger::PgLedger;
use regraft_postgres::pair::PgPair;
use regraft_postgres::sessions::Deadlines;
use regraft_postgres::source::PgSource;
use regraft_postgres::standing::Gone;
use regraft_postgres::target::PgTarget;
use regraft_postgres::writes;
use regraft_settings::{ForeignKeys, Repair, Settings, UrlSource};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::args::RunArgs;
use crate::bar;
use crate::board::{Board, Boards};
use crate::finding::Severity;
use crate::holding::Holding;
use crate::legs::{about_target, named, of_one_target};
use crate::load;
use crate::mappers::Mappers;
use crate::out::{out, outln, outln_good};
use crate::resolve::{Side, endpoint, resolve};
use crate::setup::{Setup, standby};
use crate::share::{Share, Shared};

/// Longest wait before the set-up of a pipeline that is held is tried again: meanwhile nobody looks whether the
/// application may write.
const HELD_WAIT: Duration = Duration::from_secs(2);
/// First and longest wait before the set-up is tried again.
const SET_UP_WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A server that is silent for longer while the pipeline is set up is asked why.
const NOTICE: Duration = Duration::from_secs(1);
/// Rows that do not change are compared about once an hour at least, if the rate allows it.
const DUE: Duration = Duration::from_secs(3600);

/// Runs the pipeline.
///
/// # Errors
/// All that keeps it from starting, or the error that ended it.
pub async fn run(args: &RunArgs, mappers: &Mappers) -> Result<u8, Vec<Error>> {
    let settings = load(&args.config)?;
    crate::init_logging(&settings.log);
    let legs = settings.legs();
    let one = |error| vec![error];
    let about = named(legs.clone(), &args.config).map_err(one)?;
    let tables = [args.recopy.as_slice(), &args.resync].concat();
    of_one_target(&legs, &args.config, &tables).map_err(one)?;
    let cancel = CancellationToken::new();
    crate::on_signal(cancel.clone());
    let shared = settings.is_shared().then(|| Shared::of(&legs));
    let boards = Boards::new(&legs, shared.as_ref().map(|shared| shared.fan.clone()));
    // Before anything is made: a port that is taken is a mistake.
    boards.serve(cancel.child_token()).await.map_err(one)?;
    let daemons = legs.iter().enumerate().map(|(at, leg)| {
        let mut args = args.clone();
        if !about.contains(leg) {
            args.forget();
        }
        let share = shared.as_ref().map(|shared| Share { shared: shared.clone(), leg: at });
        let daemon = Daemon { settings: leg, mappers, board: boards.leg(at), share };
        let span = leg.target.name.as_ref().map(|name| tracing::info_span!("target", name));
        let cancel = cancel.clone();
        let run = async move { daemon.run(args, &cancel).await };
        run.instrument(span.unwrap_or_else(tracing::Span::none))
    });
    let mut daemons: FuturesUnordered<_> = daemons.collect();
    let (mut told, mut errors) = (Vec::new(), Vec::new());
    while let Some(ended) = daemons.next().await {
        match ended {
            Ok(summary) => told.extend(summary),
            Err(failed) => errors.extend(failed),
        }
        // Who waits for the end of a copy wants to know; a daemon goes on with the other targets.
        if args.until_caught_up && !errors.is_empty() {
            cancel.cancel();
        }
    }
    summary(&settings, told, args.json);
    if errors.is_empty() { Ok(0) } else { Err(errors) }
}

/// The pipeline into one target, for as long as the process lives.
struct Daemon<'a> {
    settings: &'a Settings,
    mappers: &'a Mappers,
    board: &'a Board,
    share: Option<Share>,
}

/// How a run ended, and after which time.
type Ended = (Progress, Ending, Duration);

impl Daemon<'_> {
    async fn run(
        &self,
        mut args: RunArgs,
        cancel: &CancellationToken,
    ) -> Result<Option<(String, Ended)>, Vec<Error>> {
        let Self { settings, board, .. } = *self;
        let started = Instant::now();
        let until_caught_up = args.until_caught_up;
        let at_first = match &self.share {
            _ if until_caught_up => Patience::For(PATIENCE),
            // It is held by itself, and the others go on.
            Some(_) => Patience::ForAll,
            None => Patience::ForServers,
        };
        let mut patience = at_first;
        loop {
            // A slot is made only when the source's open transactions have ended, which may take long.
            let pipeline = tokio::select! {
                () = cancel.cancelled() => return Ok(None),
                prepared = prepare(settings, &args, self.mappers, (board, self.share.as_ref()), patience) => {
                    prepared
                }
            };
            let ended = match pipeline {
                Ok(pipeline) => {
                    let progress = pipeline.progress.clone();
                    let ending = pipeline.run(settings, until_caught_up, cancel.clone()).await;
                    let ending = ending.map_err(|error| vec![about_target(settings, error)]);
                    ending.map(|ending| (progress, ending))
                }
                Err(errors) => Err(errors),
            };
            let (progress, ending) = ended.inspect_err(|errors| self.given_up(errors))?;
            if !matches!(ending, Ending::PlanAgain | Ending::OtherPlan) {
                let name = settings.target.name.clone().unwrap_or_default();
                return Ok(Some((name, (progress, ending, started.elapsed()))));
            }
            // What the command line asks for was done.
            args.forget();
            // One that waited for another daemon has yet to see whether its mapping is taken.
            let daemon = ending == Ending::PlanAgain && !until_caught_up;
            patience = if daemon { Patience::ForAll } else { at_first };
        }
    }

    /// Where others go on: that this one does not is told once, and stays in the status.
    fn given_up(&self, errors: &[Error]) {
        for error in errors.iter().filter(|_| self.share.is_some()) {
            self.board.ended(error);
            tracing::error!("this target is given up until the daemon is started again: {error:#}");
        }
    }
}

/// What a set-up that fails is tried again for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Servers that cannot be reached, for so long.
    For(Duration),
    /// Servers that cannot be reached.
    ForServers,
    /// Whatever keeps a pipeline from running that ran before: it is held.
    ForAll,
}

/// A pipeline that is registered and ready to run.
pub struct Pipeline {
    /// What it does.
    pub plan: Plan,
    /// How it connects.
    pub ends: Ends<Tap<PgSource>, PgTarget, PgPair>,
    /// What it is doing.
    pub progress: Progress,
}

/// Resolves the mapping, and makes publication, slot and ledger where they are missing.
///
/// # Errors
/// All findings that are errors; refusals of the servers.
pub async fn prepare(
    settings: &Settings,
    args: &RunArgs,
    mappers: &Mappers,
    (board, share): (&Board, Option<&Share>),
    patience: Patience,
) -> Result<Pipeline, Vec<Error>> {
    let started = Instant::now();
    let held = patience == Patience::ForAll;
    let longest = if held { HELD_WAIT } else { SET_UP_WAIT.1 };
    let mut wait = SET_UP_WAIT.0;
    loop {
        let errors = match set_up(settings, args, mappers, (board, share)).await {
            Ok(pipeline) => {
                board.opened(&pipeline.progress);
                return Ok(pipeline);
            }
            Err(errors) => errors,
        };
        let errors: Vec<_> = errors
            .into_iter()
            .map(|error| about_target(settings, board.sessions().explain(error)))
            .collect();
        let passing = errors
            .iter()
            .all(|error| matches!(error.code(), Code::Unreachable | Code::TargetUnavailable));
        let spent = matches!(patience, Patience::For(limit) if started.elapsed() > limit);
        // Neither waiting nor a resumption mends these; a mapping that was edited meanwhile can be.
        let over = |error: &Error| {
            error.code() == Code::UsageInvalid
                || error.kind() == Kind::Unsafe
                    && error.drift().is_none()
                    && error.code() != Code::MappingChanged
        };
        if !passing && (!held || errors.iter().any(over)) || spent {
            return Err(errors);
        }
        if held && let Some(error) = errors.first() {
            hold(settings, error).await;
        }
        for error in &errors {
            tracing::warn!(
                wait_ms = wait.as_millis() as u64,
                "the pipeline cannot start yet, which is tried again: {error:#}"
            );
            board.failed(error);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(longest);
    }
}

/// Best effort: `regraft status` shows what the daemon's log says.
async fn hold(settings: &Settings, error: &Error) {
    let noted = async {
        let Side { client, place, .. } =
            Side::connect("target", &settings.target.url, &settings.name).await?;
        PgLedger::hold(&client, &place, &settings.name, error).await
    };
    if let Err(failed) = noted.await {
        tracing::debug!("this could not be noted in the ledger: {failed:#}");
    }
}

async fn set_up(
    settings: &Settings,
    args: &RunArgs,
    mappers: &Mappers,
    (board, share): (&Board, Option<&Share>),
) -> Result<Pipeline, Vec<Error>> {
    let one = |error: Error| vec![error];
    let deadlines = &settings.deadlines;
    let deadlines = Deadlines {
        answer: deadlines.answer,
        statement: Some(deadlines.statement),
        lock: deadlines.lock,
        ..Deadlines::default()
    };
    let address = |role: &'static str, url: &UrlSource| -> Address {
        let (url, sessions) = (url.clone(), board.sessions().clone());
        Arc::new(move || Ok(endpoint(&url)?.watched(role, &sessions, deadlines)))
    };
    let source_address = address("source", &settings.source.url);
    let target_address = address("target", &settings.target.url);
    // What is made here waits for transactions of the source, however long they take; a person who has just
    // started it wants to know for whose.
    let patient = Deadlines { statement: None, notice: NOTICE, ..deadlines };
    let side = async |role: &'static str, url: &UrlSource| {
        let endpoint = endpoint(url)?.watched(role, board.sessions(), patient);
        Side::at(role, endpoint, &settings.name).await
    };
    let source = side("source", &settings.source.url).await.map_err(one)?;
    let target = side("target", &settings.target.url).await.map_err(one)?;
    board.reached();
    let publication = &settings.source.publication;
    if settings.makes(publication) {
        let Side { client, server, place, .. } = &source;
        writes::withdraw(client, server, place, publication, &[]).await.map_err(one)?;
    }
    let mut holding = Holding::read(settings, args, &target).await.map_err(one)?;
    let (resolved, source_system) = loop {
        let sides = (&source, &target);
        let resolution = resolve(settings, mappers, sides, &holding.held).await.map_err(one)?;
        if resolution.resolved.is_none()
            && holding.refused(&resolution.refused).await.map_err(one)?
        {
            continue;
        }
        let Some(resolved) = resolution.resolved else {
            let errors = resolution.findings.into_iter().filter(|f| f.severity == Severity::Error);
            let errors = errors.map(|finding| {
                Error::new(finding.code, finding.what).at(finding.place).remedy(finding.remedy)
            });
            let errors: Vec<_> = errors.collect();
            match errors.first() {
                Some(error) if holding.not_resumed(error).await.map_err(one)? => continue,
                _ => return Err(errors),
            }
        };
        let (source, target, sessions) = (&source, &target, board.sessions());
        let fan = share.map(|share| &share.shared.fan);
        let setup = Setup { settings, holding: &holding, args, source, target, sessions, fan };
        let registered = async {
            // Not before: a target that does not answer keeps no other from being set up.
            let _one = match share {
                Some(share) => Some(share.shared.set_up.lock().await),
                None => None,
            };
            setup.register(&resolved).await
        };
        match registered.await {
            Ok(system) => {
                resolution.findings.iter().for_each(|finding| tracing::warn!("{finding:#}"));
                break (resolved, system);
            }
            Err(error) if holding.hold(&error).await.map_err(one)? => {}
            Err(error) if holding.not_resumed(&error).await.map_err(one)? => {}
            Err(error) => return Err(one(error)),
        }
    };
    if let Some(finding) = standby(&source, &settings.name).await.map_err(one)? {
        tracing::warn!("{finding}");
    }
    let source_schemas = resolved.standing.source_schemas(&resolved.asked.path);
    let target_schemas = resolved.standing.target_schemas(&resolved.asked.target_path);
    let searching = |address: Address, schemas: Vec<String>| -> Address {
        Arc::new(move || Ok(address()?.searching(&schemas)))
    };
    let (source_address, target_address) =
        (searching(source_address, source_schemas), searching(target_address, target_schemas));
    let (name, application) = (&settings.name, application(&settings.name));
    let source = PgSource {
        address: Arc::clone(&source_address),
        application: application.clone(),
        slot: settings.source.slot.clone(),
        publications: std::iter::once(settings.source.publication.clone())
            .chain(resolved.asked.appended.clone())
            .collect(),
        system: source_system,
        tables: resolved.read,
        traces: resolved.traces,
        wide: Arc::new(Semaphore::new(1)),
    };
    let target = PgTarget {
        address: Arc::clone(&target_address),
        name: name.clone(),
        application: application.clone(),
        routes: resolved.plan.routes.clone(),
        fingerprints: resolved.fingerprints,
        trusted: settings.target.foreign_keys == ForeignKeys::Trusted,
        sessions: settings.target.sessions,
        policy: resolved.asked.policy.clone(),
        fence: None,
    };
    let pair = PgPair {
        source: source_address,
        target: target_address,
        watched: board.sessions().clone(),
        name: name.clone(),
        application,
        verify: resolved.verify,
        asked: resolved.asked,
        gone: Gone::default(),
        verify_values: settings.verify.values,
    };
    let source = match share {
        Some(Share { shared, leg }) => shared.fan.tap(*leg, source),
        None => Tap::alone(source),
    };
    let before = board.progress();
    let progress = Progress::new(&resolved.plan, holding.shown(), before.as_ref());
    Ok(Pipeline { plan: resolved.plan, ends: Ends { source, target, pair }, progress })
}

impl Pipeline {
    /// Runs until told to stop, or caught up where asked for, with the progress bar.
    ///
    /// # Errors
    /// Those of [`regraft_pipeline::run`].
    pub async fn run(
        mut self,
        settings: &Settings,
        until_caught_up: bool,
        cancel: CancellationToken,
    ) -> Result<Ending> {
        let beside = cancel.child_token();
        // One bar is drawn at a time.
        let drawn = on_terminal() && !settings.is_shared();
        let watching = bar::spawn(self.progress.clone(), drawn, beside.clone());
        let options = options(settings, until_caught_up, self.progress.since());
        let ending = regraft_pipeline::run(
            &mut self.ends,
            &mut self.plan,
            &options,
            &self.progress.reporter(),
            &cancel,
        )
        .await;
        beside.cancel();
        drop(watching.await);
        ending
    }
}

/// Limits of the pipeline from the settings: what is in memory at once stays within `limits.memory`. The
/// daemon began at `since`.
pub fn options(settings: &Settings, until_caught_up: bool, since: SystemTime) -> Options {
    let limits = &settings.limits;
    // A batch may grow by half. It exists up to three times: being netted, being sent, and as rows of
    // several tables; and each session has one.
    let batch_bytes = limits.batch_bytes.min(limits.memory / (20 + 6 * settings.target.sessions));
    let backfill = &settings.backfill;
    let chunk_bytes = backfill.chunk_bytes.min(limits.memory / (4 * (backfill.readers + 1)));
    Options {
        batch_rows: limits.batch_rows,
        batch_bytes,
        batch_age: limits.batch_age,
        backfill: backfill.enabled,
        readers: backfill.readers,
        chunk_rows: backfill.chunk_rows,
        chunk_bytes,
        rows_per_second: backfill.rows_per_second,
        until_caught_up,
        verify: (!until_caught_up).then(|| VerifyOptions {
            enabled: settings.verify.enabled,
            rows_per_second: settings.verify.rows_per_second,
            source_share: f64::from(settings.verify.source_percent) / 100.0,
            chunk_rows: backfill.chunk_rows,
            repairs_per_hour: (settings.verify.repair == Repair::Auto)
                .then(|| u64::from(settings.verify.repairs_per_hour)),
            // Early enough that readiness does not fall.
            due: settings.http.ready_unverified.map_or(DUE, |limit| DUE.min(limit / 2)),
            since,
        }),
    }
}

/// Says how it ended for each of the targets.
fn summary(settings: &Settings, told: Vec<(String, Ended)>, as_json: bool) {
    let mut all = Vec::new();
    for (target, ended) in &told {
        if as_json {
            all.push((target, ended_json(ended)));
            continue;
        }
        let text = ended_text(ended);
        let text = if target.is_empty() { text } else { format!("{target}: {text}") };
        if ended.1 == Ending::CaughtUp { outln_good!("{text}") } else { outln!("{text}") }
    }
    match all.as_mut_slice() {
        [] => {}
        [(_, only)] if !settings.is_shared() => out!("{only:#}\n"),
        all => {
            let targets = all.iter_mut().map(|(target, told)| {
                told["target"] = json!(Some(target).filter(|target| !target.is_empty()));
                told
            });
            let targets: Vec<_> = targets.collect();
            out!("{:#}\n", json!({ "name": settings.pipeline(), "targets": targets }));
        }
    }
}

fn ended_json((progress, ending, elapsed): &Ended) -> Value {
    let (status, lag) = (progress.status(), progress.lag_summary());
    json!({
        "ending": if *ending == Ending::CaughtUp { "caught_up" } else { "stopped" },
        "position": status.position,
        "rows": rows(&status),
        "changes": status.changes,
        "transactions": status.transactions,
        "seconds": elapsed.as_secs_f64(),
        "lag_p50_seconds": lag.p50,
        "lag_p99_seconds": lag.p99,
        "tables": status.tables,
    })
}

fn ended_text((progress, ending, elapsed): &Ended) -> String {
    let status = progress.status();
    let rows = rows(&status);
    let ending = if *ending == Ending::CaughtUp { "caught up" } else { "stopped" };
    let position = status.position.map_or_else(String::new, |position| position.to_string());
    format!(
        "{ending} at {position} after {:.1} s: {rows} rows written, {} changes in {} transactions",
        elapsed.as_secs_f64(),
        status.changes,
        status.transactions
    )
}

fn rows(status: &Status) -> u64 {
    status.tables.iter().map(|table| table.rows).sum()
}

/// `regraft run` with defaults, for the demo.
pub fn run_args(config: PathBuf) -> RunArgs {
    RunArgs {
        config: crate::args::ConfigArgs { config, target: None },
        until_caught_up: false,
        recopy: Vec::new(),
        resync: Vec::new(),
        accept_mapping: false,
        json: false,
    }
}

/// True when progress is worth drawing.
pub fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}
