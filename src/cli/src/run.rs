//! `regraft run`: sets the pipeline up where that is still to be done, and runs it.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regraft_core::{Code, Error, Result};
use regraft_pipeline::{Ending, Options, Plan, Progress, VerifyOptions};
use regraft_postgres::connectors::PgConnectors;
use regraft_settings::{ForeignKeys, Repair, Settings};
use regraft_telemetry::StatusSource;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::RunArgs;
use crate::finding::Severity;
use crate::load;
use crate::mappers::Mappers;
use crate::out::outln;
use crate::resolve::{Side, endpoint, resolve};
use crate::setup::Setup;
use crate::watch;

/// How long, and how often, the set-up is tried again when a server goes away in the middle of it.
const SET_UP_PATIENCE: Duration = Duration::from_secs(60);
const SET_UP_WAIT: Duration = Duration::from_millis(500);

/// Runs the pipeline.
///
/// # Errors
/// All that keeps it from starting, or the error that ended it.
pub async fn run(args: &RunArgs, mappers: &Mappers) -> Result<u8, Vec<Error>> {
    let settings = load(&args.config)?;
    crate::init_logging(&settings.log);
    let started = Instant::now();
    let cancel = CancellationToken::new();
    crate::on_signal(cancel.clone());
    // A slot is made only when the source's open transactions have ended, which may take long.
    let pipeline = tokio::select! {
        () = cancel.cancelled() => return Ok(0),
        prepared = prepare(&settings, args, mappers) => prepared?,
    };
    let progress = Arc::clone(&pipeline.progress);
    let ending =
        pipeline.run(&settings, args.until_caught_up, cancel).await.map_err(|e| vec![e])?;
    summary(&progress, ending, started.elapsed(), args.json);
    Ok(0)
}

/// A pipeline that is registered and ready to run.
pub struct Pipeline {
    /// What it does.
    pub plan: Plan,
    /// How it connects.
    pub connectors: PgConnectors,
    /// What it is doing.
    pub progress: Arc<Progress>,
}

/// Resolves the mapping, and makes publication, slot and ledger where they are missing.
///
/// # Errors
/// All findings that are errors; refusals of the servers.
pub async fn prepare(
    settings: &Settings,
    args: &RunArgs,
    mappers: &Mappers,
) -> Result<Pipeline, Vec<Error>> {
    let started = Instant::now();
    let mut reached = false;
    loop {
        let errors = match set_up(settings, args, mappers, &mut reached).await {
            Ok(pipeline) => return Ok(pipeline),
            Err(errors) => errors,
        };
        // A server that answered and went away is waited for; one that never did is a mistake.
        let passing = errors.iter().all(|error| error.code() == Code::Unreachable);
        if !reached || !passing || started.elapsed() > SET_UP_PATIENCE {
            return Err(errors);
        }
        for error in &errors {
            tracing::warn!("a server went away during the set-up, which is tried again: {error:#}");
        }
        tokio::time::sleep(SET_UP_WAIT).await;
    }
}

async fn set_up(
    settings: &Settings,
    args: &RunArgs,
    mappers: &Mappers,
    reached: &mut bool,
) -> Result<Pipeline, Vec<Error>> {
    let one = |error: Error| vec![error];
    let source =
        Side::connect("source", &settings.source.url, &settings.name).await.map_err(one)?;
    let target =
        Side::connect("target", &settings.target.url, &settings.name).await.map_err(one)?;
    *reached = true;
    let resolution = resolve(settings, mappers, &source, &target).await.map_err(one)?;
    let Some(resolved) = resolution.resolved else {
        let errors = resolution.findings.into_iter().filter(|f| f.severity == Severity::Error);
        return Err(errors
            .map(|finding| {
                Error::new(finding.code, finding.what).at(finding.place).remedy(finding.remedy)
            })
            .collect());
    };
    for finding in &resolution.findings {
        tracing::warn!("{finding:#}");
    }
    let setup = Setup { settings, args, source: &source, target: &target };
    let source_system = setup.register(&resolved).await.map_err(one)?;
    let (source_url, target_url) = (settings.source.url.clone(), settings.target.url.clone());
    let connectors = PgConnectors {
        source: Arc::new(move || endpoint(&source_url)),
        target: Arc::new(move || endpoint(&target_url)),
        name: settings.name.clone(),
        slot: settings.source.slot.clone(),
        publication: settings.source.publication.clone(),
        source_system,
        routes: resolved.plan.routes.clone(),
        tables: resolved.read,
        traces: resolved.traces,
        trusted: settings.target.foreign_keys == ForeignKeys::Trusted,
        sessions: settings.target.sessions,
        fingerprints: resolved.fingerprints,
        verify: resolved.verify,
        verify_values: settings.verify.values,
        fence: None,
    };
    let progress = Arc::new(Progress::new(&resolved.plan));
    Ok(Pipeline { plan: resolved.plan, connectors, progress })
}

