//! Verification: reads the rows of a statement at the source and at the target, in a form in which
//! equal rows are equal bytes, and keeps what came of it in the ledger.
//!
//! The source evaluates the user's SELECT and converts each value to the type of the target's column;
//! both servers then send it in the same binary form. Types whose binary form holds OIDs, or that are
//! not built in, are compared as text.

mod digests;
mod form;
mod mapped;
mod moment;
mod record;
mod repair;
mod rows;
mod statistics;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use regraft_core::sql::{literal, quote};
use regraft_core::verify::{
    Compare, Outcome, Recorded, Request, Seen, Settled, Verified, Verifier, VerifyScope,
    VerifyState,
};
use regraft_core::{Code, Error, Key, Lsn, Position, Result, TableName};
use tokio_postgres::Client;
use tokio_postgres::types::{PgLsn, ToSql};

use crate::chunks::{KeyColumn, ReadStatement, parse_snapshot};
use crate::classify;
use crate::raw::RawArray;

pub use digests::{Algorithm, KeyDigest};
pub use form::{OwnerColumn, TypeOf, VerifyColumn};
pub use moment::{Audit, Moment};
pub use statistics::{ColumnStatistics, Figure};

/// How long the target may take to come to the position that a comparison needs, between looks.
const POSITION_WAIT: Duration = Duration::from_millis(5);

/// A statement of the mapping, as it is verified.
#[derive(Clone)]
pub struct VerifyStatement {
    /// Tells it from other statements, and from what it was before it was changed.
    pub fingerprint: String,
    /// Source table.
    pub source: TableName,
    /// Its key columns, in key order.
    pub key: Vec<KeyColumn>,
    /// The SELECT.
    pub read: ReadStatement,
    /// Target table.
    pub target: TableName,
    /// The output columns.
    pub columns: Vec<VerifyColumn>,
    /// SQL names of the types of what the source gives for them.
    pub types: Vec<String>,
    /// The output columns that copy the source's key, in key order.
    pub owner: Option<Vec<OwnerColumn>>,
    /// Output columns that are the target's key.
    pub target_key: Vec<usize>,
    /// Conditions over the target's columns that tell its rows from those of other statements.
    pub only: Vec<String>,
    /// A condition over the target's columns for rows that no statement of the table can have made.
    /// Present in the first statement of each target.
    pub stray: Option<String>,
}

/// Both sides of one pipeline, on connections of their own.
pub struct PgVerifier {
    source: (Client, String),
    target: (Client, String),
    name: String,
    statements: Arc<Vec<VerifyStatement>>,
    /// Findings keep the values of their rows.
    values: bool,
    /// For each statement: some value may be so large that its digest is compared instead.
    large: Vec<bool>,
}

impl PgVerifier {
    /// A verifier of the pipeline `name`. With `values`, findings keep the rows that differ.
    ///
    /// # Errors
    /// When a session cannot be set up.
    pub async fn new(
        source: (Client, String),
        target: (Client, String),
        name: &str,
        statements: Arc<Vec<VerifyStatement>>,
        values: bool,
    ) -> Result<Self> {
        for (client, place) in [&source, &target] {
            // What is recorded may be lost in a crash of the target: it is gained anew then.
            let sql = "SET row_security = off; SET synchronous_commit = off";
            client.batch_execute(sql).await.map_err(|error| classify(&error, place))?;
        }
        let large = vec![true; statements.len()];
        Ok(Self { source, target, name: name.to_owned(), statements, values, large })
    }

    fn statement(&self, at: usize) -> Result<&VerifyStatement> {
        self.statements
            .get(at)
            .ok_or_else(|| Error::new(Code::Internal, "a verification of an unknown statement"))
    }

    fn at_source(&self, error: &tokio_postgres::Error) -> Error {
        classify(error, &format!("{}, verifying", self.source.1))
    }

    fn at_target(&self, error: &tokio_postgres::Error) -> Error {
        classify(error, &format!("{}, verifying", self.target.1))
    }

