//! Verification: reads the rows of a statement at the source and at the target, in a form in which
//! equal rows are equal bytes, and keeps what came of it in the ledger.
//!
//! The source evaluates the user's SELECT and converts each value to the type of the target's column;
//! both servers then send it in the same binary form. Types whose binary form holds OIDs, or that are
//! not built in, are compared as text.

mod answer;
mod digests;
mod form;
mod mapped;
mod moment;
mod ranges;
mod read;
mod record;
mod repair;
mod rows;
mod sql;
mod statistics;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use regraft_core::sql::quote;
use regraft_core::verify::{
    Compare, Outcome, Range, RangeRows, Recorded, Request, Seen, Settled, Verified, Verifier,
    VerifyState,
};
use regraft_core::{Code, Error, Key, Position, Result, TableName};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use self::ranges::Wires;
use self::sql::{found_at, numbered, owner_arrays, owners_of_keys};
use crate::address::Address;
use crate::catalog::tree;
use crate::chunks::{KeyColumn, ReadStatement, of_source};
use crate::classify;
use crate::given::{Carried, Given, unnested};
use crate::hindered::HARDLY_WAITING;
use crate::often::Often;
use crate::raw::RawArray;

pub use answer::{Unanswered, answer};
pub use digests::{Algorithm, KeyDigest};
pub use form::{OwnerColumn, TypeOf, VerifyColumn};
pub use moment::{Audit, Moment};
pub use statistics::{ColumnStatistics, Figure};

/// A statement of the mapping, as it is verified.
#[derive(Clone)]
pub struct VerifyStatement {
    /// Tells it from other statements, and from what it was before it was changed: see
    /// [`VerifyStatement::known_by`].
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

/// A server, for verification.
pub struct VerifySide {
    /// A connection.
    pub client: Client,
    /// How the server is called in messages.
    pub place: String,
    /// Where more connections are had.
    pub address: Address,
    /// The name that they go by.
    pub application: String,
}

/// Both sides of one pipeline, on connections of their own.
pub struct PgVerifier {
    source: VerifySide,
    target: VerifySide,
    /// Opened with the first range.
    wires: Option<Wires>,
    name: String,
    statements: Arc<Vec<VerifyStatement>>,
    /// Findings keep the values of their rows.
    values: bool,
    next_request: Often,
    /// For each statement: some value may be so large that its digest is compared instead.
    large: Vec<bool>,
    /// Rows that differed after their repair was written, with the digests of both sides.
    repaired: HashMap<(usize, Key), [Option<[u8; 32]>; 2]>,
}

impl PgVerifier {
    /// A verifier of the pipeline `name`. With `values`, findings keep the rows that differ.
    ///
    /// # Errors
    /// When a session cannot be set up.
    pub async fn new(
        source: VerifySide,
        target: VerifySide,
        name: &str,
        statements: Arc<Vec<VerifyStatement>>,
        values: bool,
    ) -> Result<Self> {
        for VerifySide { client, place, .. } in [&source, &target] {
            // What is recorded may be lost in a crash of the target: it is gained anew then.
            let sql = "SET row_security = off; SET synchronous_commit = off";
            client.batch_execute(sql).await.map_err(|error| classify(&error, place))?;
        }
        let set = source.client.batch_execute(HARDLY_WAITING).await;
        set.map_err(|error| classify(&error, &source.place))?;
        let large = vec![true; statements.len()];
        let (name, wires, next_request) = (name.to_owned(), None, Often::new(record::NEXT_REQUEST));
        let repaired = HashMap::new();
        Ok(Self { source, target, wires, name, statements, values, next_request, large, repaired })
    }

    fn statement(&self, at: usize) -> Result<&VerifyStatement> {
        self.statements
            .get(at)
            .ok_or_else(|| Error::new(Code::Internal, "a verification of an unknown statement"))
    }

    fn at_source(&self, error: &tokio_postgres::Error) -> Error {
        of_source(classify(error, &format!("{}, verifying", self.source.place)))
    }

    fn at_target(&self, error: &tokio_postgres::Error) -> Error {
        classify(error, &format!("{}, verifying", self.target.place))
    }

    async fn roll_back(&self) -> Result<()> {
        for VerifySide { client, place, .. } in [&self.source, &self.target] {
            client.batch_execute("ROLLBACK").await.map_err(|error| classify(&error, place))?;
        }
        Ok(())
    }

    /// Whether values of the tables are stored out of line on either side.
    async fn look_for_large_values(&mut self) -> Result<()> {
        let sql = format!(
            "SELECT ARRAY(SELECT (SELECT coalesce(sum(pg_relation_size(c.reltoastrelid)), 0) > 0 \
             FROM pg_class c WHERE c.reltoastrelid <> 0 AND c.oid IN ({})) \
             FROM unnest($1::text[]) WITH ORDINALITY AS t(name, at) ORDER BY t.at)",
            tree("t.name::regclass")
        );
        let sources: Vec<_> = self.statements.iter().map(|s| s.source.quoted()).collect();
        let targets: Vec<_> = self.statements.iter().map(|s| s.target.quoted()).collect();
        let source = self.source.client.query_one(&sql, &[&sources]).await;
        let source: Vec<bool> = source.map_err(|error| self.at_source(&error))?.get(0);
        let target = self.target.client.query_one(&sql, &[&targets]).await;
        let target: Vec<bool> = target.map_err(|error| self.at_target(&error))?.get(0);
        let large =
            source.into_iter().zip(target).map(|(source, target)| source || target).collect();
        self.large = large;
        Ok(())
    }

