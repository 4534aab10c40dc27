//! What the ledger knows of a pipeline before it runs: its source, its statements, the shapes that were accepted.

use std::collections::HashMap;

use regraft_core::segment::Route;
use regraft_core::{Position, Result, TableName};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::PgLedger;
use crate::at::{self, At};
use crate::classify;

/// What a new pipeline starts with.
#[derive(Clone, Debug)]
pub struct NewPipeline {
    /// Name.
    pub name: String,
    /// System identifier of the source.
    pub source_system: String,
    /// Database of the source.
    pub source_db: String,
    /// Replication slot.
    pub slot: String,
    /// Publication.
    pub publication: String,
    /// Where the stream starts.
    pub position: Position,
}

impl NewPipeline {
    fn parameters<'a>(&'a self, position: &'a At) -> [&'a (dyn ToSql + Sync); 6] {
        let Self { name, source_system, source_db, slot, publication, .. } = self;
        [name, source_system, source_db, slot, publication, position]
    }
}

/// What the ledger knows of the source and the mapping.
#[derive(Clone, Debug)]
pub struct Registered {
    /// System identifier of the source.
    pub source_system: String,
    /// Database of the source.
    pub source_db: String,
    /// Replication slot.
    pub slot: String,
    /// Publication.
    pub publication: String,
    /// Everything up to here is in the target.
    pub position: Position,
    /// Code of the error that ended, or holds, the pipeline, and what it says after its place.
    pub last_error: Option<(String, String)>,
    /// The source tables that have drifted, if that is what the error is about; `all` for every one.
    pub drifted: Vec<String>,
    /// Source table, target table (both printed) and fingerprint of each statement, in order.
    pub statements: Vec<(String, String, String)>,
    /// Accepted shapes of the source tables.
    pub shapes: Vec<(TableName, Shape)>,
}

/// Columns of a source table that the mapping reads, with their types, as they were accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Name and full type of each column, sorted by name.
    pub columns: Vec<(String, String)>,
}

impl PgLedger {
    /// What is registered under this name; `None` for a new pipeline.
    ///
    /// # Errors
    /// When the server cannot be asked. A ledger that does not exist knows no pipeline.
    pub async fn registered(
        client: &Client,
        place: &str,
        name: &str,
    ) -> Result<Option<Registered>> {
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        let sql = "SELECT to_regclass('regraft.pipelines') IS NOT NULL";
        if !client.query_one(sql, &[]).await.map_err(fail)?.get::<_, bool>(0) {
            return Ok(None);
        }
        let sql = "SELECT source_system, source_db, slot, publication, position, \
                   last_error ->> 'code', last_error ->> 'what', \
                   ARRAY(SELECT jsonb_array_elements_text(last_error -> 'tables')) \
                   FROM regraft.pipelines WHERE name = $1";
        let Some(row) = client.query_opt(sql, &[&name]).await.map_err(fail)? else {
            return Ok(None);
        };
        let sql = "SELECT source, target, fingerprint FROM regraft.statements \
                   WHERE pipeline = $1 AND statement >= 0 ORDER BY statement";
        let statements = client.query(sql, &[&name]).await.map_err(fail)?;
        let sql = "SELECT source_schema, source_table, shape::text FROM regraft.tables \
                   WHERE pipeline = $1";
        let tables = client.query(sql, &[&name]).await.map_err(fail)?;
        let shape = |row: &Row| {
            let shape = serde_json::from_str(row.get::<_, &str>(2)).unwrap_or_default();
            (TableName::new(row.get::<_, &str>(0), row.get::<_, &str>(1)), shape)
        };
        Ok(Some(Registered {
            source_system: row.get(0),
            source_db: row.get(1),
            slot: row.get(2),
            publication: row.get(3),
            position: at::position(&row, 4)?,
            last_error: row.get::<_, Option<String>>(5).zip(row.get(6)),
            drifted: row.get(7),
            statements: statements.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect(),
            shapes: tables.iter().map(shape).collect(),
        }))
    }

