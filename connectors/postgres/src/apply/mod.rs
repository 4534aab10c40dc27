//! The applier: writes segments to the target, set-based, with the position in the same transaction.
//!
//! The order inside a segment is that of [`regraft_core::TableWrites`]: what is cleared and what is
//! replaced goes first, children before parents; then rows come, parents before children; patches
//! last. Where the target's constraints may object to that order although the end result satisfies
//! them, the segment is written inside a savepoint and tried in other ways, see [`recover`].

mod recover;
mod statements;
mod target;
mod write;

use std::collections::{HashMap, VecDeque};

use regraft_core::contract::{Sink, Written};
use regraft_core::segment::{Commit, Route};
use regraft_core::{Code, Error, Lsn, Position, Result, Segment};
use tokio_postgres::{Client, Statement};

use crate::classify;
use crate::ledger::Fence;
use recover::Parked;
use target::Target;

/// Settings of an apply session, each with its reason.
const SESSION: &str = "
    -- A commit need not wait for the disk: a position is acknowledged only once the flushed log has
    -- passed its commit, and rows and position vanish together in a crash.
    SET synchronous_commit = off;
    -- Plans must know how long the arrays are.
    SET plan_cache_mode = force_custom_plan;
    -- Room for the hashed key sets of one segment.
    SET work_mem = '64MB';
    -- The costs that keep the planner from scanning whole tables would make it compile each plan.
    SET jit = off;
    SET row_security = off;
    SET enable_mergejoin = off";

/// Writes batches to a PostgreSQL target.
pub struct PgSink {
    client: Client,
    place: String,
    routes: Vec<Route>,
    targets: Vec<Target>,
    fence: Fence,
    prepared: HashMap<String, Statement>,
    open: bool,
    /// Unique values that were put aside in the open transaction.
    parked: Vec<Parked>,
    written: Vec<Written>,
    /// Commits that may not be on disk yet: the target's log position after each.
    in_flight: VecDeque<(Lsn, Position)>,
    durable: Option<Position>,
}

impl PgSink {
    /// A sink on a connection of its own. With `trusted`, neither foreign keys nor ordinary triggers of
    /// the target fire, as in the apply worker of native logical replication.
    ///
    /// # Errors
    /// When a target table is missing, or has no key that its statement fills.
    pub async fn new(
        client: Client,
        place: &str,
        routes: Vec<Route>,
        fence: Fence,
        trusted: bool,
    ) -> Result<Self> {
        client.batch_execute(SESSION).await.map_err(|error| classify(&error, place))?;
        if trusted {
            let sql = "SET session_replication_role = replica";
            client.batch_execute(sql).await.map_err(|error| classify(&error, place))?;
        }
        let targets = target::read(&client, place, &routes).await?;
        if targets.iter().all(|target| target.owner_indexed) {
            // Deletes and patches go by index; a table that was never analysed must not tempt the
            // planner to read all of it.
            let sql = "SET enable_hashjoin = off; SET enable_seqscan = off";
            client.batch_execute(sql).await.map_err(|error| classify(&error, place))?;
        }
        Ok(Self {
            written: vec![Written::default(); routes.len()],
            client,
            place: place.to_owned(),
            routes,
            targets,
            fence,
            prepared: HashMap::new(),
            open: false,
            parked: Vec::new(),
            in_flight: VecDeque::new(),
            durable: None,
        })
    }

    async fn begin(&mut self) -> Result<()> {
        let deferrable = self.targets.iter().any(|target| target.deferrable);
        let sql = if deferrable { "BEGIN; SET CONSTRAINTS ALL DEFERRED" } else { "BEGIN" };
        self.execute_text(sql).await?;
        self.open = true;
        self.written = vec![Written::default(); self.routes.len()];
        Ok(())
    }

