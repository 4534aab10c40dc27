//! The ledger: positions, chunks and events of pipelines, in schema `regraft` of the target.
//!
//! One daemon runs a pipeline at a time. It holds an advisory lock on the ledger's connection, and it
//! raises the pipeline's *epoch*: every commit of rows checks the epoch that it was started with, so
//! that a daemon that lost the lock without noticing cannot commit any more.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use regraft_core::chunk::{ChunkScope, Traced};
use regraft_core::contract::{Ledger, LedgerState, Phase, PlannedChunk, TableProgress, Written};
use regraft_core::segment::{Commit, Route};
use regraft_core::{
    Code, Error, Key, Lsn, Position, Result, Segment, TableName, Transaction, fail_point,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::types::{PgLsn, ToSql};
use tokio_postgres::{Client, Row, Statement};

use crate::classify;
use crate::fitting::{fitting, restored, storable};
use crate::often::Often;
use crate::sessions::{process, standby_remedy};

/// The versions of the schema, in order. Each is applied once, in a transaction of its own.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../schemas/ledger/001_initial.sql"),
    include_str!("../../../schemas/ledger/002_traces.sql"),
    include_str!("../../../schemas/ledger/003_verification.sql"),
    include_str!("../../../schemas/ledger/004_standing.sql"),
    include_str!("../../../schemas/ledger/005_held.sql"),
    include_str!("../../../schemas/ledger/006_last_commit.sql"),
];

