//! One session of the applier: what it knows, how it runs statements, and what their errors are about.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use regraft_core::contract::Written;
use regraft_core::segment::Route;
use regraft_core::{Code, Drifted, Error, Result, Subject};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::owed::{Leaving, Parked};
use super::target::Target;
use crate::classify;
use crate::ledger::Fence;
use crate::raw::RawArray;

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
    pub(super) touched: BTreeSet<usize>,
    pub(super) fence: Fence,
    prepared: HashMap<String, Statement>,
    /// The planner is kept from joins by hash and from reading whole tables.
    pub(super) by_index: bool,
    /// The role may make temporary tables.
    pub(super) stages: bool,
    pub(super) open: bool,
    /// Unique values that were put aside in the open transaction.
    pub(super) parked: Vec<Parked>,
    /// Rows that go before the commit.
    pub(super) leaving: Vec<Leaving>,
    /// One row per statement, because two of them have one key.
    pub(super) singly: bool,
    pub(super) written: Vec<Written>,
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

    pub(super) async fn run(&mut self, sql: &str, at: usize, arrays: &[RawArray]) -> Result<u64> {
        let place = self.route_place(at);
        let statement = self.prepare(sql, &place).await?;
        let parameters = arrays.iter().map(|array| array as &(dyn ToSql + Sync));
        let done = self.client.execute_raw(&statement, parameters).await;
        done.map_err(|error| {
            let failed = self.refused(at, &error);
            match Refused::of(&error) {
                // Two rows of one statement have one key.
                Some(refused) if failed.code() == Code::DuplicateTargetKey => {
                    self.collision(at).because(refused)
                }
                _ => failed,
            }
        })
    }

    /// Runs a statement that gives two texts per row.
    pub(super) async fn pairs(
        &mut self,
        sql: &str,
        at: usize,
        arrays: &[RawArray],
    ) -> Result<Vec<(String, String)>> {
        let parameters: Vec<_> = arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect();
        let rows = self.rows(sql, at, &parameters).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Runs a statement that gives rows.
    pub(super) async fn rows(
        &mut self,
        sql: &str,
        at: usize,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>> {
        let place = self.route_place(at);
        let statement = self.prepare(sql, &place).await?;
        let rows = self.client.query(&statement, parameters).await;
        rows.map_err(|error| self.refused(at, &error))
    }

    /// The error of a statement that wrote rows.
    pub(super) fn refused(&self, at: usize, error: &tokio_postgres::Error) -> Error {
        let failed = self.failed(error, &self.route_place(at));
        let by = &self.targets[at].partitioned_by;
        let no_partition = Refused::of(error)
            .is_some_and(|refused| refused.sqlstate == "23514" && refused.constraint.is_none());
        if failed.code() != Code::RowRefused || !no_partition || by.is_empty() {
            return failed;
        }
        failed.remedy(format!(
            "make a partition of {} that takes the row, or a DEFAULT partition: it is partitioned by {by}; the \
             pipeline then goes on from its position by itself, and nothing is skipped",
            self.routes[at].target
        ))
    }

    /// The error about a target key that two source rows have.
    pub(super) fn collision(&self, at: usize) -> Error {
        collision(&self.routes[at], &self.targets[at]).at(self.route_place(at))
    }

    pub(super) fn route_place(&self, at: usize) -> String {
        let route = &self.routes[at];
        let Route { place, target, source, source_key, .. } = route;
        let by = if route.keyless {
            String::new()
        } else {
            format!(" by key {}", source_key.join(", "))
        };
        format!("{place} (into {target}, rows of {source}{by})")
    }
}

fn collision(route: &Route, target: &Target) -> Error {
    let names = |columns: &[usize]| {
        let names = columns.iter().map(|&at| route.columns[at].name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let key = names(&target.key);
    let owners = match &route.owner {
        Some(owner) => format!(" (there by {})", names(owner)),
        None => String::new(),
    };
    let what = format!(
        "two source rows give one target key: a row of {}, told by its key ({}){owners}, gives a key \
         ({key}) of {} at which the target holds the row of another one",
        route.source,
        route.source_key.join(", "),
        route.target,
    );
    Error::new(Code::DuplicateTargetKey, what).remedy(format!(
        "find them at the source by SELECT {key} FROM (the SELECT) GROUP BY {key} HAVING count(*) > 1 \
         and mend the source's rows: the pipeline then goes on by itself, and nothing is skipped; if \
         they are right, widen the target's key; a row of the target that no source row gives has to \
         be removed there",
    ))
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