    async fn roll_back(&self) -> Result<()> {
        for (client, place) in [&self.source, &self.target] {
            client.batch_execute("ROLLBACK").await.map_err(|error| classify(&error, place))?;
        }
        Ok(())
    }

    /// Whether values of the tables are stored out of line on either side.
    async fn look_for_large_values(&mut self) -> Result<()> {
        let sql = "SELECT coalesce(sum(pg_relation_size(c.reltoastrelid)), 0) > 0 FROM pg_class c \
                   WHERE c.reltoastrelid <> 0 AND (c.oid = $1::text::regclass OR c.oid IN \
                   (SELECT relid FROM pg_partition_tree($1::text::regclass)))";
        let mut large = Vec::new();
        for statement in self.statements.iter() {
            let (source, target) = (statement.source.quoted(), statement.target.quoted());
            let source = self.source.0.query_one(sql, &[&source]).await;
            let source: bool = source.map_err(|error| self.at_source(&error))?.get(0);
            let target = self.target.0.query_one(sql, &[&target]).await;
            let target: bool = target.map_err(|error| self.at_target(&error))?.get(0);
            large.push(source || target);
        }
        self.large = large;
        Ok(())
    }

    /// Begins the transaction in which the target is read, at a position of at least `not_before`.
    async fn begin_target(&self, not_before: Option<Position>) -> Result<Position> {
        loop {
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            let begin = self.target.0.batch_execute(begin).await;
            begin.map_err(|error| self.at_target(&error))?;
            let sql = "SELECT position FROM regraft.pipelines WHERE name = $1";
            let row = self.target.0.query_one(sql, &[&self.name]).await;
            let position = row.map_err(|error| self.at_target(&error))?.get::<_, PgLsn>(0);
            let position = Position::Lsn(Lsn(position.into()));
            if not_before.is_none_or(|wanted| position >= wanted) {
                return Ok(position);
            }
            self.end_target().await?;
            tokio::time::sleep(POSITION_WAIT).await;
        }
    }

    /// Begins a transaction that writes findings. One at a time does, of each pipeline: a daemon and
    /// `regraft repair` come to them in different orders, and would wait for each other.
    async fn begin_findings(&self) -> Result<()> {
        let begin = self.target.0.batch_execute("BEGIN").await;
        begin.map_err(|error| self.at_target(&error))?;
        let sql = "SELECT pg_advisory_xact_lock(hashtextextended('regraft.findings:' || $1, 0))";
        let locked = self.target.0.execute(sql, &[&self.name]).await;
        locked.map(drop).map_err(|error| self.at_target(&error))
    }

    async fn end_target(&self) -> Result<()> {
        let end = self.target.0.batch_execute("COMMIT").await;
        end.map_err(|error| self.at_target(&error))
    }

    /// Source keys that the target's snapshot still waits for; `true` when they are not known.
    async fn pending(&self, table: &TableName) -> Result<(Vec<Key>, bool)> {
        let sql = "SELECT keys, trace IS NOT NULL OR keys IS NULL FROM regraft.chunks WHERE pipeline = $1 \
                   AND source_schema = $2 AND source_table = $3 AND done_at IS NULL";
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.name, &table.schema, &table.name];
        let rows = self.target.0.query(sql, &parameters).await;
        let (mut keys, mut all) = (Vec::new(), false);
        for row in rows.map_err(|error| self.at_target(&error))? {
            all |= row.get::<_, bool>(1);
            let found = row.get::<_, Option<Vec<Vec<u8>>>>(0).unwrap_or_default();
            keys.extend(found.into_iter().map(|key| Key(key.into_boxed_slice())));
        }
        Ok((keys, all))
    }

    /// The source keys of a range, as owner values.
    async fn owners_in(
        &self,
        statement: &VerifyStatement,
        scope: &VerifyScope,
    ) -> Result<Vec<Key>> {
        let owner = statement.owner.as_deref().unwrap_or_default();
        let forms = owner.iter().map(|column| column.of_key("s"));
        let sql = format!(
            "SELECT {} FROM {} AS s WHERE {}",
            forms.collect::<Vec<_>>().join(", "),
            statement.source.quoted(),
            range(&key_columns("s", &statement.key), scope),
        );
        let rows = self.source.0.query(&sql, &[]).await;
        let rows = rows.map_err(|error| self.at_source(&error))?;
        rows.iter().map(|row| crate::chunks::key(row, owner.len())).collect()
    }
}

