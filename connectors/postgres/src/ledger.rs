//! The ledger: positions, chunks and events of pipelines, in schema `regraft` of the target.
//!
//! One daemon runs a pipeline at a time. It holds an advisory lock on the ledger's connection, and it
//! raises the pipeline's *epoch*: every commit of rows checks the epoch that it was started with, so
//! that a daemon that lost the lock without noticing cannot commit any more.

mod chunk;
mod fence;
mod lock;
mod noted;
mod registered;
mod requests;
mod schema;
mod told;

use std::time::SystemTime;

use regraft_core::chunk::ChunkScope;
use regraft_core::contract::{Ledger, LedgerState, Past, Phase, PlannedChunk, TableProgress};
use regraft_core::{Code, Error, Result, TableName, Transaction, fail_point};
use serde_json::json;
use tokio_postgres::{Client, Row};

use self::chunk::{Chunk, INSERT_CHUNK, chunk};
pub use self::fence::Fence;
pub use self::noted::Noted;
pub use self::registered::{NewPipeline, Registered, Shape};
pub use self::requests::{HeldTarget, Verified};
pub use self::told::{CopiedTable, VerifiedRows};
use crate::at;
use crate::classify;
use crate::fitting::{fitting, restored, storable};
use crate::often::Often;

/// The ledger of one pipeline, on a connection of its own.
pub struct PgLedger {
    client: Client,
    place: String,
    name: String,
    epoch: i64,
    keys_to_read: Often,
}

/// Chunks of keys that are not done, without those that are known.
const KEYS_TO_READ: &str = "SELECT id, source_schema, source_table, after, upto, keys, trace FROM regraft.chunks \
                            WHERE pipeline = $1 AND done_at IS NULL AND keys IS NOT NULL AND id <> ALL($2) \
                            ORDER BY id";

impl PgLedger {
    /// Notes an error, or that there is none any more.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn note_error(
        client: &Client,
        place: &str,
        name: &str,
        error: Option<&Error>,
    ) -> Result<()> {
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        let text = match error {
            Some(error) => {
                Some(fitting(client, error_json(error).to_string()).await.map_err(fail)?)
            }
            None => None,
        };
        let sql = "UPDATE regraft.pipelines SET updated_at = now(), last_error = \
                   $2::text::jsonb || jsonb_build_object('at', now()) WHERE name = $1";
        client.execute(sql, &[&name, &text]).await.map_err(fail)?;
        match text {
            Some(text) => Self::event(client, place, name, "error", &text).await,
            None => Ok(()),
        }
    }

    /// Notes what holds a pipeline that no attempt is made for. An error that it has already is not noted
    /// twice.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn hold(client: &Client, place: &str, name: &str, error: &Error) -> Result<()> {
        let sql = "UPDATE regraft.pipelines SET phase = $2, updated_at = clock_timestamp() \
                   WHERE name = $1 RETURNING coalesce(last_error @> $3::text::jsonb, false)";
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        let text = fitting(client, error_json(error).to_string()).await.map_err(fail)?;
        let known = client.query_opt(sql, &[&name, &Phase::Held.as_str(), &text]).await;
        let known = known.map_err(fail)?;
        if known.is_some_and(|row| !row.get::<_, bool>(0)) {
            return Self::note_error(client, place, name, Some(error)).await;
        }
        Ok(())
    }

    /// Notes that a pipeline is being set up again, which may wait for transactions of the source.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn starts(client: &Client, place: &str, name: &str) -> Result<()> {
        let sql = "UPDATE regraft.pipelines SET phase = $2, updated_at = clock_timestamp() \
                   WHERE name = $1";
        let done = client.execute(sql, &[&name, &Phase::Starting.as_str()]).await;
        done.map(drop).map_err(|error| classify(&error, &format!("{place}, ledger")))
    }

    async fn event(
        client: &Client,
        place: &str,
        name: &str,
        kind: &str,
        detail: &str,
    ) -> Result<()> {
        let sql = "INSERT INTO regraft.events (pipeline, kind, detail) \
                   VALUES ($1, $2, $3::text::jsonb)";
        let done = client.execute(sql, &[&name, &kind, &detail]).await;
        done.map(drop).map_err(|error| classify(&error, &format!("{place}, ledger")))
    }

    /// Takes over the pipeline: no other daemon can commit from here on.
    ///
    /// # Errors
    /// [`Code::PipelineRunning`] while another daemon holds it, [`Code::PipelineUnknown`], and
    /// [`Code::MappingChanged`] when the statements are no more those of the target's rows.
    pub async fn open(
        client: Client,
        place: &str,
        name: &str,
        fingerprints: &[String],
    ) -> Result<Self> {
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        // What it notes is to be on the disk, and with it what other sessions had committed before, whatever the
        // role is used to.
        let durable = "SELECT set_config('synchronous_commit', 'local', false) \
                       WHERE current_setting('synchronous_commit') = 'off'";
        client.batch_execute(durable).await.map_err(fail)?;
        Self::lock(&client, place, name).await?;
        fail_point!("ledger.locked");
        let registered = Self::registered(&client, place, name).await?;
        let now = registered.iter().flat_map(|registered| &registered.statements);
        if !now.map(|(_, _, fingerprint)| fingerprint).eq(fingerprints) {
            let what = "the mapping of the pipeline was changed while this daemon waited";
            return Err(Error::new(Code::MappingChanged, what)
                .at(place)
                .remedy("start this daemon again with the mapping that the ledger has"));
        }
        let sql = "UPDATE regraft.pipelines SET epoch = epoch + 1, updated_at = now() \
                   WHERE name = $1 RETURNING epoch";
        let row = client.query_opt(sql, &[&name]).await.map_err(fail)?;
        let Some(row) = row else {
            let what = format!("the ledger knows no pipeline {name}");
            return Err(Error::new(Code::PipelineUnknown, what).at(place));
        };
        let epoch = row.get(0);
        fail_point!("epoch.raised");
        let (place, name) = (place.to_owned(), name.to_owned());
        Ok(Self { client, place, name, epoch, keys_to_read: Often::new(KEYS_TO_READ) })
    }

    /// What the sink needs to write into the ledger.
    pub fn fence(&self) -> Fence {
        Fence { name: self.name.clone(), epoch: self.epoch }
    }

    fn fail(&self, error: &tokio_postgres::Error) -> Error {
        classify(error, &format!("{}, ledger", self.place))
    }

    /// `stored` is the scope as the database can store it.
    async fn insert_chunk(
        &self,
        table: &TableName,
        scope: &ChunkScope,
        stored: &ChunkScope,
    ) -> Result<PlannedChunk> {
        let row = self
            .client
            .query_one(INSERT_CHUNK, &Chunk::of(&self.name, table, stored).parameters())
            .await
            .map_err(|error| self.fail(&error))?;
        Ok(PlannedChunk { id: row.get(0), table: table.clone(), scope: scope.clone() })
    }

    async fn stored(&self, scope: &ChunkScope) -> Result<ChunkScope> {
        let ChunkScope::Range { after, upto } = scope else { return Ok(scope.clone()) };
        let stored = async |key: &Option<Vec<String>>| {
            storable(&self.client, key.as_ref()).await.map_err(|error| self.fail(&error))
        };
        Ok(ChunkScope::Range { after: stored(after).await?, upto: stored(upto).await? })
    }
}