    async fn execute_text(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|error| classify(&error, &self.place))
    }

    /// Prepares a statement once per session.
    async fn prepare(&mut self, sql: &str, place: &str) -> Result<Statement> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement =
            self.client.prepare(sql).await.map_err(|error| self.failed(&error, place))?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn failed(&self, error: &tokio_postgres::Error, place: &str) -> Error {
        let refused = error.as_db_error().map(|server| Refused {
            sqlstate: server.code().code().to_owned(),
            constraint: server.constraint().map(str::to_owned),
        });
        let mut error = classify(error, &format!("{}, {place}", self.place));
        if let Some(refused) = refused {
            if refused.sqlstate == "21000" {
                error = Error::new(Code::DuplicateTargetKey, "two source rows give one target key")
                    .at(place)
                    .remedy("select columns that make the target key unique, or widen the key");
            }
            error = error.because(refused);
        }
        match error.code() {
            Code::RowRefused => error.remedy(
                "mend the target (a wider column, a missing partition, a constraint); the pipeline \
                 then goes on from its position by itself, and nothing is skipped",
            ),
            _ => error,
        }
    }

    async fn commit(&mut self, commit: &Commit) -> Result<()> {
        self.check_parked().await?;
        let written = std::mem::take(&mut self.written);
        let record = self.prepare(Fence::RECORD, "ledger").await?;
        self.fence.record(&self.client, &record, commit, &written).await?;
        self.execute_text("COMMIT").await?;
        self.open = false;
        let sql = "SELECT pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text";
        let statement = self.prepare(sql, "after a commit").await?;
        let row = self.client.query_one(&statement, &[]).await;
        let row = row.map_err(|error| classify(&error, &self.place))?;
        let lsn = |at: usize| row.get::<_, String>(at).parse::<Lsn>();
        let protocol = |_| Error::new(Code::Protocol, "a log position of unknown form");
        self.in_flight.push_back((end_of_record(lsn(0).map_err(protocol)?), commit.position));
        self.flushed(lsn(1).map_err(protocol)?);
        Ok(())
    }

    fn flushed(&mut self, flushed: Lsn) {
        while let Some(&(lsn, position)) = self.in_flight.front() {
            if lsn > flushed {
                break;
            }
            self.durable = self.durable.max(Some(position));
            self.in_flight.pop_front();
        }
    }
}

/// At a page boundary the server reports the next insertion behind the page's header, up to which
/// nothing is flushed before the next record: the log that exists ends at the boundary.
fn end_of_record(insert: Lsn) -> Lsn {
    const PAGE: u64 = 8192;
    const LONG_HEADER: u64 = 40;
    if insert.0 % PAGE <= LONG_HEADER { Lsn(insert.0 - insert.0 % PAGE) } else { insert }
}

/// What of the server's refusal decides how to go on. Its other fields may hold row values.
#[derive(Debug, thiserror::Error)]
#[error("SQLSTATE {sqlstate}")]
struct Refused {
    sqlstate: String,
    constraint: Option<String>,
}

impl Sink for PgSink {
    async fn write(&mut self, segment: Segment) -> Result<Vec<Written>> {
        if !self.open {
            self.begin().await?;
        }
        let before = self.written.clone();
        self.write_segment(&segment).await?;
        self.fence.note(&self.client, &segment).await?;
        let changed: Vec<_> = self
            .written
            .iter()
            .zip(&before)
            .enumerate()
            .map(|(statement, (now, before))| Written {
                statement,
                upserted: now.upserted - before.upserted,
                deleted: now.deleted - before.deleted,
            })
            .filter(|written| written.upserted + written.deleted > 0)
            .collect();
        if let Some(commit) = &segment.commit {
            self.commit(commit).await?;
        }
        Ok(changed)
    }

    async fn durable(&mut self) -> Result<Option<Position>> {
        if !self.in_flight.is_empty() && !self.open {
            let sql = "SELECT pg_current_wal_flush_lsn()::text";
            let statement = self.prepare(sql, "asking what is durable").await?;
            let row = self.client.query_one(&statement, &[]).await;
            let row = row.map_err(|error| classify(&error, &self.place))?;
            let flushed = row.get::<_, String>(0).parse();
            self.flushed(
                flushed
                    .map_err(|_| Error::new(Code::Protocol, "a log position of unknown form"))?,
            );
        }
        Ok(self.durable)
    }
}