/// The key columns of the source with the types in which bounds are given.
fn key_columns(source: &str, key: &[KeyColumn]) -> Vec<(String, String)> {
    let column =
        |column: &KeyColumn| (format!("{source}.{}", quote(&column.name)), column.sql_type.clone());
    key.iter().map(column).collect()
}

/// `("w"."id") > ('…'::text::uuid)`; values are literals because COPY takes no parameters.
fn range(columns: &[(String, String)], scope: &VerifyScope) -> String {
    let VerifyScope::Range { after, upto } = scope else { return "true".to_owned() };
    let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let bound = |texts: &Vec<String>, operator: &str| {
        let values = texts.iter().zip(columns);
        let values: Vec<_> =
            values.map(|(text, (_, kind))| format!("{}::text::{kind}", literal(text))).collect();
        format!("({}) {operator} ({})", names.join(", "), values.join(", "))
    };
    let bounds = after.iter().map(|after| bound(after, ">"));
    let bounds: Vec<_> = bounds.chain(upto.iter().map(|upto| bound(upto, "<="))).collect();
    if bounds.is_empty() { "true".to_owned() } else { bounds.join(" AND ") }
}

/// One array for each column of the keys.
fn arrays(keys: &[Key], columns: usize) -> Vec<RawArray> {
    let mut arrays = vec![RawArray::default(); columns];
    for key in keys {
        arrays.iter_mut().zip(key.row().cells()).for_each(|(array, cell)| array.push(cell));
    }
    arrays
}

fn parameters(arrays: &[RawArray]) -> Vec<&(dyn ToSql + Sync)> {
    arrays.iter().map(|array| array as _).collect()
}

impl VerifyStatement {
    /// A condition for the source rows in `scope`.
    fn restriction(&self, scope: &VerifyScope) -> String {
        let reference = &self.read.source_ref;
        match scope {
            VerifyScope::Owners(_) => {
                let owner = self.owner.as_deref().unwrap_or_default();
                let keys: Vec<_> = owner.iter().map(|column| column.found_at(reference)).collect();
                let types = owner.iter().enumerate();
                let types: Vec<_> =
                    types.map(|(at, column)| format!("${}::{}[]", at + 1, column.form)).collect();
                format!("({}) IN (SELECT * FROM unnest({}))", keys.join(", "), types.join(", "))
            }
            _ => range(&key_columns(reference, &self.key), scope),
        }
    }

    fn source_sql(&self, scope: &VerifyScope, large: bool) -> Result<String> {
        let columns = self.columns.iter().enumerate();
        let columns: Vec<_> =
            columns.map(|(at, column)| column.of_source(&format!("q.c{at}"), large)).collect();
        let names = (0..self.key.len()).map(|at| format!("k{at}"));
        let names = names.chain((0..self.columns.len()).map(|at| format!("c{at}")));
        Ok(format!(
            "SELECT {} FROM (\n{}\n) AS q({})",
            columns.join(", "),
            (self.read.select)(&self.restriction(scope))?,
            names.collect::<Vec<_>>().join(", "),
        ))
    }

