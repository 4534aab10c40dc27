//! `regraft status`: what the ledger knows, and how far the source is ahead.

use std::time::{Duration, Instant, SystemTime};

use regraft_core::contract::Phase;
use regraft_core::text::visible;
use regraft_core::{Code, Error, Position, Result};
use regraft_pipeline::HeldTable;
use regraft_postgres::address::application;
use regraft_postgres::ledger::{CopiedTable, Noted, PgLedger};
use regraft_postgres::sessions::{Waiting, stalled};
use regraft_postgres::standing::aside;
use regraft_settings::Settings;
use serde_json::{Value, json};

use crate::args::StatusArgs;
use crate::holding::shown;
use crate::legs::each;
use crate::out::{out, outln, outln_good};
use crate::resolve::Side;
use crate::told::{Daemon, Told, ToldTable, ToldVerification};

/// A daemon that is connected notes every five seconds that it lives; one that waits to try again, with
/// every attempt, of which the longest wait and the longest connecting are apart.
const BEAT: Duration = Duration::from_secs(30);
const HELD_BEAT: Duration = Duration::from_secs(90);
/// A daemon that follows records within a second that the source has nothing for it.
const FOLLOWS: Duration = Duration::from_secs(2);

/// Prints the status.
///
/// # Errors
/// When the target cannot be asked, or its ledger knows no such pipeline.
pub async fn status(args: &StatusArgs) -> Result<u8, Vec<Error>> {
    each(&args.config, args.json, &[], async |settings| {
        let status = read(settings).await.map_err(|error| vec![error])?;
        if args.json {
            return Ok((0, Some(json!(status))));
        }
        print(&status);
        Ok((0, None))
    })
    .await
}

async fn read(settings: &Settings) -> Result<Told> {
    let target = Side::connect("target", &settings.target.url, &settings.name).await?;
    let unknown = || {
        Error::new(Code::PipelineUnknown, format!("the ledger knows no pipeline {}", settings.name))
            .at(target.place.clone())
            .remedy("`regraft run` makes it")
    };
    let noted = if PgLedger::exists(&target.client, &target.place).await? {
        PgLedger::noted(&target.client, &target.place, &settings.name).await?
    } else {
        None
    };
    let holder = PgLedger::holder(&target.client, &target.place, &settings.name).await?;
    let Some(noted) = noted else {
        // The first start registers the pipeline once its slot is made, which may wait for long.
        return starting(settings, &target, holder.ok_or_else(unknown)?).await;
    };
    // A daemon that waits to try again has no lock.
    let unread = |_| {
        let what = "the ledger has a phase or an error of a form that is not known";
        let remedy = "ask with the regraft that wrote it, or a newer one";
        Error::new(Code::LedgerNewer, what).at(target.place.clone()).remedy(remedy)
    };
    let known = serde_json::from_value(Value::String(noted.phase.clone())).map_err(unread)?;
    let lives = holder.is_some() || (known == Phase::Held && noted.quiet < HELD_BEAT);
    let phase = if lives { known } else { Phase::Stopped };
    // One that makes its slot notes nothing until the source's transactions have ended.
    let starts = phase == Phase::Starting;
    let beats = holder.is_none() || starts || noted.quiet < BEAT;
    // The source may be away; the rest is worth showing.
    let source = Side::connect("source", &settings.source.url, &settings.name).await;
    let end = source.as_ref().ok().map(|side| &side.server.wal_end);
    let lag_bytes = end.and_then(|end| end.bytes_since(&noted.position));
    let lag_seconds = match end {
        Some(end) => lag(&target, &settings.name, &noted, end, lives).await?,
        None => None,
    };
    let waiting = waiting(settings, &target, source.as_ref().ok()).await?;
    let held = aside(&target.client, &target.place, &settings.name).await?;
    let held: Vec<_> = held.iter().map(shown).collect();
    let last_error = match noted.last_error {
        Value::Null => None,
        error => Some(serde_json::from_value(error).map_err(unread)?),
    };
    Ok(Told {
        name: settings.name.clone(),
        phase,
        healthy: lives && beats && phase != Phase::Held && last_error.is_none() && held.is_empty(),
        daemon: Some(Daemon { process: holder, seen_seconds: Some(noted.quiet.as_secs_f64()) }),
        position: Some(noted.position),
        lag_bytes,
        lag_seconds,
        caught_up: None,
        copy_seconds_left: None,
        tables: tables(&target, &settings.name).await?,
        transactions: None,
        changes: None,
        verification: verification(&target, &settings.name).await?,
        held,
        last_error,
        waiting,
        unready: None,
        stream: None,
    })
}

/// Of a pipeline that a daemon is making: it holds the lock, and the ledger does not know it yet.
async fn starting(settings: &Settings, target: &Side, holder: i32) -> Result<Told> {
    let source = Side::connect("source", &settings.source.url, &settings.name).await.ok();
    Ok(Told {
        name: settings.name.clone(),
        phase: Phase::Starting,
        healthy: true,
        daemon: Some(Daemon { process: Some(holder), seen_seconds: None }),
        position: None,
        lag_bytes: None,
        lag_seconds: None,
        caught_up: None,
        copy_seconds_left: None,
        tables: Vec::new(),
        transactions: None,
        changes: None,
        verification: None,
        held: Vec::new(),
        last_error: None,
        waiting: waiting(settings, target, source.as_ref()).await?,
        unready: None,
        stream: None,
    })
}

