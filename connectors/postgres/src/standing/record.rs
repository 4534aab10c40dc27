//! What was accepted, in the ledger.

use std::collections::BTreeSet;

use regraft_core::{Code, Error, Result};
use serde_json::json;
use tokio_postgres::Client;

use super::{Drift, Standing};
use crate::classify;

/// The newest version that was accepted; `None` for a pipeline, or a ledger, of an earlier regraft.
///
/// # Errors
/// When the target cannot be asked.
pub async fn known(client: &Client, place: &str, pipeline: &str) -> Result<Option<Standing>> {
    let sql = "SELECT to_regclass('regraft.standing') IS NOT NULL";
    let row = client.query_one(sql, &[]).await.map_err(|error| fail(&error, place))?;
    if !row.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql =
        "SELECT standing::text FROM regraft.standing WHERE pipeline = $1 ORDER BY id DESC LIMIT 1";
    let row = client.query_opt(sql, &[&pipeline]).await.map_err(|error| fail(&error, place))?;
    row.map(|row| serde_json::from_str(row.get(0))).transpose().map_err(|error| {
        Error::new(Code::Internal, "regraft.standing cannot be read").at(place).because(error)
    })
}

/// Accepts a version; one that is known already is not kept twice. Inside the caller's transaction, if
/// there is one.
///
/// # Errors
/// When the target refuses.
pub async fn accept(
    client: &Client,
    place: &str,
    pipeline: &str,
    standing: &Standing,
) -> Result<()> {
    let text = serde_json::to_string(standing).unwrap_or_default();
    let sql = "INSERT INTO regraft.standing (pipeline, position, standing) \
               SELECT name, position, $2::text::jsonb FROM regraft.pipelines WHERE name = $1 \
               AND $2::text::jsonb IS DISTINCT FROM (SELECT standing FROM regraft.standing \
                   WHERE pipeline = $1 ORDER BY id DESC LIMIT 1)";
    let done = client.execute(sql, &[&pipeline, &text]).await;
    done.map(drop).map_err(|error| fail(&error, place))
}

/// The targets of what has drifted.
pub fn mended(drift: &[Drift]) -> Vec<String> {
    let targets = drift.iter().flat_map(|drift| &drift.targets).map(ToString::to_string);
    targets.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Has targets compared and mended, for what has drifted. Inside the caller's transaction.
///
/// # Errors
/// When the target refuses.
pub async fn mend(
    client: &Client,
    place: &str,
    pipeline: &str,
    drift: &[Drift],
    targets: &[String],
) -> Result<()> {
    if targets.is_empty() {
        return Ok(());
    }
    let request = json!({ "tables": targets, "repair": true }).to_string();
    let sql = "INSERT INTO regraft.verifications (pipeline, request) VALUES ($1, $2::text::jsonb)";
    client.execute(sql, &[&pipeline, &request]).await.map_err(|error| fail(&error, place))?;
    // A repair that was asked for before says nothing of how these rows differ now. The lock is that of whoever
    // writes findings.
    let sql = "WITH locked AS MATERIALIZED ( \
                   SELECT pg_advisory_xact_lock(hashtextextended('regraft.findings:' || $1, 0))) \
               UPDATE regraft.findings SET repair_at = NULL FROM locked \
               WHERE pipeline = $1 AND state = 'open' AND target = ANY($2)";
    let done = client.execute(sql, &[&pipeline, &targets]).await;
    done.map_err(|error| fail(&error, place))?;
    let what: Vec<_> = drift.iter().map(|drift| drift.what.as_str()).collect();
    for what in &what {
        tracing::warn!("{what}; its rows are compared, and mended where they differ");
    }
    let kind = if drift.is_empty() { "resync" } else { "drift" };
    let detail = json!({ "what": what, "compared": targets }).to_string();
    let sql =
        "INSERT INTO regraft.events (pipeline, kind, detail) VALUES ($1, $2, $3::text::jsonb)";
    let noted = client.execute(sql, &[&pipeline, &kind, &detail]).await;
    noted.map(drop).map_err(|error| fail(&error, place))
}

/// Accepts a version, and has the targets of what has drifted compared and mended.
///
/// # Errors
/// When the target refuses: nothing is accepted then.
pub(super) async fn accept_mending(
    client: &Client,
    place: &str,
    pipeline: &str,
    standing: &Standing,
    drift: &[Drift],
) -> Result<()> {
    let batch = async |sql| client.batch_execute(sql).await.map_err(|error| fail(&error, place));
    batch("BEGIN").await?;
    accept(client, place, pipeline, standing).await?;
    mend(client, place, pipeline, drift, &mended(drift)).await?;
    batch("COMMIT").await
}

fn fail(error: &tokio_postgres::Error, place: &str) -> Error {
    classify(error, &format!("{place}, ledger"))
}