    fn target_sql(&self, scope: &VerifyScope, large: bool) -> String {
        let columns = self.columns.iter();
        let columns: Vec<_> = columns
            .map(|column| column.of_target(&format!("t.{}", quote(&column.name)), large))
            .collect();
        let owner = self.owner.as_deref().unwrap_or_default();
        let names: Vec<_> =
            owner.iter().map(|column| format!("t.{}", quote(&column.name))).collect();
        let restriction = match scope {
            VerifyScope::Owners(_) => {
                let types = owner.iter().enumerate();
                let types: Vec<_> =
                    types.map(|(at, column)| format!("${}::{}[]", at + 1, column.form)).collect();
                let values = owner.iter().enumerate();
                let values: Vec<_> =
                    values.map(|(at, column)| format!("v{at}::{}", column.column_type)).collect();
                let aliases: Vec<_> = (0..owner.len()).map(|at| format!("v{at}")).collect();
                format!(
                    "({}) IN (SELECT {} FROM unnest({}) AS v({}))",
                    names.join(", "),
                    values.join(", "),
                    types.join(", "),
                    aliases.join(", ")
                )
            }
            _ => {
                let types = owner.iter().map(|column| column.column_type.clone());
                range(&names.into_iter().zip(types).collect::<Vec<_>>(), scope)
            }
        };
        let own = self.only.iter().map(|only| format!(" AND {only}")).collect::<String>();
        let table = self.target.quoted();
        format!("SELECT {} FROM {table} AS t WHERE {restriction}{own}", columns.join(", "))
    }

    /// A range of source keys is a range of owners, in the same order, at the target.
    fn is_ordered(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.iter().all(|column| column.ordered))
    }
}

impl Verifier for PgVerifier {
    fn layout(&self, statement: usize) -> (Option<Vec<usize>>, Vec<usize>) {
        let Some(statement) = self.statements.get(statement) else { return (None, Vec::new()) };
        let owner = statement.owner.as_ref();
        let owner = owner.map(|owner| owner.iter().map(|column| column.output).collect());
        (owner, statement.target_key.clone())
    }

    async fn load(&mut self) -> Result<VerifyState> {
        self.roll_back().await?;
        self.look_for_large_values().await?;
        self.load_state().await
    }

    async fn compare<C: Compare>(
        &mut self,
        at: usize,
        scope: &VerifyScope,
        not_before: Option<Position>,
        into: &mut C,
    ) -> Result<Seen> {
        let statement = self.statement(at)?;
        let large = self.large[at];
        let begun = Instant::now();
        // A range that is none at the target is a list of owners there.
        let listed;
        let target_scope = match scope {
            VerifyScope::Range { .. } if !statement.is_ordered() => {
                listed = VerifyScope::Owners(self.owners_in(statement, scope).await?);
                &listed
            }
            scope => scope,
        };
        let position = self.begin_target(not_before).await?;
        let mut seen = Seen {
            snapshot: regraft_core::Snapshot::default(),
            position,
            pending: Vec::new(),
            all_pending: false,
            source_time: Duration::ZERO,
        };
        if !matches!(scope, VerifyScope::Range { .. }) {
            (seen.pending, seen.all_pending) = self.pending(&statement.source).await?;
        }
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let source = &self.source.0;
        source.batch_execute(begin).await.map_err(|error| self.at_source(&error))?;
        let snapshot = source.query_one("SELECT pg_current_snapshot()::text", &[]).await;
        let snapshot = snapshot.map_err(|error| self.at_source(&error))?;
        seen.snapshot = parse_snapshot(snapshot.get(0))?;
        let target = (statement.target_sql(target_scope, large), target_scope);
        let target = (target.0.as_str(), target.1);
        let read = match statement.read.mapper.clone() {
            Some(mapper) => {
                let begun = Instant::now();
                self.mapped((statement, mapper.as_ref()), scope, large, into).await?;
                let time = begun.elapsed();
                rows::of_target(self, target, into).await?;
                Ok(Some(time))
            }
            None => {
                let sql = statement.source_sql(scope, large)?;
                rows::both(self, (&sql, scope), target, into).await
            }
        };
        let time = match read {
            // The rest of the rows is dropped as it comes.
            Err(error) if error.code() == Code::ChunkTooLarge => {
                self.roll_back().await?;
                return Err(error);
            }
            read => read?,
        };
        source.batch_execute("COMMIT").await.map_err(|error| self.at_source(&error))?;
        self.end_target().await?;
        seen.source_time = time.unwrap_or_else(|| begun.elapsed());
        Ok(seen)
    }