/// Which locks of others keep the pipeline's sessions.
async fn waiting(
    settings: &Settings,
    target: &Side,
    source: Option<&Side>,
) -> Result<Vec<Waiting>> {
    let application = application(&settings.name);
    let mut waiting = Vec::new();
    for side in [Some(target), source].into_iter().flatten() {
        waiting.extend(stalled(&side.client, &side.place, &application).await?);
    }
    Ok(waiting)
}

/// For how long what is pending has been so. A daemon that follows has everything of a moment ago soon;
/// otherwise it is as long as the newest transaction that was applied is old.
async fn lag(
    target: &Side,
    name: &str,
    noted: &Noted,
    end: &Position,
    lives: bool,
) -> Result<Option<f64>> {
    if noted.position.covers(end) {
        return Ok(Some(0.0));
    }
    let age = noted.commit_time.and_then(|time| SystemTime::now().duration_since(time).ok());
    let begin = Instant::now();
    while lives && age.is_none_or(|age| age > FOLLOWS) && begin.elapsed() < FOLLOWS {
        tokio::time::sleep(FOLLOWS / 20).await;
        if PgLedger::noted(&target.client, &target.place, name)
            .await?
            .is_some_and(|noted| noted.position.covers(end))
        {
            return Ok(Some(begin.elapsed().as_secs_f64()));
        }
    }
    Ok(age.map(|age| age.as_secs_f64()))
}

async fn tables(target: &Side, name: &str) -> Result<Vec<ToldTable>> {
    let tables = PgLedger::copied_tables(&target.client, &target.place, name).await?;
    let told = |table: CopiedTable| ToldTable {
        target: table.target,
        source: table.source,
        rows: table.rows,
        deleted: table.deleted,
        chunks_done: table.chunks_done,
        chunks_total: table.chunks_total,
        chunks_expected: Some(table.chunks_total).filter(|_| table.planned),
        planned: Some(table.planned),
    };
    Ok(tables.into_iter().map(told).collect())
}

/// What the ledger knows of verification. A daemon knows more: see `/api/v1/status`.
async fn verification(target: &Side, name: &str) -> Result<Option<ToldVerification>> {
    let verified = PgLedger::verified_rows(&target.client, &target.place, name).await?;
    Ok(verified.map(|verified| ToldVerification {
        rows: verified.rows,
        oldest_seconds: verified.oldest_seconds,
        passes: None,
        unsettled: verified.unsettled,
        tries: None,
        findings_open: verified.findings_open,
        repaired: verified.repaired,
        stopped: None,
    }))
}

fn print(told: &Told) {
    outln!("pipeline     {}", told.name);
    let phase = told.phase.as_str();
    if told.healthy {
        outln_good!("phase        {phase}");
    } else {
        outln!("phase        {phase}");
    }
    let position = told.position.as_ref().map(ToString::to_string);
    outln!("position     {}", position.as_deref().unwrap_or("unknown"));
    let seen = told.daemon.and_then(|daemon| daemon.seen_seconds);
    let process = match told.daemon.and_then(|daemon| daemon.process) {
        Some(pid) => format!("process {pid} of the target"),
        None => "has no session with the target".to_owned(),
    };
    match seen {
        Some(seen) => outln!("daemon       {process}; noted something {seen:.0} s ago"),
        None => outln!("daemon       {process}; is making the pipeline"),
    }
    match (told.lag_bytes, told.lag_seconds) {
        (None, _) if seen.is_none() => outln!("lag          unknown"),
        (None, _) => outln!("lag          unknown (the source does not answer)"),
        (Some(bytes), None) => outln!("lag          {bytes} bytes"),
        (Some(bytes), Some(seconds)) => outln!("lag          {bytes} bytes, {seconds:.1} s"),
    }
    for waiting in &told.waiting {
        let seen = waiting.seen.as_deref().unwrap_or_default();
        outln!("waiting      for {} for {:.0} s: {seen}", waiting.server, waiting.seconds);
    }
    if let Some(ToldVerification { rows, findings_open, .. }) = &told.verification {
        outln!("verified     {rows} rows in the last sweep, {findings_open} findings open");
    }
    for held in &told.held {
        let HeldTable { table, position, code, what, remedy, .. } = held;
        outln!("held         {table} at {position}: [{code}] {what}");
        outln!("  to do      {remedy}");
    }
    if let Some(error) = &told.last_error {
        outln!("last error   [{}] {}", error.code, error.what);
        if let Some(remedy) = &error.remedy {
            outln!("  to do      {remedy}");
        }
    }
    let row = |row: &ToldTable| {
        let chunks = format!("{}/{}", row.chunks_done, row.chunks_total);
        let (rows, deleted) = (row.rows.to_string(), row.deleted.to_string());
        vec![row.target.clone(), row.source.clone(), rows, deleted, chunks]
    };
    let rows: Vec<_> = told.tables.iter().map(row).collect();
    out!("\n{}", table(&["target", "source", "rows written", "deleted", "chunks"], &rows));
}

/// Columns aligned by spaces.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let visible = |row: &Vec<String>| row.iter().map(|cell| visible(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(visible).collect();
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain(head.get(at).map(|cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        // The widths of `format!` end at 65,535.
        let blanks =
            |cell: &str, width: usize| " ".repeat(width.saturating_sub(cell.chars().count()));
        let cells = cells
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell}{}", blanks(cell, width)));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut out = line(head.to_vec());
    for row in &rows {
        out.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    out
}