/// How often, and how far apart, the pipeline's lock is asked for.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(100);

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
    pub position: Lsn,
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
    pub position: Lsn,
    /// The last commit of the source that is in the target, if it is known.
    pub last: Option<Transaction>,
    /// Timeline of the source's log in which the position was given out, if it is known.
    pub source_timeline: Option<u32>,
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
    /// Makes or migrates the schema.
    ///
    /// # Errors
    /// [`Code::LedgerNewer`] when a newer regraft made it; refusals of the server.
    pub async fn migrate(client: &Client, place: &str) -> Result<()> {
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        let version = "SELECT CASE WHEN to_regclass('regraft.versions') IS NULL THEN 0 ELSE 1 END";
        // Two daemons may start at once.
        client
            .batch_execute("BEGIN; SELECT pg_advisory_xact_lock(7374656726)")
            .await
            .map_err(fail)?;
        let exists: i32 = client.query_one(version, &[]).await.map_err(fail)?.get(0);
        let current: i32 = if exists == 0 {
            let sql = "CREATE SCHEMA IF NOT EXISTS regraft";
            client.batch_execute(sql).await.map_err(fail)?;
            0
        } else {
            let sql = "SELECT coalesce(max(version), 0) FROM regraft.versions";
            client.query_one(sql, &[]).await.map_err(fail)?.get(0)
        };
        let known = MIGRATIONS.len();
        let done = usize::try_from(current).unwrap_or(0);
        if done > known {
            let what = format!("the ledger has version {done}, this regraft knows {known}");
            return Err(Error::new(Code::LedgerNewer, what)
                .at(format!("{place}, schema regraft"))
                .remedy("run the newer regraft; an older one must not write this ledger"));
        }
        for (at, sql) in MIGRATIONS.iter().enumerate().skip(done) {
            client.batch_execute(sql).await.map_err(fail)?;
            let number = i32::try_from(at + 1).unwrap_or(i32::MAX);
            let sql = "INSERT INTO regraft.versions (version) VALUES ($1)";
            client.execute(sql, &[&number]).await.map_err(fail)?;
        }
        client.batch_execute("COMMIT").await.map_err(fail)
    }

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
                   (to_jsonb(p) ->> 'source_timeline')::bigint, last_error ->> 'code', \
                   last_error ->> 'what', \
                   ARRAY(SELECT jsonb_array_elements_text(last_error -> 'tables')), \
                   (to_jsonb(p) ->> 'commit_lsn')::pg_lsn, (to_jsonb(p) ->> 'commit_xid')::bigint, \
                   commit_time \
                   FROM regraft.pipelines p WHERE name = $1";
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
            position: lsn(row.get(4)),
            last: last(&row),
            source_timeline: row.get::<_, Option<i64>>(5).and_then(|t| u32::try_from(t).ok()),
            last_error: row.get::<_, Option<String>>(6).zip(row.get(7)),
            drifted: row.get(8),
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
        let position = PgLsn::from(new.position.0);
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&new.name, &new.source_system, &new.source_db, &new.slot, &new.publication, &position];
        client.execute(sql, &parameters).await.map_err(fail)?;
        Self::set_statements(client, place, &new.name, routes, fingerprints, shapes).await?;
        Self::event(client, place, &new.name, "created", "{}").await?;
        client.batch_execute("COMMIT").await.map_err(fail)
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
        from: Lsn,
    ) -> Result<()> {
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        let sql = "UPDATE regraft.tables SET planned_upto = NULL, fully_planned = false, \
                   anew_from = $4, keeps_rows = false \
                   WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3";
        let from = PgLsn::from(from.0);
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
        from: Lsn,
    ) -> Result<()> {
        let sql = "UPDATE regraft.tables SET anew_from = $4, keeps_rows = true \
                   WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3 AND anew_from IS NULL";
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&name, &table.schema, &table.name, &PgLsn::from(from.0)];
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

    /// Takes the pipeline's lock for the session. A session that has just ended may still hold it for
    /// a moment.
    ///
    /// # Errors
    /// [`Code::PipelineRunning`] when another session keeps it, [`Code::TargetUnavailable`] when that one waits for a
    /// standby.
    pub async fn lock(client: &Client, place: &str, name: &str) -> Result<()> {
        let fail = |error: tokio_postgres::Error| classify(&error, &format!("{place}, ledger"));
        // A machine that vanishes holds it only until the server notices.
        client.batch_execute("SET tcp_user_timeout = 60000").await.map_err(fail)?;
        let sql = "SELECT pg_try_advisory_lock(hashtextextended('regraft:' || $1, 0))";
        for _ in 0..LOCK_ATTEMPTS {
            if client.query_one(sql, &[&name]).await.map_err(fail)?.get(0) {
                return Ok(());
            }
            tokio::time::sleep(LOCK_WAIT).await;
        }
        let holder = Self::holder(client, place, name).await?;
        // A session that was given up lives on at the server as long as its commit waits there.
        if let Some(pid) = holder
            && let Some(seen) = process(client, place, pid).await?
            && let Some(remedy) = standby_remedy(&seen)
        {
            let what = format!("the lock of the pipeline {name} is held: {seen}");
            return Err(Error::new(Code::TargetUnavailable, what).at(place).remedy(remedy));
        }
        let holder = holder.map_or(String::new(), |pid| format!(": process {pid} holds its lock"));
        let what = format!("another daemon runs the pipeline {name}{holder}");
        Err(Error::new(Code::PipelineRunning, what)
            .at(place)
            .remedy("stop the other one; a daemon that is running already waits and takes over"))
    }

    /// Whether some daemon runs the pipeline.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn is_running(client: &Client, place: &str, name: &str) -> Result<bool> {
        Ok(Self::holder(client, place, name).await?.is_some())
    }

    /// The process of the target that holds the pipeline's lock. Looked up rather than tried: a daemon
    /// that starts now must find its lock free.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn holder(client: &Client, place: &str, name: &str) -> Result<Option<i32>> {
        let sql = "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
            AND d.datname = current_database()
            AND (l.classid::bigint << 32 | l.objid::bigint)
                = hashtextextended('regraft:' || $1, 0)";
        let row = client.query_opt(sql, &[&name]).await;
        Ok(row.map_err(|error| classify(&error, place))?.map(|row| row.get(0)))
    }

    /// Notes the timeline in which positions are given out.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn note_timeline(
        client: &Client,
        place: &str,
        name: &str,
        timeline: u32,
    ) -> Result<()> {
        let sql = "UPDATE regraft.pipelines SET source_timeline = $2 WHERE name = $1";
        let done = client.execute(sql, &[&name, &i64::from(timeline)]).await;
        done.map(drop).map_err(|error| classify(&error, &format!("{place}, ledger")))
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
        let tables: Vec<_> = drifted.tables.iter().map(ToString::to_string).collect();
        shown["tables"] = if tables.is_empty() { json!(["all"]) } else { json!(tables) };
    }
    shown
}