    /// Connections on which a range is about to be read: those of the range before, if they still are.
    async fn begin_range(&mut self) -> Result<Wires> {
        if let Some(mut wires) = self.wires.take()
            && wires.begin().await.is_ok()
        {
            return Ok(wires);
        }
        let mut wires = Wires::open(&self.source, &self.target).await?;
        wires.begin().await?;
        Ok(wires)
    }

    /// Begins a transaction that writes findings. One at a time does, of each pipeline: a daemon and
    /// `regraft repair` come to them in different orders, and would wait for each other.
    async fn begin_findings(&self) -> Result<()> {
        let begin = self.target.client.batch_execute("BEGIN").await;
        begin.map_err(|error| self.at_target(&error))?;
        let sql = "SELECT pg_advisory_xact_lock(hashtextextended('regraft.findings:' || $1, 0))";
        let locked = self.target.client.execute(sql, &[&self.name]).await;
        locked.map(drop).map_err(|error| self.at_target(&error))
    }

    async fn end_target(&self) -> Result<()> {
        let end = self.target.client.batch_execute("COMMIT").await;
        end.map_err(|error| self.at_target(&error))
    }
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

/// What is read next of the statement are digests: a value may have become large.
fn is_too_large<T>(read: &Result<T>) -> bool {
    read.as_ref().is_err_and(|error| error.code() == Code::ChunkTooLarge)
}

impl Verifier for PgVerifier {
    fn layout(&self, statement: usize) -> (Option<Vec<usize>>, Vec<usize>) {
        let Some(statement) = self.statements.get(statement) else { return (None, Vec::new()) };
        let owner = statement.owner.as_ref();
        let owner = owner.map(|owner| owner.iter().map(|column| column.output).collect());
        (owner, statement.target_key.clone())
    }

    async fn give_up(&mut self) -> Result<()> {
        self.roll_back().await
    }

    async fn load(&mut self) -> Result<VerifyState> {
        self.look_for_large_values().await?;
        self.load_state().await
    }

    async fn compare<C: Compare>(
        &mut self,
        at: usize,
        owners: Option<Vec<Key>>,
        not_before: &Position,
        into: &mut C,
    ) -> Result<Seen> {
        let read = self.read_exactly(at, owners, not_before, into).await;
        self.large[at] |= is_too_large(&read);
        read
    }

    async fn range<C: Compare>(
        &mut self,
        at: usize,
        after: Option<Vec<String>>,
        rows: RangeRows,
        into: &mut C,
    ) -> Result<Range> {
        let statement = self.statement(at)?;
        if !statement.is_ordered() || statement.read.mapper.is_some() {
            let range = self.read_range(at, after, rows, into).await;
            self.large[at] |= is_too_large(&range);
            return range;
        }
        let mut wires = self.begin_range().await?;
        let asked = (self.name.as_str(), self.statement(at)?, self.large[at]);
        let range = wires.read(asked, after, rows, (&self.source.client, into)).await;
        self.large[at] |= is_too_large(&range);
        let range = range?;
        // The next table's: small ones would cost more for connections than for their rows.
        self.wires = Some(wires);
        Ok(range)
    }

    async fn rows_in(&mut self, at: usize, bytes: usize) -> Result<u64> {
        let table = &self.statement(at)?.source;
        let rows = crate::chunks::rows_in(&self.source.client, table, bytes).await;
        rows.map_err(|error| self.at_source(&error))
    }

    async fn owners(&mut self, at: usize, keys: &[Key]) -> Result<Vec<Key>> {
        let statement = self.statement(at)?;
        let owner = statement.owner();
        if keys.is_empty() || owner.iter().all(|column| column.same) {
            return Ok(keys.to_vec());
        }
        let types = owner.iter().map(|column| Carried::from(&column.key));
        let mut owners = Vec::with_capacity(keys.len());
        for given in Given::parts(types.clone(), keys) {
            let sql = owners_of_keys(owner, &given.select(types.clone()));
            let rows = self.source.client.query(&sql, &given.parameters()).await;
            for row in rows.map_err(|error| self.at_source(&error))? {
                owners.push(crate::chunks::key(&row, owner.len())?);
            }
        }
        Ok(owners)
    }

