//! `regraft status`: what the ledger knows, and how far the source is ahead.

use std::time::{Duration, Instant, SystemTime};

use regraft_core::contract::Phase;
use regraft_core::text::visible;
use regraft_core::{Code, Error, Position, Result};
use regraft_postgres::classify;
use regraft_postgres::ledger::{Noted, PgLedger};
use regraft_postgres::sessions::{Waiting, stalled};
use regraft_postgres::standing::aside;
use regraft_settings::Settings;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::args::StatusArgs;
use crate::holding::shown;
use crate::load;
use crate::out::{out, outln, outln_good};
use crate::resolve::Side;

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
    let settings = load(&args.config)?;
    let status = read(&settings).await.map_err(|error| vec![error])?;
    if args.json {
        out!("{status:#}\n");
    } else {
        print(&status);
    }
    Ok(0)
}

async fn read(settings: &Settings) -> Result<Value> {
    let target = Side::connect("target", &settings.target.url, &settings.name).await?;
    let fail = |error: tokio_postgres::Error| classify(&error, &target.place);
    let unknown = || {
        Error::new(Code::PipelineUnknown, format!("the ledger knows no pipeline {}", settings.name))
            .at(target.place.clone())
            .remedy("`regraft run` makes it")
    };
    let exists = "SELECT to_regclass('regraft.pipelines') IS NOT NULL";
    let exists = target.client.query_one(exists, &[]).await.map_err(fail)?.get::<_, bool>(0);
    let noted = if exists {
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
    let lives = holder.is_some() || (noted.phase == "held" && noted.quiet < HELD_BEAT);
    let phase = if lives { noted.phase.as_str() } else { "stopped" };
    // One that makes its slot notes nothing until the source's transactions have ended.
    let starts = phase == Phase::Starting.as_str();
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
    Ok(json!({
        "name": settings.name,
        "phase": phase,
        "healthy": lives && beats && phase != "held" && noted.last_error.is_null() && held.is_empty(),
        "daemon": { "process": holder, "seen_seconds": noted.quiet.as_secs_f64() },
        "position": noted.position,
        "lag_bytes": lag_bytes,
        "lag_seconds": lag_seconds,
        "tables": tables(&target.client, &settings.name).await.map_err(fail)?,
        "verification": verification(&target.client, &settings.name).await.map_err(fail)?,
        "held": held,
        "last_error": noted.last_error,
        "waiting": waiting,
    }))
}

/// Of a pipeline that a daemon is making: it holds the lock, and the ledger does not know it yet.
async fn starting(settings: &Settings, target: &Side, holder: i32) -> Result<Value> {
    let source = Side::connect("source", &settings.source.url, &settings.name).await.ok();
    Ok(json!({
        "name": settings.name,
        "phase": Phase::Starting,
        "healthy": true,
        "daemon": { "process": holder, "seen_seconds": null },
        "position": null,
        "lag_bytes": null,
        "lag_seconds": null,
        "tables": [],
        "verification": null,
        "held": [],
        "last_error": null,
        "waiting": waiting(settings, target, source.as_ref()).await?,
    }))
}

/// Which locks of others keep the pipeline's sessions.
async fn waiting(
    settings: &Settings,
    target: &Side,
    source: Option<&Side>,
) -> Result<Vec<Waiting>> {
    let application = format!("regraft {}", settings.name);
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

async fn tables(client: &Client, name: &str) -> Result<Vec<Value>, tokio_postgres::Error> {
    let sql = "SELECT s.target, s.source, s.upserted, s.deleted, \
               count(c.id) FILTER (WHERE c.done_at IS NOT NULL), count(c.id), \
               coalesce(bool_and(t.fully_planned), true) \
               FROM regraft.statements s \
               LEFT JOIN regraft.tables t ON t.pipeline = s.pipeline \
               AND s.source = t.source_schema || '.' || t.source_table \
               LEFT JOIN regraft.chunks c ON c.keys IS NULL \
               AND (c.pipeline, c.source_schema, c.source_table) \
                 = (t.pipeline, t.source_schema, t.source_table) \
               WHERE s.pipeline = $1 AND s.statement >= 0 GROUP BY s.pipeline, s.statement ORDER BY s.statement";
    let rows = client.query(sql, &[&name]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            json!({
                "target": row.get::<_, String>(0),
                "source": row.get::<_, String>(1),
                "rows": row.get::<_, i64>(2),
                "deleted": row.get::<_, i64>(3),
                "chunks_done": row.get::<_, i64>(4),
                "chunks_total": row.get::<_, i64>(5),
                "planned": row.get::<_, bool>(6),
            })
        })
        .collect())
}

