//! One session of the applier: writes segments, each set of them up to a commit as one transaction.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use regraft_core::contract::Written;
use regraft_core::segment::{Commit, Route};
use regraft_core::{Code, Drifted, Error, Lsn, Position, Result, Segment, Subject, fail_point};
use tokio::sync::oneshot;
use tokio_postgres::{Client, Statement};

use super::leaving::Leaving;
use super::recover::Parked;
use super::shape::{self, SHAPES};
use super::target::Target;
use crate::classify;
use crate::ledger::Fence;

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
    SET enable_mergejoin = off;
    -- What a machine that vanished has locked is free again within about a minute.
    SET tcp_user_timeout = 60000";

/// A session that writes one target transaction at a time.
pub(super) struct Lane {
    pub(super) client: Client,
    pub(super) place: String,
    pub(super) routes: Arc<[Route]>,
    pub(super) targets: Arc<[Target]>,
    /// Statements whose targets the open transaction writes.
    touched: BTreeSet<usize>,
    pub(super) fence: Fence,
    prepared: HashMap<String, Statement>,
    /// The planner is kept from joins by hash and from reading whole tables.
    pub(super) by_index: bool,
    /// The role may make temporary tables.
    pub(super) stages: bool,
    open: bool,
    /// Unique values that were put aside in the open transaction.
    pub(super) parked: Vec<Parked>,
    /// Rows that go before the commit.
    pub(super) leaving: Vec<Leaving>,
    /// One row per statement, because two of them have one key.
    pub(super) singly: bool,
    pub(super) written: Vec<Written>,
}

/// What became of a segment.
pub(super) struct Outcome {
    pub(super) written: Vec<Written>,
    pub(super) commit: Option<Committed>,
}

/// A commit that is visible, and where it is in the target's log.
pub(super) struct Committed {
    pub(super) position: Position,
    /// Its record ends at or before here.
    pub(super) recorded: Lsn,
    /// The target's disk has everything up to here.
    pub(super) flushed: Lsn,
}

impl Lane {
    /// A lane on a connection of its own. With `trusted`, neither foreign keys nor ordinary triggers of
    /// the target fire, as in the apply worker of native logical replication.
    pub(super) async fn new(
        client: Client,
        place: &str,
        routes: Arc<[Route]>,
        targets: Arc<[Target]>,
        fence: Fence,
        (trusted, stages): (bool, bool),
    ) -> Result<Self> {
        let mut settings = SESSION.to_owned();
        if trusted {
            settings.push_str("; SET session_replication_role = replica");
        }
        let by_index = targets.iter().all(|target| target.owner_indexed);
        if by_index {
            // Deletes and patches go by index; a table that was never analysed must not tempt the
            // planner to read all of it.
            settings.push_str("; SET enable_hashjoin = off; SET enable_seqscan = off");
        }
        client.batch_execute(&settings).await.map_err(|error| classify(&error, place))?;
        Ok(Self {
            written: vec![Written::default(); routes.len()],
            client,
            place: place.to_owned(),
            routes,
            targets,
            touched: BTreeSet::new(),
            fence,
            prepared: HashMap::new(),
            by_index,
            stages,
            open: false,
            parked: Vec::new(),
            leaving: Vec::new(),
            singly: false,
        })
    }

    /// The target transaction goes on with the next segment.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Writes a segment. Its commit waits for its `turn`: that of the batch before.
    pub(super) async fn write(
        &mut self,
        segment: &Segment,
        turn: Option<oneshot::Receiver<()>>,
    ) -> Result<Outcome> {
        if !self.open {
            self.begin().await?;
            fail_point!("batch.begun");
        }
        let before = self.written.clone();
        let chunk = segment.chunks_done.first().map(|chunk| chunk.id);
        let in_chunk = |error: Error| match chunk {
            Some(chunk) => error.in_chunk(chunk),
            None => error,
        };
        self.touched.extend(segment.writes.iter().map(|writes| writes.statement));
        self.write_segment(segment).await.map_err(in_chunk)?;
        fail_point!("batch.written");
        self.fence.note(&self.client, segment).await?;
        fail_point!("batch.noted");
        let written = self
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
        let commit = match &segment.commit {
            Some(commit) => {
                if let Some(turn) = turn {
                    turn.await
                        .map_err(|_| Error::new(Code::Internal, "the batch before failed"))?;
                }
                Some(self.commit(commit).await?)
            }
            None => None,
        };
        Ok(Outcome { written, commit })
    }

