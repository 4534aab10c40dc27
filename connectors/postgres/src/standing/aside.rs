//! Tables that are held while the others go on, and what somebody has said of how they go on. In the ledger.

use std::collections::BTreeSet;

use regraft_core::{Error, Position, Result, TableName};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::{Client, Row};

use crate::at;
use crate::classify;
use crate::fitting::fitting;

/// A source table that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The table.
    pub table: TableName,
    /// Seconds since 1970, on the target's clock.
    pub since: u64,
    /// The target's rows are as they were at this position of the source.
    pub position: Position,
    /// Code of the error that holds it.
    pub code: String,
    /// What is not the same, and where.
    pub what: String,
    /// What to do next.
    pub remedy: String,
    /// Of its statements.
    pub fingerprints: Vec<String>,
    /// What they fill, as it is printed.
    pub targets: Vec<String>,
}

/// How held tables go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// What is done about rows that are stale.
    pub how: How,
    /// Names of source tables, or `all`; none stands for those that are held.
    pub tables: Vec<String>,
}

/// What is done about rows that are stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// They are compared, and mended where they differ; copied anew where they cannot be told by their
    /// source row.
    Mend,
    /// They are cleared, and copied anew.
    Copy,
    /// Nothing: they fit already.
    AsIs,
}

/// The tables that are held, in the order of their names. None in a ledger of an earlier regraft.
///
/// # Errors
/// When the target cannot be asked.
pub async fn aside(client: &Client, place: &str, pipeline: &str) -> Result<Vec<Held>> {
    let fail = |error: tokio_postgres::Error| fail(&error, place);
    let sql = "SELECT to_regclass('regraft.held') IS NOT NULL";
    if !client.query_one(sql, &[]).await.map_err(fail)?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let sql = "SELECT h.source_schema, h.source_table, extract(epoch FROM h.since)::bigint, h.position, \
               h.error ->> 'code', h.error ->> 'what', h.error ->> 'remedy', \
               array(SELECT s.fingerprint FROM regraft.statements s WHERE s.pipeline = h.pipeline \
                     AND s.source = h.source_schema || '.' || h.source_table), \
               array(SELECT s.target FROM regraft.statements s WHERE s.pipeline = h.pipeline \
                     AND s.source = h.source_schema || '.' || h.source_table) \
               FROM regraft.held h WHERE h.pipeline = $1 ORDER BY 1, 2";
    let rows = client.query(sql, &[&pipeline]).await.map_err(fail)?;
    let text = |text: Option<String>| text.unwrap_or_default();
    let held = |row: &Row| {
        Ok(Held {
            table: TableName::new(row.get::<_, String>(0), row.get::<_, String>(1)),
            since: u64::try_from(row.get::<_, i64>(2)).unwrap_or_default(),
            position: at::position(row, 3)?,
            code: text(row.get(4)),
            what: text(row.get(5)),
            remedy: text(row.get(6)),
            fingerprints: row.get(7),
            targets: row.get(8),
        })
    };
    rows.iter().map(held).collect()
}

/// The tables to hold with these: see [`closure`]. `None` when no statement would be left to go on.
///
/// # Errors
/// When the target cannot be asked.
pub async fn connected(
    client: &Client,
    place: &str,
    pipeline: &str,
    tables: &[TableName],
    trusted: bool,
) -> Result<Option<Vec<TableName>>> {
    let sql = "SELECT source_schema, source_table FROM regraft.tables t WHERE pipeline = $1 \
               AND EXISTS (SELECT FROM regraft.statements s WHERE s.pipeline = t.pipeline \
                           AND s.source = t.source_schema || '.' || t.source_table AND statement >= 0) \
               AND NOT EXISTS (SELECT FROM regraft.held h WHERE (h.pipeline, h.source_schema, h.source_table) \
                               = (t.pipeline, t.source_schema, t.source_table))";
    let active = client.query(sql, &[&pipeline]).await.map_err(|error| fail(&error, place))?;
    let name = |row: &Row| TableName::new(row.get::<_, String>(0), row.get::<_, String>(1));
    let active: Vec<_> = active.iter().map(name).collect();
    let found = closure(client, place, pipeline, tables, trusted).await?;
    let held: Vec<_> =
        active.iter().filter(|table| found.contains(&table.to_string())).cloned().collect();
    Ok((!held.is_empty() && held.len() < active.len()).then_some(held))
}