    async fn owners(&mut self, at: usize, keys: &[Key]) -> Result<Vec<Key>> {
        let statement = self.statement(at)?;
        let owner = statement.owner.as_deref().unwrap_or_default();
        if keys.is_empty() || owner.iter().all(|column| column.same) {
            return Ok(keys.to_vec());
        }
        let sql = owners_sql(owner, |at, column| format!("${}::{}[]", at + 1, column.key.sql_type));
        let arrays = arrays(keys, owner.len());
        let rows = self.source.0.query(&sql, &parameters(&arrays)).await;
        let rows = rows.map_err(|error| self.at_source(&error))?;
        rows.iter().map(|row| crate::chunks::key(row, owner.len())).collect()
    }

    async fn owners_of_texts(
        &mut self,
        at: usize,
        keys: &[Vec<String>],
    ) -> Result<Option<Vec<Key>>> {
        let statement = self.statement(at)?;
        let owner = statement.owner.as_deref().unwrap_or_default();
        if owner.is_empty() || keys.iter().any(|key| key.len() != owner.len()) {
            return Ok(None);
        }
        let sql = owners_sql(owner, |at, column| {
            format!("${}::text[]::{}[]", at + 1, column.key.sql_type)
        });
        let texts = |at: usize| keys.iter().map(|key| key[at].as_str()).collect::<Vec<_>>();
        let columns: Vec<Vec<&str>> = (0..owner.len()).map(texts).collect();
        let parameters: Vec<_> =
            columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
        match self.source.0.query(&sql, &parameters).await {
            Ok(rows) => {
                let keys: Result<_> =
                    rows.iter().map(|row| crate::chunks::key(row, owner.len())).collect();
                keys.map(Some)
            }
            Err(error) if error.code().is_some_and(|code| code.code().starts_with("22")) => {
                Ok(None)
            }
            Err(error) => Err(self.at_source(&error)),
        }
    }

    async fn orphans(
        &mut self,
        at: usize,
        after: Option<&Key>,
        max: usize,
    ) -> Result<(Vec<Key>, Option<Key>)> {
        let statement = self.statement(at)?;
        let Some(owner) = statement.owner.as_deref().filter(|_| !statement.is_ordered()) else {
            return Ok((Vec::new(), None));
        };
        let names: Vec<_> =
            owner.iter().map(|column| format!("t.{}", quote(&column.name))).collect();
        let names = names.join(", ");
        let forms = owner.iter().map(OwnerColumn::of_column).collect::<Vec<_>>().join(", ");
        let bound = owner.iter().enumerate();
        let bound = bound.map(|(at, column)| {
            format!("(${}::{}[])[1]::{}", at + 1, column.form, column.column_type)
        });
        let bound = bound.collect::<Vec<_>>().join(", ");
        let beyond = if after.is_some() { format!("({names}) > ({bound})") } else { "true".into() };
        let own = statement.only.iter().map(|only| format!(" AND {only}")).collect::<String>();
        let sql = format!(
            "SELECT {forms} FROM {} AS t WHERE {beyond}{own} GROUP BY {names} ORDER BY {names} LIMIT {max}",
            statement.target.quoted(),
        );
        let after = after.map(|key| arrays(std::slice::from_ref(key), owner.len()));
        let rows =
            self.target.0.query(&sql, &parameters(after.as_deref().unwrap_or_default())).await;
        let rows = rows.map_err(|error| self.at_target(&error))?;
        let held = rows.iter().map(|row| crate::chunks::key(row, owner.len()));
        let held: Vec<Key> = held.collect::<Result<_>>()?;
        let last = if held.len() < max { None } else { held.last().cloned() };
        let types = owner.iter().enumerate();
        let types: Vec<_> =
            types.map(|(at, column)| format!("${}::{}[]", at + 1, column.form)).collect();
        let values: Vec<_> = (0..owner.len()).map(|at| format!("v.v{at}")).collect();
        let aliases: Vec<_> = (0..owner.len()).map(|at| format!("v{at}")).collect();
        let keys: Vec<_> = owner.iter().map(|column| column.found_at("s")).collect();
        let sql = format!(
            "SELECT {values} FROM unnest({types}) AS v({aliases}) WHERE NOT EXISTS \
             (SELECT FROM {source} AS s WHERE ({keys}) = ({values}))",
            values = values.join(", "),
            types = types.join(", "),
            aliases = aliases.join(", "),
            source = statement.source.quoted(),
            keys = keys.join(", "),
        );
        let arrays = arrays(&held, owner.len());
        let rows = self.source.0.query(&sql, &parameters(&arrays)).await;
        let rows = rows.map_err(|error| self.at_source(&error))?;
        let orphans = rows.iter().map(|row| crate::chunks::key(row, owner.len()));
        Ok((orphans.collect::<Result<_>>()?, last))
    }