const INSERT_CHUNK: &str = "
    INSERT INTO regraft.chunks (pipeline, source_schema, source_table, after, upto, keys, trace)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";

/// The columns of a chunk.
struct Chunk<'a> {
    pipeline: &'a str,
    table: &'a TableName,
    after: Option<&'a Vec<String>>,
    upto: Option<&'a Vec<String>>,
    keys: Option<Vec<&'a [u8]>>,
    trace: Option<&'a str>,
}

impl<'a> Chunk<'a> {
    fn of(pipeline: &'a str, table: &'a TableName, scope: &'a ChunkScope) -> Self {
        let bytes = |keys: &'a [Key]| Some(keys.iter().map(|key| key.0.as_ref()).collect());
        let empty = Self { pipeline, table, after: None, upto: None, keys: None, trace: None };
        match scope {
            ChunkScope::Range { after, upto } => {
                Self { after: after.as_ref(), upto: upto.as_ref(), ..empty }
            }
            ChunkScope::Keys(keys) => Self { keys: bytes(keys), ..empty },
            // Without values it stands for all of them.
            ChunkScope::Traced(Traced { trace, values }) => Self {
                keys: bytes(values.as_deref().unwrap_or_default()),
                trace: Some(trace),
                ..empty
            },
        }
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 7] {
        let TableName { schema, name } = self.table;
        [&self.pipeline, schema, name, &self.after, &self.upto, &self.keys, &self.trace]
    }
}

/// From columns 9 to 11: where the commit is in the log, the transaction, and its time.
fn last(row: &Row) -> Option<Transaction> {
    Some(Transaction {
        commit_lsn: lsn(row.get::<_, Option<PgLsn>>(9)?),
        xid: u32::try_from(row.get::<_, Option<i64>>(10)?).ok()?,
        commit_time: row.get::<_, Option<SystemTime>>(11)?,
        origin: None,
    })
}

fn lsn(value: PgLsn) -> Lsn {
    Lsn(value.into())
}

/// From `id, source_schema, source_table, after, upto, keys, trace`.
fn chunk(row: &Row) -> PlannedChunk {
    let keys = row.get::<_, Option<Vec<Vec<u8>>>>(5);
    let keys: Option<Vec<_>> =
        keys.map(|keys| keys.into_iter().map(|key| Key(key.into_boxed_slice())).collect());
    let scope = match (keys, row.get::<_, Option<String>>(6)) {
        (values, Some(trace)) => {
            let values = values.filter(|values| !values.is_empty());
            ChunkScope::Traced(Traced { trace, values })
        }
        (Some(keys), None) => ChunkScope::Keys(keys),
        (None, None) => {
            ChunkScope::Range { after: restored(row.get(3)), upto: restored(row.get(4)) }
        }
    };
    let table = TableName::new(row.get::<_, String>(1), row.get::<_, String>(2));
    PlannedChunk { id: row.get(0), table, scope }
}