    async fn owners_of_texts(
        &mut self,
        at: usize,
        keys: &[Vec<String>],
    ) -> Result<Option<Vec<Key>>> {
        let statement = self.statement(at)?;
        let owner = statement.owner();
        if owner.is_empty() || keys.iter().any(|key| key.len() != owner.len()) {
            return Ok(None);
        }
        let types = owner.iter().enumerate();
        let types: Vec<_> =
            types.map(|(at, column)| format!("t.c{at}::{}", column.key.sql_type)).collect();
        let text = Carried { sql_type: "text", text: false };
        let given = unnested(owner.iter().map(|_| text), 1);
        let given = format!("SELECT {} FROM ({given}) AS t", types.join(", "));
        let sql = owners_of_keys(owner, &given);
        let texts = |at: usize| keys.iter().map(|key| key[at].as_str()).collect::<Vec<_>>();
        let columns: Vec<Vec<&str>> = (0..owner.len()).map(texts).collect();
        let parameters: Vec<_> =
            columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
        match self.source.client.query(&sql, &parameters).await {
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
        let names = statement.owner_names("t");
        let form = |column: &OwnerColumn| {
            let bytes = column.bytes_of(1, &format!("t.{}", quote(&column.name)));
            bytes.unwrap_or_else(|| column.of_column())
        };
        let forms = owner.iter().map(form).collect::<Vec<_>>().join(", ");
        let bound = owner.iter().enumerate();
        let bound = bound.map(|(at, column)| {
            let kind = if column.folded[1] { "text" } else { &column.column_type };
            format!("(${}::{}[])[1]::{kind}", at + 1, column.form)
        });
        let bound = bound.collect::<Vec<_>>().join(", ");
        let beyond = if after.is_some() { format!("({names}) > ({bound})") } else { "true".into() };
        let sql = format!(
            "SELECT {forms} FROM {} AS t WHERE {beyond}{} GROUP BY {names} ORDER BY {names} LIMIT {max}",
            statement.target.quoted(),
            statement.own(),
        );
        let after = after.map(|key| arrays(std::slice::from_ref(key), owner.len()));
        let rows =
            self.target.client.query(&sql, &parameters(after.as_deref().unwrap_or_default())).await;
        let rows = rows.map_err(|error| self.at_target(&error))?;
        let held = rows.iter().map(|row| crate::chunks::key(row, owner.len()));
        let held: Vec<Key> = held.collect::<Result<_>>()?;
        let last = if held.len() < max { None } else { held.last().cloned() };
        let (keys, equal) = found_at(owner, "s");
        let sql = format!(
            "SELECT {values} FROM unnest({types}) AS v({aliases}) WHERE NOT EXISTS \
             (SELECT FROM {source} AS s WHERE ({keys}) = ({equal}))",
            values = numbered("v.v", owner.len()),
            types = owner_arrays(owner),
            aliases = numbered("v", owner.len()),
            source = statement.source.quoted(),
        );
        let arrays = arrays(&held, owner.len());
        let rows = self.source.client.query(&sql, &parameters(&arrays)).await;
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
        let rows = self.target.client.query(&sql, &[]).await;
        let rows = rows.map_err(|error| self.at_target(&error))?;
        rows.iter().map(rows::bytes).collect()
    }

    async fn record_range(&mut self, verified: &Verified, sweep: u64) -> Result<()> {
        self.note_range(verified, sweep).await
    }

    async fn record_owners(
        &mut self,
        statement: usize,
        settled: &[Settled],
        position: Option<Position>,
    ) -> Result<Recorded> {
        self.note_owners(statement, settled, position).await
    }

    async fn request(&mut self) -> Result<Option<(i64, Request)>> {
        self.next_request().await
    }

    async fn under_repair(&mut self) -> Result<Vec<(usize, Key)>> {
        self.open(true).await
    }

    async fn open_findings(&mut self) -> Result<Vec<(usize, Key)>> {
        self.open(false).await
    }

    async fn repair(&mut self, max: u64) -> Result<Option<u64>> {
        let sql = "SELECT count(*) FROM regraft.findings WHERE pipeline = $1 AND state = 'open' \
                   AND repair_at IS NULL";
        let row = self.target.client.query_one(sql, &[&self.name]).await;
        let wait: i64 = row.map_err(|error| self.at_target(&error))?.get(0);
        match u64::try_from(wait) {
            Ok(0) => Ok(Some(0)),
            Ok(wait) if wait > max => Ok(None),
            _ => PgVerifier::repair(self, &[], false).await.map(Some),
        }
    }

    async fn repair_targets(&mut self, targets: &[String]) -> Result<u64> {
        PgVerifier::repair(self, targets, false).await
    }

    async fn report(&mut self, request: i64, outcomes: &[Outcome], finished: bool) -> Result<()> {
        self.report_outcomes(request, outcomes, finished).await
    }

    async fn refuse(&mut self, request: i64, error: &Error) -> Result<()> {
        drop(self.target.client.batch_execute("ROLLBACK").await);
        let sql = "UPDATE regraft.verifications SET error = $2, finished_at = now() WHERE id = $1";
        let done = self.target.client.execute(sql, &[&request, &error.to_string()]).await;
        done.map(drop).map_err(|error| self.at_target(&error))
    }
}