/// From a commit's time, place and id in columns 0, 3 and 4.
fn last(row: &Row) -> Result<Option<Transaction>> {
    let (at, commit_time) = (at::optional(row, 3)?, row.get::<_, Option<SystemTime>>(0));
    let xid = row.get::<_, Option<i64>>(4).and_then(|xid| u32::try_from(xid).ok());
    let known = |(at, commit_time)| Transaction { at, xid, commit_time, origin: None };
    Ok(at.zip(commit_time).map(known))
}

/// What `regraft status` shows of an error, and the source tables that it is about.
fn error_json(error: &Error) -> serde_json::Value {
    let what = match error.place() {
        Some(place) => format!("{place}: {}", error.what()),
        None => error.what().to_owned(),
    };
    let mut shown = serde_json::json!({
        "code": error.code().as_str(), "what": what, "remedy": error.remedy_text(),
    });
    if let Some(drifted) = error.drift() {
        shown["tables"] = json!(drifted.shown());
    }
    shown
}

impl Ledger for PgLedger {
    async fn load(&mut self) -> Result<LedgerState> {
        let sql = "SELECT commit_time, position, source_history, commit_at, commit_xid \
                   FROM regraft.pipelines WHERE name = $1";
        let row = self.client.query_one(sql, &[&self.name]).await;
        let row = row.map_err(|error| self.fail(&error))?;
        let sql = "SELECT t.source_schema, t.source_table, t.planned_upto, t.fully_planned, \
                   count(c.id), count(c.done_at), t.anew_from, t.keeps_rows FROM regraft.tables t \
                   LEFT JOIN regraft.chunks c ON c.keys IS NULL \
                   AND (c.pipeline, c.source_schema, c.source_table) \
                     = (t.pipeline, t.source_schema, t.source_table) \
                   WHERE t.pipeline = $1 GROUP BY t.pipeline, t.source_schema, t.source_table";
        let tables = self.client.query(sql, &[&self.name]).await;
        let tables = tables.map_err(|error| self.fail(&error))?;
        let count = |row: &Row, at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or(0);
        let table = |row: &Row| {
            Ok(TableProgress {
                table: TableName::new(row.get::<_, String>(0), row.get::<_, String>(1)),
                planned_upto: restored(row.get(2)),
                fully_planned: row.get(3),
                chunks: count(row, 4),
                chunks_done: count(row, 5),
                anew_from: at::optional(row, 6)?,
                keeps_rows: row.get(7),
            })
        };
        let sql = "SELECT id, source_schema, source_table, after, upto, keys, trace FROM regraft.chunks \
                   WHERE pipeline = $1 AND done_at IS NULL ORDER BY id";
        let pending = self.client.query(sql, &[&self.name]).await;
        let pending = pending.map_err(|error| self.fail(&error))?;
        let sql = "SELECT DISTINCT jsonb_array_elements_text(request -> 'tables') \
                   FROM regraft.verifications WHERE pipeline = $1 AND finished_at IS NULL \
                   AND request ->> 'repair' = 'true'";
        let mending = self.client.query(sql, &[&self.name]).await;
        let mending = mending.map_err(|error| self.fail(&error))?;
        Ok(LedgerState {
            mending: mending.iter().map(|row| row.get(0)).collect(),
            past: Past { position: at::position(&row, 1)?, last: last(&row)?, history: row.get(2) },
            commit_time: row.get(0),
            tables: tables.iter().map(table).collect::<Result<_>>()?,
            pending: pending.iter().map(chunk).collect(),
        })
    }