impl Ledger for PgLedger {
    async fn load(&mut self) -> Result<LedgerState> {
        let sql = "SELECT position, commit_time FROM regraft.pipelines WHERE name = $1";
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
        let table = |row: &Row| TableProgress {
            table: TableName::new(row.get::<_, String>(0), row.get::<_, String>(1)),
            planned_upto: restored(row.get(2)),
            fully_planned: row.get(3),
            chunks: count(row, 4),
            chunks_done: count(row, 5),
            anew_from: row.get::<_, Option<PgLsn>>(6).map(|value| Position::Lsn(lsn(value))),
            keeps_rows: row.get(7),
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
            position: Position::Lsn(lsn(row.get(0))),
            commit_time: row.get(1),
            tables: tables.iter().map(table).collect(),
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

/// Writes into the ledger in the sink's transaction, as long as no other daemon took over.
#[derive(Clone, Debug)]
pub struct Fence {
    name: String,
    epoch: i64,
}

impl Fence {
    /// Of the daemon.
    pub(crate) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Notes chunks and keys of a segment.
    pub(crate) async fn note(&self, client: &Client, segment: &Segment) -> Result<()> {
        let fail = |error: tokio_postgres::Error| classify(&error, "ledger");
        for table in &segment.anew {
            let sql = "UPDATE regraft.tables SET anew_from = NULL, keeps_rows = false \
                       WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3";
            client.execute(sql, &[&self.name, &table.schema, &table.name]).await.map_err(fail)?;
        }
        for to_read in &segment.to_read {
            let chunk = Chunk::of(&self.name, &to_read.table, &to_read.scope);
            client.execute(INSERT_CHUNK, &chunk.parameters()).await.map_err(fail)?;
            fail_point!("keys.recorded");
        }
        for done in &segment.chunks_done {
            // Ranges stay as evidence; keys would only pile up.
            let position = segment.commit.as_ref().map(|c| PgLsn::from(c.position.lsn().0));
            let rows = i64::try_from(done.rows).unwrap_or(i64::MAX);
            let sql = "WITH keys AS (DELETE FROM regraft.chunks WHERE id = $1 AND keys IS NOT NULL) \
                       UPDATE regraft.chunks SET done_at = now(), rows = $2, position = $3 \
                       WHERE id = $1 AND keys IS NULL";
            client.execute(sql, &[&done.id, &rows, &position]).await.map_err(fail)?;
            fail_point!("chunk.noted");
        }
        Ok(())
    }

    /// Keys of a source table that wait to be read: what the target holds of them may be from before.
    pub(crate) async fn keys_to_read(
        &self,
        client: &Client,
        table: &TableName,
    ) -> Result<Vec<Key>> {
        let sql = "SELECT unnest(keys) FROM regraft.chunks WHERE pipeline = $1 AND done_at IS NULL \
                   AND source_schema = $2 AND source_table = $3 AND trace IS NULL";
        let rows = client.query(sql, &[&self.name, &table.schema, &table.name]).await;
        let rows = rows.map_err(|error| classify(&error, "ledger"))?;
        Ok(rows.iter().map(|row| Key(row.get::<_, Vec<u8>>(0).into_boxed_slice())).collect())
    }

    /// Statement that records the position and the rows written.
    pub(crate) const RECORD: &str = "
        WITH rows AS (UPDATE regraft.statements s
            SET upserted = s.upserted + w.u, deleted = s.deleted + w.d
            FROM unnest($5::int[], $6::bigint[], $7::bigint[]) AS w(n, u, d)
            WHERE s.pipeline = $1 AND s.statement = w.n AND w.u + w.d > 0)
        UPDATE regraft.pipelines SET position = $3, commit_time = coalesce($4::timestamptz, commit_time),
            commit_lsn = coalesce($8, commit_lsn), commit_xid = coalesce($9, commit_xid),
            updated_at = now()
        WHERE name = $1 AND epoch = $2";

    /// Records the position and the rows written, by [`Fence::RECORD`].
    ///
    /// # Errors
    /// [`Code::PipelineRunning`] when another daemon took over: the transaction must not commit.
    pub(crate) async fn record(
        &self,
        client: &Client,
        statement: &Statement,
        commit: &Commit,
        written: &[Written],
    ) -> Result<()> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let count = i32::try_from(written.len()).unwrap_or(i32::MAX);
        let statements: Vec<i32> = (0..count).collect();
        let upserted: Vec<i64> = written.iter().map(|w| number(w.upserted)).collect();
        let deleted: Vec<i64> = written.iter().map(|w| number(w.deleted)).collect();
        let position = PgLsn::from(commit.position.lsn().0);
        let last = commit.last.as_ref();
        let time = last.map(|last| last.commit_time);
        let (at, xid) = (last.map(|l| PgLsn::from(l.commit_lsn.0)), last.map(|l| i64::from(l.xid)));
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &self.name,
            &self.epoch,
            &position,
            &time,
            &statements,
            &upserted,
            &deleted,
            &at,
            &xid,
        ];
        let recorded = client.execute(statement, &parameters).await;
        if recorded.map_err(|error| classify(&error, "ledger"))? == 0 {
            let what = format!("another daemon took over the pipeline {}", self.name);
            return Err(Error::new(Code::PipelineRunning, what).at("ledger"));
        }
        Ok(())
    }
}