/// These source tables, as they are printed, and those whose rows are connected with theirs: by a common
/// target, or by foreign keys at the target unless those are `trusted`; of a partition, those of what it is a
/// part of.
///
/// # Errors
/// When the target cannot be asked.
pub async fn closure(
    client: &Client,
    place: &str,
    pipeline: &str,
    tables: &[TableName],
    trusted: bool,
) -> Result<BTreeSet<String>> {
    let sql = "WITH of AS (SELECT s.source, s.target, coalesce(pg_partition_root(c.oid), c.oid)::oid AS oid \
                   FROM (SELECT DISTINCT source, target FROM regraft.statements WHERE pipeline = $1) s \
                   LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace) \
                   ON n.nspname || '.' || c.relname = s.target AND c.relkind IN ('r', 'p')), \
               refers AS (SELECT coalesce(pg_partition_root(conrelid), conrelid)::oid AS child, \
                   coalesce(pg_partition_root(confrelid), confrelid)::oid AS parent \
                   FROM pg_constraint WHERE contype = 'f' AND NOT $2) \
               SELECT a.source, b.source FROM of a JOIN of b ON a.target = b.target OR a.oid = b.oid \
               UNION SELECT a.source, b.source FROM refers JOIN of a ON a.oid = child JOIN of b ON b.oid = parent";
    let rows = client.query(sql, &[&pipeline, &trusted]).await;
    let rows = rows.map_err(|error| fail(&error, place))?;
    let pairs: Vec<(&str, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut found: BTreeSet<String> = tables.iter().map(ToString::to_string).collect();
    loop {
        let before = found.len();
        for (one, other) in &pairs {
            if found.contains(*one) || found.contains(*other) {
                found.extend([(*one).to_owned(), (*other).to_owned()]);
            }
        }
        if found.len() == before {
            return Ok(found);
        }
    }
}

/// Holds these tables because of `error`, which is about the first of `about`, unless another daemon has
/// raised the `epoch`. True when it did.
///
/// # Errors
/// When the target refuses.
pub async fn set_aside(
    client: &Client,
    place: &str,
    (pipeline, epoch): (&str, Option<i64>),
    tables: &[TableName],
    error: &Error,
) -> Result<bool> {
    let what = match error.place() {
        Some(place) => format!("{place}: {}", error.what()),
        None => error.what().to_owned(),
    };
    let drifted = error.drift().map(|drifted| drifted.tables.as_slice()).unwrap_or_default();
    let mut held = Vec::new();
    for table in tables {
        let what = match drifted.first() {
            Some(first) if !drifted.contains(table) => format!(
                "it is held with {first}, as foreign keys of the target, or a common target, connect their \
                 rows: {what}"
            ),
            _ => what.clone(),
        };
        let detail = json!({
            "code": error.code().as_str(),
            "what": what,
            "remedy": format!(
                "`regraft resume --accept {}` plans again and brings its rows in line; change the mapping \
                 before, if it does not fit any more; until then the other tables go on without it",
                shell(&table.to_string())
            ),
        });
        let detail = fitting(client, detail.to_string()).await;
        held.push((table, detail.map_err(|error| fail(&error, place))?, what));
    }
    let batch = async |sql| client.batch_execute(sql).await.map_err(|error| fail(&error, place));
    // All of them or none: a parent is not held without its children.
    batch("BEGIN").await?;
    let mut done = 0;
    for (table, detail, what) in held {
        let sql = "WITH held AS (INSERT INTO regraft.held (pipeline, source_schema, source_table, position, \
                       error) SELECT name, $3, $4, position, $5::text::jsonb FROM regraft.pipelines \
                       WHERE name = $1 AND epoch = coalesce($2, epoch) \
                       ON CONFLICT (pipeline, source_schema, source_table) \
                       DO UPDATE SET error = excluded.error RETURNING pipeline) \
                   INSERT INTO regraft.events (pipeline, kind, detail) SELECT pipeline, 'held', \
                       jsonb_build_object('table', $3 || '.' || $4) || $5::text::jsonb FROM held";
        let TableName { schema, name } = table;
        let held = client.execute(sql, &[&pipeline, &epoch, schema, name, &detail]).await;
        done += held.map_err(|error| fail(&error, place))?;
        tracing::warn!(%table, code = error.code().as_str(), "the table is held, and the others go on: {what}");
    }
    batch("COMMIT").await?;
    Ok(done > 0)
}

/// These tables are held no more. Inside the caller's transaction.
///
/// # Errors
/// When the target refuses.
pub async fn release(
    client: &Client,
    place: &str,
    pipeline: &str,
    tables: &[TableName],
) -> Result<()> {
    for TableName { schema, name } in tables {
        let sql =
            "DELETE FROM regraft.held WHERE (pipeline, source_schema, source_table) = ($1, $2, $3)";
        let done = client.execute(sql, &[&pipeline, schema, name]).await;
        done.map_err(|error| fail(&error, place))?;
    }
    Ok(())
}

/// What somebody has said of how held tables go on.
///
/// # Errors
/// When the target cannot be asked.
pub async fn resumption(client: &Client, place: &str, pipeline: &str) -> Result<Option<Resume>> {
    let sql = "SELECT to_jsonb(p) ->> 'resume' FROM regraft.pipelines p WHERE name = $1";
    let row = client.query_opt(sql, &[&pipeline]).await.map_err(|error| fail(&error, place))?;
    let text = row.and_then(|row| row.get::<_, Option<String>>(0));
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Says how held tables go on. False when there is no such pipeline.
///
/// # Errors
/// When the target refuses.
pub async fn ask(client: &Client, place: &str, pipeline: &str, resume: &Resume) -> Result<bool> {
    let text = serde_json::to_string(resume).unwrap_or_default();
    let sql = "UPDATE regraft.pipelines SET resume = $2::text::jsonb WHERE name = $1";
    let done = client.execute(sql, &[&pipeline, &text]).await;
    done.map(|rows| rows > 0).map_err(|error| fail(&error, place))
}

/// What was said is done; another word that came meanwhile stays.
///
/// # Errors
/// When the target refuses.
pub async fn answered(client: &Client, place: &str, pipeline: &str, resume: &Resume) -> Result<()> {
    let text = serde_json::to_string(resume).unwrap_or_default();
    let sql =
        "UPDATE regraft.pipelines SET resume = NULL WHERE name = $1 AND resume = $2::text::jsonb";
    let done = client.execute(sql, &[&pipeline, &text]).await;
    done.map(drop).map_err(|error| fail(&error, place))
}

/// A name as a shell takes it.
fn shell(name: &str) -> String {
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c)) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', "'\\''"))
}

fn fail(error: &tokio_postgres::Error, place: &str) -> Error {
    classify(error, &format!("{place}, ledger"))
}