impl Pipeline {
    /// Runs until told to stop, or caught up where asked for, with HTTP and the progress bar.
    ///
    /// # Errors
    /// Those of [`regraft_pipeline::run`], and when the address for HTTP is taken.
    pub async fn run(
        mut self,
        settings: &Settings,
        until_caught_up: bool,
        cancel: CancellationToken,
    ) -> Result<Ending> {
        let beside = cancel.child_token();
        if settings.http.enabled {
            let source = Http(Arc::clone(&self.progress));
            let served =
                regraft_telemetry::serve(settings.http.listen, source, beside.clone()).await;
            let (address, _) = served?;
            tracing::info!(%address, "listening for HTTP");
        }
        let watching = watch::spawn(Arc::clone(&self.progress), beside.clone());
        let options = options(settings, until_caught_up);
        let ending = regraft_pipeline::run(
            &mut self.connectors,
            &mut self.plan,
            &options,
            &self.progress,
            &cancel,
        )
        .await;
        beside.cancel();
        drop(watching.await);
        ending
    }
}

/// Limits of the pipeline from the settings: what is in memory at once stays within `limits.memory`.
pub fn options(settings: &Settings, until_caught_up: bool) -> Options {
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
        }),
    }
}

fn summary(progress: &Progress, ending: Ending, elapsed: Duration, as_json: bool) {
    let status = progress.status();
    let lag = progress.lag_summary();
    let rows: u64 = status.tables.iter().map(|table| table.rows).sum();
    if as_json {
        let ending = if ending == Ending::CaughtUp { "caught_up" } else { "stopped" };
        outln!(
            "{:#}",
            json!({
                "ending": ending,
                "position": status.position,
                "rows": rows,
                "changes": status.changes,
                "transactions": status.transactions,
                "seconds": elapsed.as_secs_f64(),
                "lag_p50_seconds": lag.p50,
                "lag_p99_seconds": lag.p99,
                "tables": status.tables,
            })
        );
        return;
    }
    let ending = if ending == Ending::CaughtUp { "caught up" } else { "stopped" };
    let position = status.position.map_or_else(String::new, |position| position.to_string());
    outln!(
        "{ending} at {position} after {:.1} s: {rows} rows written, {} changes in {} transactions",
        elapsed.as_secs_f64(),
        status.changes,
        status.transactions
    );
}

/// The status for HTTP.
#[derive(Clone)]
struct Http(Arc<Progress>);

impl StatusSource for Http {
    fn status(&self) -> serde_json::Value {
        serde_json::to_value(self.0.status()).unwrap_or_default()
    }

    fn healthy(&self) -> Result<(), String> {
        match self.0.status().last_error {
            Some(error) => Err(format!("{} {}", error.code, error.what)),
            None => Ok(()),
        }
    }

    fn ready(&self) -> Result<(), String> {
        use regraft_core::contract::Phase;
        // The phase is that of the last attempt: while they fail, nothing is followed.
        self.healthy()?;
        match self.0.phase() {
            Phase::Streaming => Ok(()),
            phase => Err(phase.as_str().to_owned()),
        }
    }
}

/// `regraft run` with defaults, for the demo.
pub fn run_args(config: PathBuf) -> RunArgs {
    RunArgs {
        config: crate::args::ConfigArgs { config },
        until_caught_up: false,
        recopy: Vec::new(),
        accept_mapping: false,
        json: false,
    }
}

/// True when progress is worth drawing.
pub fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}
