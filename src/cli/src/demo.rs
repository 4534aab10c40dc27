//! `regraft demo`: a throwaway PostgreSQL, an example table under load, and the result compared.

use std::time::{Duration, Instant};

use regraft_core::contract::Phase;
use regraft_core::{Code, Error, Kind, Position, Result};
use regraft_pipeline::Progress;
use regraft_postgres::Client;
use regraft_settings::Settings;
use regraft_throwaway::{
    Binaries, Cluster, ClusterOptions, Example, Writer, WriterOptions, WriterReport, compare,
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::args::DemoArgs;
use crate::board::Board;
use crate::mappers::Mappers;
use crate::out::{errln, out, outln, outln_good};
use crate::run::{Patience, Pipeline, prepare, run_args};

/// The old and the new database, in one server.
const SOURCE: &str = "legacy";
const TARGET: &str = "modern";
/// Transactions per second of the load, of ten rows on average: a busy application, and room left on a
/// laptop for both servers.
const WRITER_RATE: u32 = 300;
/// How long the server may take to be there.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the pipeline is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What the demo found.
#[derive(Debug, Serialize)]
struct Summary {
    /// The example.
    example: String,
    /// Rows written to the target: inserted or updated.
    rows: u64,
    /// Source row changes that were applied while it ran.
    changes: u64,
    /// Source transactions that were applied while it ran.
    transactions: u64,
    /// From the start of the pipeline until the target had everything.
    seconds: f64,
    /// Rows written per second.
    rows_per_second: f64,
    /// Half of the source transactions were in the target within this time of their commit.
    lag_p50_seconds: f64,
    /// 99 % of the source transactions were in the target within this time of their commit.
    lag_p99_seconds: f64,
    /// Rows that the daemon itself compared meanwhile and found equal.
    verified: u64,
    /// Rows that it found to differ.
    findings: u64,
    /// Rows of the target tables, by the SELECTs.
    compared: u64,
    /// Rows that one side has and the other has not.
    differences: u64,
}

/// Runs the demo; exit status 1 when the target differs from the SELECTs.
///
/// # Errors
/// When no server programs are found, or anything on the way fails.
pub async fn demo(args: &DemoArgs) -> Result<u8, Vec<Error>> {
    let example: Example = args.example.parse().map_err(|error| vec![error])?;
    let cancel = CancellationToken::new();
    crate::on_signal(cancel.clone());
    crate::init_logging(&regraft_settings::Log {
        level: regraft_settings::LogLevel::Warn,
        ..regraft_settings::Log::default()
    });
    let stage = Stage::set(args, example).await.map_err(|error| vec![error])?;
    let (settings, board) = (&stage.settings, Board::new(&stage.settings));
    let mappers = Mappers::new();
    let pipeline = prepare(
        settings,
        &run_args("demo".into()),
        &mappers,
        (&board, None),
        Patience::For(PATIENCE),
    )
    .await?;
    let summary = play(args, example, &stage, pipeline, &cancel).await.map_err(|e| vec![e])?;
    let Some(summary) = summary else {
        errln!("stopped; everything is removed");
        return Ok(130);
    };
    print(&summary, args.json);
    Ok(u8::from(summary.differences > 0))
}

/// The server, its two databases, and the settings of the pipeline between them.
struct Stage {
    cluster: Cluster,
    settings: Settings,
    // Holds the mapping until the end.
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn set(args: &DemoArgs, example: Example) -> Result<Stage> {
        let binaries = Binaries::find(args.pg_bin.as_deref())?;
        let version = binaries.version()?;
        let (major, minor) = (version.major, version.minor);
        say(args, &format!("starting a throwaway PostgreSQL {major}.{minor}"));
        let options = ClusterOptions {
            binaries: Some(binaries),
            shared_buffers: "256MB".to_owned(),
            settings: vec![("max_wal_size".to_owned(), "4GB".to_owned())],
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(options).await?;
        cluster.create_database(SOURCE).await?;
        cluster.create_database(TARGET).await?;
        let (source, target) = (cluster.client(SOURCE).await?, cluster.client(TARGET).await?);
        say(args, &format!("filling {} with {} rows", example.source_table(), args.rows));
        run_sql(&source, example.source_sql()).await?;
        run_sql(&source, &example.seed_sql(args.rows)).await?;
        run_sql(&source, "ANALYZE").await?;
        run_sql(&target, example.target_sql()).await?;
        let io = |error| Error::new(Code::FileUnreadable, "a temporary file").because(error);
        let folder = tempfile::tempdir().map_err(|error: std::io::Error| io(error))?;
        std::fs::write(folder.path().join("mapping.sql"), example.mapping_sql()).map_err(io)?;
        let text = format!(
            "name = \"demo\"\n[source]\nurl = \"{}\"\n[target]\nurl = \"{}\"\n\
             [mapping]\nfile = \"mapping.sql\"\n[http]\nenabled = false\n",
            cluster.url(SOURCE),
            cluster.url(TARGET),
        );
        let file = folder.path().join("regraft.toml");
        std::fs::write(&file, text).map_err(io)?;
        let settings = Settings::load(&file).map_err(|mut errors| errors.remove(0))?;
        Ok(Stage { cluster, settings, _folder: folder })
    }
}

/// Runs the pipeline under load, stops the load, waits, and compares. `None` when interrupted.
async fn play(
    args: &DemoArgs,
    example: Example,
    stage: &Stage,
    pipeline: Pipeline,
    cancel: &CancellationToken,
) -> Result<Option<Summary>> {
    let progress = pipeline.progress.clone();
    let started = Instant::now();
    let options = WriterOptions { rate: Some(WRITER_RATE), ..WriterOptions::default() };
    let writer = Writer::start(&stage.cluster.url(SOURCE), example, options);
    say(args, "copying while a writer changes rows");
    let running = CancellationToken::new();
    let (settings, stop) = (stage.settings.clone(), running.clone());
    let mut daemon = tokio::spawn(async move { pipeline.run(&settings, false, stop).await });

    let source = stage.cluster.client(SOURCE).await?;
    let ended = tokio::select! {
        () = cancel.cancelled() => None,
        result = &mut daemon => return Err(unexpected(result)),
        error = held(&progress) => return Err(error),
        caught_up = load_and_catch_up(args, &progress, &source, writer) => Some(caught_up?),
    };
    let seconds = started.elapsed().as_secs_f64();
    let Some(report) = ended else {
        running.cancel();
        drop(daemon.await);
        return Ok(None);
    };
    if let Some(error) = report.first_error {
        return Err(Error::new(Code::Internal, format!("the demo's writer failed: {error}")));
    }
    say(args, "comparing every target table with its SELECT");
    let summary = summarize(example, stage, &progress, seconds, &source).await?;
    if args.keep && summary.differences == 0 {
        keep(stage, cancel).await;
    }
    running.cancel();
    drop(daemon.await);
    Ok(Some(summary))
}

/// Leaves the load on until everything is copied and for some seconds more; then waits until the
/// target has the source's last commit.
async fn load_and_catch_up(
    args: &DemoArgs,
    progress: &Progress,
    source: &Client,
    writer: Writer,
) -> Result<WriterReport> {
    until(|| matches!(progress.phase(), Phase::Streaming | Phase::CatchingUp)).await;
    say(args, &format!("copied; following the load for {} s", args.seconds));
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let report = writer.stop().await;
    // A last transaction, so that the stream passes the end of all others.
    let sql = "SELECT pg_current_wal_insert_lsn()::text, \
               pg_logical_emit_message(true, 'regraft demo', 'end')";
    let row = source.query_one(sql, &[]).await;
    let row = row.map_err(|error| regraft_postgres::classify(&error, "demo"))?;
    let end = Position::from_stored(row.get(0))?;
    until(|| {
        let status = progress.status();
        status.position.is_some_and(|position| position.covers(&end))
            && progress.keys_to_read() == 0
    })
    .await;
    Ok(report)
}

/// A daemon waits until a person has mended what holds it; nobody would, here.
async fn held(progress: &Progress) -> Error {
    loop {
        until(|| progress.phase() == Phase::Held).await;
        let error = progress.status().last_error;
        let error = error.filter(|error| {
            // What passes by itself is waited for.
            let code = Code::ALL.iter().find(|code| code.as_str() == error.code);
            code.is_some_and(|code| code.kind() != Kind::Unavailable)
        });
        if let Some(error) = error {
            let what = format!("the pipeline is held: {} [{}]", error.what, error.code);
            return Error::new(Code::Internal, what);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(LOOK).await;
    }
}

async fn summarize(
    example: Example,
    stage: &Stage,
    progress: &Progress,
    seconds: f64,
    source: &Client,
) -> Result<Summary> {
    let target = stage.cluster.client(TARGET).await?;
    let (mut compared, mut differences) = (0, 0);
    for table in example.tables() {
        let comparison =
            compare(source, &table.select, &target, &table.target, &table.columns).await?;
        compared += comparison.rows;
        differences += comparison.differences();
    }
    let status = progress.status();
    let lag = progress.lag_summary();
    let rows: u64 = status.tables.iter().map(|table| table.rows).sum();
    #[allow(clippy::cast_precision_loss, reason = "shown with a few digits")]
    let rows_per_second = rows as f64 / seconds;
    Ok(Summary {
        example: example.name().to_owned(),
        rows,
        changes: status.changes,
        transactions: status.transactions,
        seconds,
        rows_per_second,
        lag_p50_seconds: lag.p50,
        lag_p99_seconds: lag.p99,
        verified: status.verification.rows,
        findings: status.verification.findings_open,
        compared,
        differences,
    })
}

async fn keep(stage: &Stage, cancel: &CancellationToken) {
    outln!("Everything is still running. To look around:");
    out!("  psql '{}'\n", stage.cluster.url(SOURCE));
    out!("  psql '{}'\n", stage.cluster.url(TARGET));
    out!("  in the second: SELECT * FROM regraft.pipelines; SELECT * FROM regraft.findings;\n");
    outln!("Change rows in the first, and see them in the second. Ctrl-C ends and removes it all.");
    cancel.cancelled().await;
}

fn print(summary: &Summary, as_json: bool) {
    if as_json {
        let text = serde_json::to_string_pretty(summary).unwrap_or_default();
        out!("{text}\n");
        return;
    }
    let Summary { rows, changes, transactions, seconds, differences, compared, .. } = summary;
    outln!("rows written     {rows}");
    outln!("changes applied  {changes} in {transactions} transactions");
    outln!("time             {seconds:.1} s");
    outln!("rate             {:.0} rows/s", summary.rows_per_second);
    outln!(
        "lag              p50 {:.0} ms, p99 {:.0} ms",
        summary.lag_p50_seconds * 1e3,
        summary.lag_p99_seconds * 1e3
    );
    let Summary { verified, findings, .. } = summary;
    outln!("verified         {verified} rows by the daemon meanwhile, {findings} findings");
    outln!("rows compared    {compared}");
    match differences {
        0 => outln_good!("differences      0"),
        _ => outln!("differences      {differences}"),
    }
}

fn say(args: &DemoArgs, text: &str) {
    if !args.json {
        errln!("{text}");
    }
}

async fn run_sql(client: &Client, sql: &str) -> Result<()> {
    client.batch_execute(sql).await.map_err(|error| regraft_postgres::classify(&error, "demo"))
}

fn unexpected<T>(result: std::result::Result<Result<T>, tokio::task::JoinError>) -> Error {
    match result {
        Ok(Err(error)) => error,
        Ok(Ok(_)) => Error::new(Code::Internal, "the pipeline ended before the demo did"),
        Err(error) => Error::new(Code::Internal, "the pipeline panicked").because(error),
    }
}
