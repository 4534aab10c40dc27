//! `regraft status`: what the ledger knows, and how far the source is ahead.

use std::time::SystemTime;

use regraft_core::text::visible;
use regraft_core::{Code, Error, Lsn, Result};
use regraft_postgres::classify;
use regraft_settings::Settings;
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use crate::args::StatusArgs;
use crate::load;
use crate::out::{out, outln};
use crate::resolve::Side;

/// Prints the status.
///
/// # Errors
/// When the target cannot be asked, or its ledger knows no such pipeline.
pub async fn status(args: &StatusArgs) -> Result<u8, Vec<Error>> {
    let settings = load(&args.config)?;
    let status = read(&settings).await.map_err(|error| vec![error])?;
    if args.json {
        outln!("{status:#}");
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
    if !target.client.query_one(exists, &[]).await.map_err(fail)?.get::<_, bool>(0) {
        return Err(unknown());
    }
    // Looked up rather than tried: a daemon that starts now must find its lock free.
    let sql = "SELECT position, commit_time, phase, last_error::text, EXISTS (\
                   SELECT FROM pg_locks, hashtextextended('regraft:' || name, 0) AS key \
                   WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                   AND classid = ((key >> 32) & 4294967295)::oid AND objid = (key & 4294967295)::oid) \
               FROM regraft.pipelines WHERE name = $1";
    let row = target.client.query_opt(sql, &[&settings.name]).await.map_err(fail)?;
    let row = row.ok_or_else(unknown)?;
    let position = Lsn(row.get::<_, PgLsn>(0).into());
    let last_error: Option<String> = row.get(3);
    let last_error: Value =
        last_error.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    // Nobody holds the pipeline's lock: no daemon runs it, whatever it noted last.
    let running: bool = row.get(4);
    let phase = if running { row.get(2) } else { "stopped".to_owned() };
    // The source may be away; the rest is worth showing.
    let source = Side::connect("source", &settings.source.url, &settings.name).await;
    let end = source.as_ref().ok().map(|side| side.server.wal_end);
    let lag_bytes = end.map(|end| end.bytes_since(position));
    let commit_time: Option<SystemTime> = row.get(1);
    let age = commit_time.and_then(|time| SystemTime::now().duration_since(time).ok());
    let behind = lag_bytes.is_some_and(|bytes| bytes > 0);
    let lag_seconds = age.filter(|_| behind).map_or(0.0, |age| age.as_secs_f64());
    Ok(json!({
        "name": settings.name,
        "phase": phase,
        "healthy": last_error.is_null(),
        "position": position,
        "lag_bytes": lag_bytes,
        "lag_seconds": lag_seconds,
        "tables": tables(&target.client, &settings.name).await.map_err(fail)?,
        "verification": verification(&target.client, &settings.name).await.map_err(fail)?,
        "last_error": last_error,
    }))
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
               WHERE s.pipeline = $1 GROUP BY s.pipeline, s.statement ORDER BY s.statement";
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
        Value::Null => "unknown (the source does not answer)".to_owned(),
        value => value.to_string(),
    };
    outln!("pipeline     {}", text("name"));
    outln!("phase        {}", text("phase"));
    outln!("position     {}", text("position"));
    outln!(
        "lag          {} bytes, {:.1} s",
        text("lag_bytes"),
        status["lag_seconds"].as_f64().unwrap_or(0.0)
    );
    let verification = &status["verification"];
    if let Some(rows) = verification["rows"].as_i64() {
        let open = verification["findings_open"].as_i64().unwrap_or_default();
        outln!("verified     {rows} rows in the last sweep, {open} findings open");
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
