//! How far a pipeline is, as the ledger has it: for those who do not run it.

use regraft_core::Result;
use tokio_postgres::{Client, Row};

use super::PgLedger;
use crate::classify;

/// What a statement has written, and how far its source table is copied.
#[derive(Clone, Debug)]
pub struct CopiedTable {
    /// Schema and table.
    pub target: String,
    /// Source table that it is made from.
    pub source: String,
    /// Rows written since the statement is what it is.
    pub rows: u64,
    /// Rows deleted, likewise.
    pub deleted: u64,
    /// Chunks of the source table that are copied.
    pub chunks_done: u64,
    /// Chunks of the source table that are planned so far.
    pub chunks_total: u64,
    /// All of them are planned.
    pub planned: bool,
}

/// What came of comparing.
#[derive(Clone, Debug)]
pub struct VerifiedRows {
    /// Rows that were equal in the sweep that is under way, or in the last one, of each statement.
    pub rows: u64,
    /// Every row was compared at most so many seconds ago.
    pub oldest_seconds: Option<f64>,
    /// Source rows that are still to be looked at.
    pub unsettled: u64,
    /// Findings that are open.
    pub findings_open: u64,
    /// Findings that a repair ended.
    pub repaired: u64,
}

impl PgLedger {
    /// How far each statement is, in their order.
    ///
    /// # Errors
    /// When the server refuses. The ledger has to exist.
    pub async fn copied_tables(
        client: &Client,
        place: &str,
        name: &str,
    ) -> Result<Vec<CopiedTable>> {
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
        let rows = client.query(sql, &[&name]).await.map_err(|error| classify(&error, place))?;
        let copied = |row: &Row| CopiedTable {
            target: row.get(0),
            source: row.get(1),
            rows: count(row, 2),
            deleted: count(row, 3),
            chunks_done: count(row, 4),
            chunks_total: count(row, 5),
            planned: row.get(6),
        };
        Ok(rows.iter().map(copied).collect())
    }

    /// What came of comparing the pipeline's rows; `None` in a ledger of a regraft that did not compare.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn verified_rows(
        client: &Client,
        place: &str,
        name: &str,
    ) -> Result<Option<VerifiedRows>> {
        let fail = |error: tokio_postgres::Error| classify(&error, place);
        let sql = "SELECT to_regclass('regraft.findings') IS NOT NULL";
        if !client.query_one(sql, &[]).await.map_err(fail)?.get::<_, bool>(0) {
            return Ok(None);
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
        let row = client.query_one(sql, &[&name]).await.map_err(fail)?;
        Ok(Some(VerifiedRows {
            rows: count(&row, 3),
            oldest_seconds: row.get(4),
            unsettled: count(&row, 2),
            findings_open: count(&row, 0),
            repaired: count(&row, 1),
        }))
    }

    /// Every range of the pipeline is copied. Keys that are still to be read come and go at any time.
    ///
    /// # Errors
    /// When the server refuses. A ledger that does not exist has nothing copied.
    pub async fn is_copied(client: &Client, place: &str, name: &str) -> Result<bool> {
        let fail = |error: tokio_postgres::Error| classify(&error, place);
        let exists = "SELECT to_regclass('regraft.tables') IS NOT NULL";
        if !client.query_one(exists, &[]).await.map_err(fail)?.get::<_, bool>(0) {
            return Ok(false);
        }
        let sql = "SELECT coalesce(bool_and(t.fully_planned), false) AND NOT EXISTS \
                   (SELECT FROM regraft.chunks c WHERE c.pipeline = $1 AND c.done_at IS NULL AND c.keys IS NULL) \
                   FROM regraft.tables t WHERE t.pipeline = $1 AND t.source_schema || '.' || t.source_table IN \
                   (SELECT source FROM regraft.statements s WHERE s.pipeline = $1 AND statement >= 0)";
        Ok(client.query_one(sql, &[&name]).await.map_err(fail)?.get(0))
    }
}

fn count(row: &Row, at: usize) -> u64 {
    u64::try_from(row.get::<_, i64>(at)).unwrap_or(0)
}