    async fn begin(&mut self) -> Result<()> {
        let deferrable = self.targets.iter().any(|target| target.deferrable);
        let sql = if deferrable { "BEGIN; SET CONSTRAINTS ALL DEFERRED" } else { "BEGIN" };
        self.execute_text(sql).await?;
        self.open = true;
        self.touched.clear();
        self.written = vec![Written::default(); self.routes.len()];
        Ok(())
    }

    pub(super) async fn execute_text(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|error| classify(&error, &self.place))
    }

    /// Prepares a statement once per session.
    pub(super) async fn prepare(&mut self, sql: &str, place: &str) -> Result<Statement> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement =
            self.client.prepare(sql).await.map_err(|error| self.failed(&error, place))?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(super) fn failed(&self, error: &tokio_postgres::Error, place: &str) -> Error {
        let refused = Refused::of(error);
        let mut error = classify(error, &format!("{}, {place}", self.place));
        if let Some(refused) = refused {
            error = error.because(refused);
        }
        match error.code() {
            Code::RowRefused => error.remedy(
                "mend the target (a wider column, a missing partition, a constraint); the pipeline \
                 then goes on from its position by itself, and nothing is skipped",
            ),
            // The plan was made for a target that took it.
            Code::TargetMissing | Code::TargetColumn | Code::TypeMismatch => {
                let at = (0..self.routes.len()).find(|&at| self.route_place(at) == place);
                match at {
                    Some(at) => error.drifted(Drifted::of(
                        Subject::Columns,
                        vec![self.routes[at].source.clone()],
                    )),
                    None => error,
                }
            }
            _ => error,
        }
    }

    async fn commit(&mut self, commit: &Commit) -> Result<Committed> {
        self.settle_leaving().await?;
        self.settle_parked().await?;
        let written = std::mem::take(&mut self.written);
        let record = self.prepare(Fence::RECORD, "ledger").await?;
        let shapes = self.prepare(SHAPES, "looking at the targets").await?;
        // In one round trip.
        let (recorded, fits) = tokio::join!(
            self.fence.record(&self.client, &record, commit, &written),
            self.fits(&shapes)
        );
        recorded?;
        fits?;
        fail_point!("batch.recorded");
        if commit.awaited {
            // The disk is waited for here, rather than the writer of the log, which comes by now and then.
            self.execute_text("SET LOCAL synchronous_commit = local").await?;
        }
        self.execute_text("COMMIT").await?;
        fail_point!("batch.committed");
        self.open = false;
        let [recorded, flushed] = self.log_positions().await?;
        Ok(Committed {
            position: commit.position.clone(),
            recorded: end_of_record(recorded),
            flushed,
        })
    }

    /// Refuses to commit what was written by a plan for other tables than those that are there. The locks of the
    /// writes keep them as they are from here to the commit, and what was altered before is visible.
    async fn fits(&self, shapes: &Statement) -> Result<()> {
        let touched: Vec<_> = self.touched.iter().copied().collect();
        let routes = touched.iter().map(|&at| &self.routes[at]);
        let now = shape::ask(&self.client, &self.place, shapes, routes).await?;
        let altered = touched.iter().zip(now).find(|(at, now)| self.targets[**at].shape != *now);
        let Some((&at, _)) = altered else { return Ok(()) };
        let table = &self.routes[at].target;
        let what = format!(
            "the target {table} was altered while its rows were written: they are not committed"
        );
        let remedy = "nothing needs to be done: they are written again, for the table as it is now";
        Err(Error::new(Code::TargetUnavailable, what).at(&self.place).remedy(remedy))
    }

    /// Where the target's log ends, and up to where it is on disk.
    pub(super) async fn log_positions(&mut self) -> Result<[Lsn; 2]> {
        let sql = "SELECT pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text";
        let statement = self.prepare(sql, "asking what is durable").await?;
        let row = self.client.query_one(&statement, &[]).await;
        let row = row.map_err(|error| classify(&error, &self.place))?;
        let lsn = |at: usize| row.get::<_, String>(at).parse::<Lsn>();
        let protocol = |_| Error::new(Code::Protocol, "a log position of unknown form");
        Ok([lsn(0).map_err(protocol)?, lsn(1).map_err(protocol)?])
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
pub(super) struct Refused {
    pub(super) sqlstate: String,
    pub(super) constraint: Option<String>,
}

impl Refused {
    pub(super) fn of(error: &tokio_postgres::Error) -> Option<Self> {
        error.as_db_error().map(|server| Self {
            sqlstate: server.code().code().to_owned(),
            constraint: server.constraint().map(str::to_owned),
        })
    }
}