/// What the ledger knows of verification. A daemon knows more: see `/api/v1/status`.
async fn verification(client: &Client, name: &str) -> Result<Value, tokio_postgres::Error> {
    let sql = "SELECT to_regclass('regraft.findings') IS NOT NULL";
    if !client.query_one(sql, &[]).await?.get::<_, bool>(0) {
        return Ok(Value::Null);
    }
    // Rows of the sweep that is under way, or of the last one, of each statement.
    let sql = "SELECT (SELECT count(*) FROM regraft.findings WHERE pipeline = $1 AND state = 'open'), \
               (SELECT count(*) FROM regraft.findings WHERE pipeline = $1 AND state = 'repaired'), \
               (SELECT count(*) FROM regraft.unsettled WHERE pipeline = $1), \
               (SELECT coalesce(sum(rows), 0)::bigint FROM regraft.verified v WHERE pipeline = $1 \
                AND sweep = (SELECT max(sweep) FROM regraft.verified o WHERE o.pipeline = $1 \
                             AND o.fingerprint = v.fingerprint)), \
               (SELECT extract(epoch FROM now() - min(verified_at))::float8 FROM regraft.verified \
                WHERE pipeline = $1)";
    let row = client.query_one(sql, &[&name]).await?;
    Ok(json!({
        "findings_open": row.get::<_, i64>(0),
        "repaired": row.get::<_, i64>(1),
        "unsettled": row.get::<_, i64>(2),
        "rows": row.get::<_, i64>(3),
        "oldest_seconds": row.get::<_, Option<f64>>(4),
    }))
}

fn print(status: &Value) {
    let text = |key: &str| match &status[key] {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".to_owned(),
        value => value.to_string(),
    };
    outln!("pipeline     {}", text("name"));
    match status["healthy"].as_bool() {
        Some(true) => outln_good!("phase        {}", text("phase")),
        _ => outln!("phase        {}", text("phase")),
    }
    outln!("position     {}", text("position"));
    let seen = status["daemon"]["seen_seconds"].as_f64();
    let process = match status["daemon"]["process"].as_i64() {
        Some(pid) => format!("process {pid} of the target"),
        None => "has no session with the target".to_owned(),
    };
    match seen {
        Some(seen) => outln!("daemon       {process}; noted something {seen:.0} s ago"),
        None => outln!("daemon       {process}; is making the pipeline"),
    }
    match (status["lag_bytes"].as_u64(), status["lag_seconds"].as_f64()) {
        (None, _) if seen.is_none() => outln!("lag          unknown"),
        (None, _) => outln!("lag          unknown (the source does not answer)"),
        (Some(bytes), None) => outln!("lag          {bytes} bytes"),
        (Some(bytes), Some(seconds)) => outln!("lag          {bytes} bytes, {seconds:.1} s"),
    }
    for waiting in status["waiting"].as_array().into_iter().flatten() {
        outln!(
            "waiting      for {} for {:.0} s: {}",
            waiting["server"].as_str().unwrap_or_default(),
            waiting["seconds"].as_f64().unwrap_or_default(),
            waiting["seen"].as_str().unwrap_or_default()
        );
    }
    let verification = &status["verification"];
    if let Some(rows) = verification["rows"].as_i64() {
        let open = verification["findings_open"].as_i64().unwrap_or_default();
        outln!("verified     {rows} rows in the last sweep, {open} findings open");
    }
    for held in status["held"].as_array().into_iter().flatten() {
        let text = |key: &str| held[key].as_str().unwrap_or_default();
        outln!(
            "held         {} at {}: [{}] {}",
            text("table"),
            text("position"),
            text("code"),
            text("what")
        );
        outln!("  to do      {}", text("remedy"));
    }
    if let Some(what) = status["last_error"]["what"].as_str() {
        outln!("last error   [{}] {what}", status["last_error"]["code"].as_str().unwrap_or(""));
        if let Some(remedy) = status["last_error"]["remedy"].as_str() {
            outln!("  to do      {remedy}");
        }
    }
    let rows: Vec<_> = status["tables"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let number = |key: &str| row[key].as_i64().unwrap_or_default().to_string();
            let chunks = format!("{}/{}", number("chunks_done"), number("chunks_total"));
            vec![text("target"), text("source"), number("rows"), number("deleted"), chunks]
        })
        .collect();
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