    async fn plan(&mut self, table: &TableName, scope: &ChunkScope) -> Result<PlannedChunk> {
        let stored = self.stored(scope).await?;
        let ChunkScope::Range { upto, .. } = &stored else {
            return self.insert_chunk(table, scope, &stored).await;
        };
        let begin = self.client.batch_execute("BEGIN").await;
        begin.map_err(|error| self.fail(&error))?;
        let planned = self.insert_chunk(table, scope, &stored).await?;
        let sql = "UPDATE regraft.tables SET planned_upto = $4::text[], fully_planned = $4::text[] IS NULL \
                   WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3";
        self.client
            .execute(sql, &[&self.name, &table.schema, &table.name, upto])
            .await
            .map_err(|error| self.fail(&error))?;
        let commit = self.client.batch_execute("COMMIT").await;
        commit.map_err(|error| self.fail(&error))?;
        Ok(planned)
    }

    async fn split(
        &mut self,
        chunk: &PlannedChunk,
        scopes: Vec<ChunkScope>,
    ) -> Result<Vec<PlannedChunk>> {
        let mut stored = Vec::with_capacity(scopes.len());
        for scope in &scopes {
            stored.push(self.stored(scope).await?);
        }
        let begin = self.client.batch_execute("BEGIN").await;
        begin.map_err(|error| self.fail(&error))?;
        let sql = "DELETE FROM regraft.chunks WHERE id = $1";
        let delete = self.client.execute(sql, &[&chunk.id]).await;
        delete.map_err(|error| self.fail(&error))?;
        let mut chunks = Vec::with_capacity(scopes.len());
        for (scope, stored) in scopes.iter().zip(&stored) {
            chunks.push(self.insert_chunk(&chunk.table, scope, stored).await?);
        }
        let commit = self.client.batch_execute("COMMIT").await;
        commit.map_err(|error| self.fail(&error))?;
        Ok(chunks)
    }

    async fn keys_to_read(&mut self, known: &[i64]) -> Result<Vec<PlannedChunk>> {
        let asked = async {
            let statement = self.keys_to_read.on(&self.client).await?;
            self.client.query(&statement, &[&self.name, &known]).await
        };
        let rows = asked.await;
        Ok(rows.map_err(|error| self.fail(&error))?.iter().map(chunk).collect())
    }

    async fn note_history(&mut self, history: &str) -> Result<()> {
        let sql = "UPDATE regraft.pipelines SET source_history = $2 WHERE name = $1";
        let done = self.client.execute(sql, &[&self.name, &history]).await;
        done.map(drop).map_err(|error| self.fail(&error))
    }

    async fn beat(&mut self) -> Result<bool> {
        let sql = "UPDATE regraft.pipelines SET updated_at = clock_timestamp() WHERE name = $1 \
                   RETURNING resume IS NOT NULL";
        let row = self.client.query_opt(sql, &[&self.name]).await;
        Ok(row.map_err(|error| self.fail(&error))?.is_some_and(|row| row.get(0)))
    }

    async fn phase(&mut self, phase: Phase) -> Result<()> {
        let sql = "UPDATE regraft.pipelines SET phase = $2, updated_at = now() WHERE name = $1";
        let done = self.client.execute(sql, &[&self.name, &phase.as_str()]).await;
        done.map(drop).map_err(|error| self.fail(&error))
    }

    async fn last_error(&mut self, error: Option<&Error>) -> Result<()> {
        Self::note_error(&self.client, &self.place, &self.name, error).await
    }
}