    async fn strays(&mut self, at: usize) -> Result<Vec<Bytes>> {
        let statement = self.statement(at)?;
        let Some(stray) = &statement.stray else { return Ok(Vec::new()) };
        let columns = statement.columns.iter();
        let columns: Vec<_> = columns
            .map(|column| column.of_target(&format!("t.{}", quote(&column.name)), true))
            .collect();
        let table = statement.target.quoted();
        let sql =
            format!("SELECT {} FROM {table} AS t WHERE {stray} LIMIT 1000", columns.join(", "));
        let rows = self.target.0.query(&sql, &[]).await;
        let rows = rows.map_err(|error| self.at_target(&error))?;
        rows.iter().map(rows::bytes).collect()
    }

    async fn record_range(
        &mut self,
        verified: &Verified,
        sweep: u64,
        scope: &VerifyScope,
    ) -> Result<()> {
        self.note_range(verified, sweep, scope).await
    }

    async fn record_owners(
        &mut self,
        statement: usize,
        settled: &[Settled],
        position: Position,
    ) -> Result<Recorded> {
        self.note_owners(statement, settled, position).await
    }

    async fn request(&mut self) -> Result<Option<(i64, Request)>> {
        self.next_request().await
    }

    async fn under_repair(&mut self) -> Result<Vec<(usize, Key)>> {
        PgVerifier::under_repair(self).await
    }

    async fn repair(&mut self, max: u64) -> Result<Option<u64>> {
        let sql = "SELECT count(*) FROM regraft.findings WHERE pipeline = $1 AND state = 'open' \
                   AND repair_at IS NULL";
        let row = self.target.0.query_one(sql, &[&self.name]).await;
        let wait: i64 = row.map_err(|error| self.at_target(&error))?.get(0);
        match u64::try_from(wait) {
            Ok(0) => Ok(Some(0)),
            Ok(wait) if wait > max => Ok(None),
            _ => PgVerifier::repair(self, &[]).await.map(Some),
        }
    }

    async fn report(&mut self, request: i64, outcomes: &[Outcome], finished: bool) -> Result<()> {
        self.report_outcomes(request, outcomes, finished).await
    }

    async fn refuse(&mut self, request: i64, error: &Error) -> Result<()> {
        drop(self.target.0.batch_execute("ROLLBACK").await);
        let sql = "UPDATE regraft.verifications SET error = $2, finished_at = now() WHERE id = $1";
        let done = self.target.0.execute(sql, &[&request, &error.to_string()]).await;
        done.map(drop).map_err(|error| self.at_target(&error))
    }
}

/// Owner values of source keys that are given as arrays.
fn owners_sql(owner: &[OwnerColumn], array: impl Fn(usize, &OwnerColumn) -> String) -> String {
    let arrays: Vec<_> = owner.iter().enumerate().map(|(at, column)| array(at, column)).collect();
    let names: Vec<_> = owner.iter().map(|column| quote(&column.key.name)).collect();
    let values: Vec<_> = owner.iter().map(|column| column.of_key("v")).collect();
    format!(
        "SELECT {} FROM unnest({}) WITH ORDINALITY AS v({}, \"regraft place\") ORDER BY \"regraft place\"",
        values.join(", "),
        arrays.join(", "),
        names.join(", ")
    )
}
