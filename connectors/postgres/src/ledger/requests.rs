//! What others than the daemon ask of a pipeline: comparisons, and the findings that came of them.

use regraft_core::verify::{Outcome, Request};
use regraft_core::{Error, Result};
use serde_json::Value;
use tokio_postgres::{Client, Row};

use super::PgLedger;
use crate::catalog::tree;
use crate::classify;

/// A target that is not filled at present: a source table of it is held.
#[derive(Clone, Debug)]
pub struct HeldTarget {
    /// Schema and table.
    pub target: String,
    /// The source table that is held.
    pub source: String,
    /// Code of the error that holds it.
    pub code: String,
}

/// How far a comparison that was asked for is.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Of the statements that were compared so far.
    pub outcomes: Vec<Outcome>,
    /// Nothing more comes.
    pub finished: bool,
    /// Why it was not carried out.
    pub error: Option<String>,
}

impl PgLedger {
    /// Asks the pipeline for a comparison; gives its id.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn ask_verification(
        client: &Client,
        place: &str,
        name: &str,
        request: &Request,
    ) -> Result<i64> {
        let request = serde_json::to_string(request).unwrap_or_else(|_| "{}".to_owned());
        let sql = "INSERT INTO regraft.verifications (pipeline, request) VALUES ($1, $2::text::jsonb) \
                   RETURNING id";
        let row = client.query_one(sql, &[&name, &request]).await;
        Ok(row.map_err(|error| fail(&error, place))?.get(0))
    }

    /// How far it is.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn verification(client: &Client, place: &str, id: i64) -> Result<Verified> {
        let sql = "SELECT outcomes::text, finished_at IS NOT NULL, error FROM regraft.verifications WHERE id = $1";
        let row = client.query_one(sql, &[&id]).await;
        let row = row.map_err(|error| fail(&error, place))?;
        Ok(Verified {
            outcomes: serde_json::from_str(row.get(0)).unwrap_or_default(),
            finished: row.get(1),
            error: row.get(2),
        })
    }

    /// How many findings wait for their repair.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn to_repair(client: &Client, place: &str, name: &str) -> Result<i64> {
        let sql = "SELECT count(*) FROM regraft.findings WHERE pipeline = $1 AND state = 'open' \
                   AND repair_at < 'infinity'";
        let row = client.query_one(sql, &[&name]).await;
        Ok(row.map_err(|error| fail(&error, place))?.get(0))
    }

    /// Targets that are held, in the order of their names.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn held_targets(client: &Client, place: &str, name: &str) -> Result<Vec<HeldTarget>> {
        let sql = "SELECT DISTINCT s.target, s.source, h.error ->> 'code' FROM regraft.statements s \
                   JOIN regraft.held h ON h.pipeline = s.pipeline \
                       AND s.source = h.source_schema || '.' || h.source_table \
                   WHERE s.pipeline = $1 ORDER BY 1, 2";
        let rows = client.query(sql, &[&name]).await.map_err(|error| fail(&error, place))?;
        let code = |row: &Row| row.get::<_, Option<String>>(2).unwrap_or_default();
        let held = rows.iter().map(|row| HeldTarget {
            target: row.get(0),
            source: row.get(1),
            code: code(row),
        });
        Ok(held.collect())
    }

    /// Target and source of each statement that is not held, in the order of their names.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn filled(client: &Client, place: &str, name: &str) -> Result<Vec<[String; 2]>> {
        let sql = "SELECT DISTINCT target, source FROM regraft.statements \
                   WHERE pipeline = $1 AND statement >= 0 ORDER BY 1, 2";
        let rows = client.query(sql, &[&name]).await.map_err(|error| fail(&error, place))?;
        Ok(rows.iter().map(|row| [row.get(0), row.get(1)]).collect())
    }

    /// The error that holds the pipeline, to be put behind a sentence.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn held_by(client: &Client, place: &str, name: &str) -> Result<Option<String>> {
        let sql = "SELECT format(': %s [%s]', last_error ->> 'what', last_error ->> 'code') \
                   FROM regraft.pipelines WHERE name = $1 AND phase = 'held'";
        let row = client.query_opt(sql, &[&name]).await.map_err(|error| fail(&error, place))?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Open findings of these targets, or of all where none is named, the oldest first. `trusted` says which
    /// triggers fire for what the pipeline writes.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn findings(
        client: &Client,
        place: &str,
        name: &str,
        (tables, trusted, limit): (&[String], bool, i64),
    ) -> Result<Vec<Value>> {
        let enabled = if trusted { "R" } else { "O" };
        let tree = tree("c.oid");
        let sql = format!(
            "SELECT jsonb_build_object('target', target, 'source', source, 'difference', difference, \
                       'key', key, 'columns', to_jsonb(columns), 'first_seen', first_seen, \
                       'last_seen', last_seen, 'position', regexp_replace(position::text, '^[a-z]+:', ''), 'repair_asked_for', repair_at IS NOT NULL, \
                       'by_key', owner <> '\\x00', \
                       'kept_by_target', coalesce(repair_at = 'infinity', false), \
                       'triggers', CASE WHEN repair_at = 'infinity' THEN ( \
                           SELECT coalesce(jsonb_agg(t.tgname ORDER BY t.tgname), '[]') \
                           FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid, \
                                pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                           WHERE n.nspname || '.' || c.relname = target AND NOT t.tgisinternal \
                               AND t.tgparentid = 0 AND t.tgenabled::text IN ('A', $4) AND r.oid IN ({tree})) END, \
                       'source_digest', encode(source_digest, 'hex'), \
                       'target_digest', encode(target_digest, 'hex'), \
                       'source_row', source_row, 'target_row', target_row)::text \
                   FROM regraft.findings WHERE pipeline = $1 AND state = 'open' \
                       AND (cardinality($2::text[]) = 0 OR target = ANY($2) OR split_part(target, '.', 2) = ANY($2)) \
                   ORDER BY id LIMIT $3"
        );
        let rows = client.query(&sql, &[&name, &tables, &limit, &enabled]).await;
        let rows = rows.map_err(|error| fail(&error, place))?;
        Ok(rows.iter().filter_map(|row| serde_json::from_str(row.get(0)).ok()).collect())
    }
}

fn fail(error: &tokio_postgres::Error, place: &str) -> Error {
    classify(error, &format!("{place}, ledger"))
}