    /// Registers a new pipeline, with nothing copied.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn register(
        client: &Client,
        place: &str,
        new: &NewPipeline,
        routes: &[Route],
        fingerprints: &[String],
        shapes: &[(TableName, Shape)],
    ) -> Result<()> {
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        client.batch_execute("BEGIN").await.map_err(fail)?;
        let sql = "INSERT INTO regraft.pipelines \
                   (name, source_system, source_db, slot, publication, position) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let position = At(new.position.clone());
        client.execute(sql, &new.parameters(&position)).await.map_err(fail)?;
        Self::set_statements(client, place, &new.name, routes, fingerprints, shapes).await?;
        Self::event(client, place, &new.name, "created", "{}").await?;
        client.batch_execute("COMMIT").await.map_err(fail)
    }

    /// Has a pipeline start anew, perhaps at another server. Inside the caller's transaction.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn restart(client: &Client, place: &str, new: &NewPipeline) -> Result<()> {
        let sql = "UPDATE regraft.pipelines SET source_system = $2, source_db = $3, slot = $4, \
                   publication = $5, position = $6, source_history = NULL, last_error = NULL, \
                   commit_at = NULL, commit_xid = NULL, \
                   epoch = epoch + 1 WHERE name = $1";
        let position = At(new.position.clone());
        let done = client.execute(sql, &new.parameters(&position)).await;
        done.map(drop).map_err(|error| classify(&error, &format!("{place}, ledger")))
    }

    /// Takes another publication. The last commit cannot be decoded again: the publication does not exist for
    /// what was written before it. Inside the caller's transaction.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn exchange_publication(
        client: &Client,
        place: &str,
        name: &str,
        publication: &str,
    ) -> Result<()> {
        let sql = "UPDATE regraft.pipelines SET publication = $2, commit_at = NULL, commit_xid = NULL \
                   WHERE name = $1";
        let done = client.execute(sql, &[&name, &publication]).await;
        done.map(drop).map_err(|error| classify(&error, &format!("{place}, ledger")))
    }

    /// Replaces what is registered of the mapping, except for tables that are held. Inside the caller's
    /// transaction.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn set_statements(
        client: &Client,
        place: &str,
        name: &str,
        routes: &[Route],
        fingerprints: &[String],
        shapes: &[(TableName, Shape)],
    ) -> Result<()> {
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        let sql = "SELECT source, target, fingerprint, upserted, deleted FROM regraft.statements \
                   WHERE pipeline = $1";
        let known = client.query(sql, &[&name]).await.map_err(fail)?;
        let sql = "DELETE FROM regraft.statements WHERE pipeline = $1 AND source NOT IN \
                   (SELECT source_schema || '.' || source_table FROM regraft.held WHERE pipeline = $1)";
        client.execute(sql, &[&name]).await.map_err(fail)?;
        let sql = "UPDATE regraft.statements SET statement = low - 1 - statement \
                   FROM (SELECT least(min(statement), 0) AS low FROM regraft.statements WHERE pipeline = $1) AS numbers \
                   WHERE pipeline = $1 AND statement >= 0";
        client.execute(sql, &[&name]).await.map_err(fail)?;
        let known: HashMap<(&str, &str, &str), (i64, i64)> = known
            .iter()
            .map(|row| ((row.get(0), row.get(1), row.get(2)), (row.get(3), row.get(4))))
            .collect();
        let count = i32::try_from(routes.len()).unwrap_or(i32::MAX);
        let numbers: Vec<_> = (0..count).collect();
        let sources: Vec<_> = routes.iter().map(|route| route.source.to_string()).collect();
        let targets: Vec<_> = routes.iter().map(|route| route.target.to_string()).collect();
        let of = sources.iter().zip(&targets).zip(fingerprints);
        let rows = of.map(|((source, target), print)| {
            known
                .get(&(source.as_str(), target.as_str(), print.as_str()))
                .copied()
                .unwrap_or_default()
        });
        let (upserted, deleted): (Vec<_>, Vec<_>) = rows.unzip();
        let sql = "INSERT INTO regraft.statements \
                       (pipeline, statement, source, target, fingerprint, upserted, deleted) \
                   SELECT $1, * FROM unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])";
        let parameters: [&(dyn ToSql + Sync); 7] =
            [&name, &numbers, &sources, &targets, &fingerprints, &upserted, &deleted];
        client.execute(sql, &parameters).await.map_err(fail)?;
        let schemas: Vec<_> = shapes.iter().map(|(table, _)| table.schema.as_str()).collect();
        let tables: Vec<_> = shapes.iter().map(|(table, _)| table.name.as_str()).collect();
        let shapes = shapes.iter().map(|(_, shape)| serde_json::to_string(shape));
        let shapes: Vec<_> = shapes.map(Result::unwrap_or_default).collect();
        let sql = "INSERT INTO regraft.tables (pipeline, source_schema, source_table, shape) \
                   SELECT $1, s, t, shape::jsonb FROM unnest($2::text[], $3::text[], $4::text[]) AS u(s, t, shape) \
                   ON CONFLICT (pipeline, source_schema, source_table) \
                   DO UPDATE SET shape = excluded.shape";
        let done = client.execute(sql, &[&name, &schemas, &tables, &shapes]).await;
        done.map_err(fail)?;
        Ok(())
    }

    /// Has a source table copied anew: its changes before `from` are ignored, the statements' rows
    /// are cleared when the stream arrives there, and then everything is read again.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn recopy(
        client: &Client,
        place: &str,
        name: &str,
        table: &TableName,
        from: &Position,
    ) -> Result<()> {
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        let sql = "UPDATE regraft.tables SET planned_upto = NULL, fully_planned = false, \
                   anew_from = $4, keeps_rows = false \
                   WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3";
        let from = At(from.clone());
        client.execute(sql, &[&name, &table.schema, &table.name, &from]).await.map_err(fail)?;
        let sql = "DELETE FROM regraft.chunks \
                   WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3";
        client.execute(sql, &[&name, &table.schema, &table.name]).await.map_err(fail)?;
        let detail = serde_json::json!({ "table": table.to_string() });
        Self::event(client, place, name, "recopy", &detail.to_string()).await
    }

    /// Has a source table begin anew with the rows that the target has: its changes before `from` are
    /// ignored, as a comparison finds what they left. So it does rows whose keys were still to be read, and
    /// which may be keys of another type by now.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn resync(
        client: &Client,
        place: &str,
        name: &str,
        table: &TableName,
        from: &Position,
    ) -> Result<()> {
        let sql = "UPDATE regraft.tables SET anew_from = $4, keeps_rows = true \
                   WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3 AND anew_from IS NULL";
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&name, &table.schema, &table.name, &At(from.clone())];
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        client.execute(sql, &parameters).await.map_err(fail)?;
        Self::forget_keys(client, place, name, table).await.map(drop)
    }

    /// Forgets the keys of a source table that are still to be read: whether there were any. Their rows have to be
    /// compared then.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn forget_keys(
        client: &Client,
        place: &str,
        name: &str,
        table: &TableName,
    ) -> Result<bool> {
        let sql = "DELETE FROM regraft.chunks WHERE pipeline = $1 AND source_schema = $2 \
                   AND source_table = $3 AND done_at IS NULL AND (keys IS NOT NULL OR trace IS NOT NULL)";
        let done = client.execute(sql, &[&name, &table.schema, &table.name]).await;
        let forgotten = done.map_err(|error| classify(&error, &format!("{place}, ledger")))?;
        Ok(forgotten > 0)
    }

    /// Forgets a pipeline. What happened to it stays among the events.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn forget(client: &Client, place: &str, name: &str) -> Result<()> {
        let sql = "DELETE FROM regraft.pipelines WHERE name = $1";
        let deleted = client.execute(sql, &[&name]).await;
        deleted.map(drop).map_err(|error| classify(&error, place))
    }

    /// How many pipelines are registered.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn pipelines(client: &Client, place: &str) -> Result<i64> {
        let row = client.query_one("SELECT count(*) FROM regraft.pipelines", &[]).await;
        Ok(row.map_err(|error| classify(&error, place))?.get(0))
    }
}
