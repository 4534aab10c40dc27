//! Reads chunks of source tables: PostgreSQL evaluates the user's SELECTs for a range of keys, all of
//! them in one snapshot. Of a statement that a mapper of the program evaluates, it reads the source rows.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use regraft_core::chunk::{ChunkData, ChunkScope, Snapshot, StatementRows};
use regraft_core::contract::{ChunkReader, SourceState, WATERMARK_PREFIX};
use regraft_core::sql::quote;
use regraft_core::{
    Cell, Code, Drifted, Error, Key, Lsn, Mapped, Mapper, Position, Result, Rows, Subject,
    TableName, Traced, TupleBuilder, WIDE, Watermark, row,
};
use tokio_postgres::types::{PgLsn, ToSql};
use tokio_postgres::{Client, RowStream};

use crate::address::{Address, of_role, place};
use crate::catalog::tree;
use crate::classify;
use crate::given::{Carried, Given};
use crate::hindered::{HARDLY_WAITING, Hindered, unhindered};
use crate::often::Often;
use crate::raw::RawValue;
use crate::restricted::{range, restrictions, trace_sql};
use crate::sessions::Wide;
use crate::slot::names_standby;

/// A source table that chunks are read of.
#[derive(Clone)]
pub struct ReadTable {
    /// The table.
    pub table: TableName,
    /// Its key columns, in key order.
    pub key: Vec<KeyColumn>,
    /// Its statements, in the order of the mapping.
    pub statements: Vec<ReadStatement>,
    /// Its columns of types that have no binary form: the stream carries their texts.
    pub texts: Vec<String>,
}

/// How changed rows of another table lead to source rows.
#[derive(Clone, Debug)]
pub struct ReadTrace {
    /// As in the plan.
    pub name: String,
    /// The columns that are changed there.
    pub columns: Vec<KeyColumn>,
    /// Tables on the way.
    pub steps: Vec<TraceStep>,
    /// Columns of the source table that have the same values.
    pub by: Vec<String>,
    /// How rows of the source table lead to further ones of it.
    pub again: Vec<TraceAgain>,
}

/// A table between the changed one and the source table.
#[derive(Clone, Debug)]
pub struct TraceStep {
    /// The table.
    pub table: TableName,
    /// Its columns that have the values that lead to it.
    pub by: Vec<String>,
    /// Its columns that lead on.
    pub columns: Vec<String>,
}

/// Rows of the source table whose `by` are the `columns` of another one.
#[derive(Clone, Debug)]
pub struct TraceAgain {
    /// Of the row that leads on.
    pub columns: Vec<String>,
    /// Of the row that it leads to.
    pub by: Vec<String>,
}

/// A key column of a [`ReadTable`].
#[derive(Clone, Debug)]
pub struct KeyColumn {
    /// Name.
    pub name: String,
    /// SQL name of its type.
    pub sql_type: String,
    /// Its values are given as their texts, by the stream and by the server.
    pub text: bool,
}

impl KeyColumn {
    /// The column of `table` as the server can give it.
    pub fn given(&self, table: &str) -> String {
        let name = format!("{table}.{}", quote(&self.name));
        if self.text { format!("{name}::text") } else { name }
    }
}

/// A SELECT that can be restricted.
#[derive(Clone)]
pub struct ReadStatement {
    /// How a restriction refers to the source table: its quoted alias.
    pub source_ref: String,
    /// The SELECT, restricted by the given condition, with the key columns before its own.
    pub select: Restrict,
    /// Makes the target rows of what the SELECT gives, and is bound to its columns behind the key.
    /// Without one, the SELECT gives the target rows.
    pub mapper: Option<Arc<dyn Mapper>>,
    /// Columns of the SELECT behind the key that the mapper gets as texts, as in the stream.
    pub texts: Vec<usize>,
}

/// Gives a SELECT that is restricted by a condition.
pub type Restrict = Arc<dyn Fn(&str) -> Result<String> + Send + Sync>;

/// Reads chunks on one connection to the source, which is opened when something is asked on it.
pub struct PgReader {
    source: Address,
    application: String,
    slot: String,
    tables: Arc<Vec<ReadTable>>,
    traces: Arc<Vec<ReadTrace>>,
    session: Option<Arc<Session>>,
    used: Instant,
    /// Of all readers of the pipeline, one at a time has a wide row.
    wide: Wide,
    copy: Option<Copy>,
}

/// A session is closed when nothing was asked on it for so long.
const IDLE: Duration = Duration::from_secs(30);

struct Session {
    client: Client,
    place: String,
    state: Often,
    /// A wide row came on it: its buffer has the size of that until it is closed.
    swollen: AtomicBool,
    /// How long a lock is waited for with nothing in hand.
    lock_deadline: Duration,
}

/// What the source is at a moment.
const STATE: &str = "SELECT pg_current_snapshot()::text, pg_current_wal_flush_lsn(), \
                     (SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = $1), \
                     current_setting('synchronous_standby_names'), current_setting('application_name')";

/// How far the copy of a table is.
#[derive(Default)]
struct Copy {
    session: Option<Arc<Session>>,
    /// The place of the statement that is read.
    statement: usize,
    /// Its cursor is open.
    declared: bool,
    /// What was fetched and is not read to its end, and whether there was anything.
    fetched: Option<(Pin<Box<RowStream>>, bool)>,
}

impl Copy {
    fn session(&self) -> Result<Arc<Session>> {
        let session = self.session.clone();
        session.ok_or_else(|| Error::new(Code::Internal, "a copy that was not begun"))
    }
}

/// Rows per FETCH: each is a short request, however long the copy takes.
const FETCH: &str = "FETCH FORWARD 5000 FROM regraft_copy";

impl PgReader {
    /// A reader on a connection of its own; `slot` is the pipeline's.
    pub(crate) fn new(
        source: Address,
        application: String,
        slot: &str,
        tables: Arc<Vec<ReadTable>>,
        traces: Arc<Vec<ReadTrace>>,
        wide: Wide,
    ) -> Self {
        Self {
            source,
            application,
            slot: slot.to_owned(),
            tables,
            traces,
            session: None,
            used: Instant::now(),
            wide,
            copy: None,
        }
    }

    async fn session(&mut self) -> Result<Arc<Session>> {
        self.used = Instant::now();
        if let Some(session) = self.session.as_ref().filter(|session| !session.is_swollen()) {
            return Ok(Arc::clone(session));
        }
        self.session = None;
        let endpoint = (self.source)()?.reading_in_turn(&self.wide);
        let client = endpoint.connect(&self.application).await;
        let client = client.map_err(|error| of_role("source", error))?;
        let place = place("source", &endpoint);
        // A watermark has to be in the log, but not on a standby: waiting for one would keep chunks
        // from being read while synchronous replication hangs.
        client
            .batch_execute(&format!(
                "SET synchronous_commit = local; SET row_security = off; {HARDLY_WAITING}"
            ))
            .await
            .map_err(|error| classify(&error, &place))?;
        let session = Arc::new(Session {
            client,
            place,
            state: Often::new(STATE),
            swollen: AtomicBool::new(false),
            lock_deadline: endpoint.lock_deadline(),
        });
        self.session = Some(Arc::clone(&session));
        Ok(session)
    }

    fn table(&self, name: &TableName) -> Result<&ReadTable> {
        self.tables.iter().find(|table| &table.table == name).ok_or_else(|| {
            Error::new(Code::Internal, "a chunk of a table outside the mapping")
                .at(name.to_string())
        })
    }
}

impl Session {
    fn is_swollen(&self) -> bool {
        self.swollen.load(Ordering::Relaxed)
    }

    /// A row of so many bytes came.
    fn brought(&self, bytes: usize) {
        if bytes >= WIDE {
            self.swollen.store(true, Ordering::Relaxed);
        }
    }

    fn error(&self, error: &tokio_postgres::Error, table: &ReadTable) -> Error {
        let place = format!("{}, reading {}", self.place, table.table);
        let error = of_source(classify(error, &place));
        match error.code() {
            // Of whatever the statements read: tables that are joined are told by nothing else.
            Code::ShapeChanged => {
                error.drifted(Drifted::of(Subject::Columns, vec![table.table.clone()]))
            }
            _ => error,
        }
    }
}

/// The codes of refusals are those of a target; here the user's SELECT runs on the source.
pub(crate) fn of_source(error: Error) -> Error {
    let (code, remedy) = match error.code() {
        Code::RowRefused => (
            Code::ExpressionFailed,
            "the SELECT fails for some row: try it in psql on the source, and guard the \
                 expression in mapping.sql by CASE or NULLIF, or correct the row",
        ),
        Code::TargetMissing | Code::TargetColumn | Code::TypeMismatch => {
            (Code::ShapeChanged, "the table is not what the mapping was made for: mend either")
        }
        Code::TargetUnavailable => (Code::Unreachable, "the source is asked again by itself"),
        _ => return error,
    };
    let changed = Error::new(code, error.what()).remedy(remedy);
    match error.place() {
        Some(place) => changed.at(place),
        None => changed,
    }
}

/// About how many rows of a table take `bytes`.
pub(crate) async fn rows_in(
    client: &Client,
    table: &TableName,
    bytes: usize,
) -> Result<u64, tokio_postgres::Error> {
    // Statistics where there are some, of all partitions; else some rows, as they are stored.
    let sql = format!(
        "SELECT coalesce(CASE WHEN bool_and(c.reltuples >= 0) AND sum(c.reltuples) > 0 \
                THEN sum(pg_table_size(c.oid)) / sum(c.reltuples)::numeric \
                ELSE (SELECT avg(pg_column_size(few.*)) FROM (SELECT * FROM {} LIMIT 1000) AS few) END, 0)::bigint \
         FROM pg_class c WHERE c.relkind <> 'p' AND c.oid IN ({})",
        table.quoted(),
        tree("$1::text::regclass"),
    );
    let width: i64 = client.query_one(&sql, &[&table.quoted()]).await?.get(0);
    Ok((bytes as u64 / u64::try_from(width).unwrap_or(0).max(1)).max(1))
}

impl PgReader {
    /// Waits, with nothing in hand that others could wait for, until the table can be read; what else is read with
    /// it is tried again soon.
    async fn wait_for(&mut self, name: &TableName, hindered: &mut Hindered) -> Result<()> {
        if !std::mem::replace(&mut hindered.told, true) {
            tracing::info!(table = %name, "a read waits for a lock that somebody has on what it reads");
        }
        let session = self.session().await?;
        let table = self.table(name)?;
        let sql = format!(
            "SET lock_timeout = {}; SELECT FROM ONLY {} LIMIT 0; {HARDLY_WAITING}",
            session.lock_deadline.as_millis(),
            table.table.quoted()
        );
        let free = session.client.batch_execute(&sql).await;
        free.map_err(|error| session.error(&error, table))?;
        hindered.pause().await;
        Ok(())
    }

    async fn boundary_once(
        &mut self,
        name: &TableName,
        after: Option<&[String]>,
        upto: Option<&[String]>,
        rows: u64,
    ) -> Result<Option<Vec<String>>> {
        let session = self.session().await?;
        let table = self.table(name)?;
        let columns: Vec<_> = table.key.iter().map(|column| quote(&column.name)).collect();
        let texts: Vec<_> = columns.iter().map(|column| format!("{column}::text")).collect();
        let sql = format!(
            "SELECT ARRAY[{}] FROM {} AS source WHERE {} ORDER BY {} OFFSET {} LIMIT 1",
            texts.join(", "),
            table.table.quoted(),
            range(table, "source", after.is_some(), upto.is_some()),
            columns.join(", "),
            rows.saturating_sub(1),
        );
        let bounds = after.into_iter().chain(upto).flatten();
        let parameters: Vec<&(dyn ToSql + Sync)> = bounds.map(|text| text as _).collect();
        let row = session.client.query_opt(&sql, &parameters).await;
        Ok(row.map_err(|error| session.error(&error, table))?.map(|row| row.get(0)))
    }

    async fn rows_in_once(&mut self, name: &TableName, bytes: usize) -> Result<u64> {
        let session = self.session().await?;
        let table = self.table(name)?;
        rows_in(&session.client, name, bytes).await.map_err(|error| session.error(&error, table))
    }

    async fn read_once(
        &mut self,
        name: &TableName,
        scope: &ChunkScope,
        bytes_max: usize,
    ) -> Result<ChunkData> {
        self.wide.release();
        let session = self.session().await?;
        let table = self.table(name)?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        session.client.batch_execute(begin).await.map_err(|e| session.error(&e, table))?;
        let data = session.read_in_transaction(table, scope, bytes_max).await;
        // After an error the snapshot must go, too.
        let end = session.client.batch_execute("ROLLBACK").await;
        let end = end.map_err(|e| session.error(&e, table));
        if session.is_swollen() {
            self.session = None;
        }
        let data = data?;
        end.map(|()| data)
    }

    async fn begin_copy_once(&mut self, name: &TableName) -> Result<Snapshot> {
        let session = self.session().await?;
        let table = self.table(name)?.clone();
        // The lock comes before the snapshot: to one that is older than a TRUNCATE, or an ALTER TABLE that rewrites
        // the rows, the table would be empty.
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE {} IN ACCESS SHARE MODE",
            table.table.quoted()
        );
        if let Err(error) = session.client.batch_execute(&begin).await {
            drop(session.client.batch_execute("ROLLBACK").await);
            return Err(session.error(&error, &table));
        }
        // Nobody fetches while the target writes.
        let sql = "SELECT pg_current_snapshot()::text, (SELECT count(set_config(name, '0', true)) FROM pg_settings                    WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout'))";
        let row =
            session.client.query_one(sql, &[]).await.map_err(|e| session.error(&e, &table))?;
        self.copy = Some(Copy { session: Some(session), ..Copy::default() });
        parse_snapshot(row.get(0))
    }

    async fn traced_once(&mut self, name: &TableName, traced: &Traced) -> Result<Vec<Key>> {
        let session = self.session().await?;
        let table = self.table(name)?;
        let trace =
            self.traces.iter().find(|trace| trace.name == traced.trace).ok_or_else(|| {
                let what = format!("the mapping has no trace {} any more", traced.trace);
                Error::new(Code::ShapeChanged, what)
                    .at(name.to_string())
                    .remedy(format!("copy the table anew: `regraft run --recopy {name}`"))
            })?;
        let types = trace.columns.iter().map(Carried::from);
        let mut keys = Vec::new();
        let given = traced.values.as_deref().map(|values| Given::parts(types.clone(), values));
        let parts =
            given.as_ref().map_or_else(|| vec![None], |parts| parts.iter().map(Some).collect());
        for part in parts {
            let sql = trace_sql(table, trace, part.map(|part| part.select(types.clone())));
            let parameters = part.map(Given::parameters).unwrap_or_default();
            let rows = session.client.query_raw(&sql, parameters).await;
            let rows = rows.map_err(|error| session.error(&error, table))?;
            let mut rows = std::pin::pin!(rows);
            while let Some(row) = rows.try_next().await.map_err(|e| session.error(&e, table))? {
                keys.push(key(&row, table.key.len())?);
            }
        }
        if given.is_some_and(|parts| parts.len() > 1) {
            keys.sort_unstable();
            keys.dedup();
        }
        Ok(keys)
    }
}

impl ChunkReader for PgReader {
    async fn boundary(
        &mut self,
        name: &TableName,
        after: Option<&[String]>,
        upto: Option<&[String]>,
        rows: u64,
    ) -> Result<Option<Vec<String>>> {
        unhindered!(self, name, self.boundary_once(name, after, upto, rows))
    }

    async fn rows(&mut self, tables: &[TableName]) -> Result<Vec<u64>> {
        // Without statistics by the size, at the width of an ordinary row. Without a look at the partitions
        // by the function that locks them.
        let sql = "WITH RECURSIVE part (at, oid) AS ( \
                       SELECT at, to_regclass(name)::oid \
                       FROM unnest($1::text[]) WITH ORDINALITY AS t(name, at) \
                       UNION ALL SELECT at, inhrelid FROM part JOIN pg_inherits ON inhparent = part.oid) \
                   SELECT coalesce(sum(CASE WHEN relkind = 'p' THEN 0 WHEN reltuples >= 0 THEN reltuples \
                                       ELSE pg_relation_size(c.oid) / 100 END), 0)::float8 \
                   FROM part LEFT JOIN pg_class c USING (oid) GROUP BY at ORDER BY at";
        let names: Vec<_> = tables.iter().map(TableName::quoted).collect();
        let session = self.session().await?;
        let rows = session.client.query(sql, &[&names]).await;
        let rows = rows.map_err(|error| classify(&error, &session.place))?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
        let rows = rows.iter().map(|row| row.get::<_, f64>(0).max(0.0) as u64).collect();
        Ok(rows)
    }

    async fn rows_in(&mut self, name: &TableName, bytes: usize) -> Result<u64> {
        unhindered!(self, name, self.rows_in_once(name, bytes))
    }

    async fn read(
        &mut self,
        name: &TableName,
        scope: &ChunkScope,
        bytes_max: usize,
    ) -> Result<ChunkData> {
        unhindered!(self, name, self.read_once(name, scope, bytes_max))
    }

    async fn begin_copy(&mut self, name: &TableName) -> Result<Snapshot> {
        unhindered!(self, name, self.begin_copy_once(name))
    }

    async fn copy(&mut self, name: &TableName, bytes_max: usize) -> Result<Option<(usize, Rows)>> {
        let table = self.table(name)?.clone();
        let mut copy = self.copy.take().unwrap_or_default();
        let part = self.part(&table, &mut copy, bytes_max).await;
        self.copy = Some(copy);
        part
    }

    async fn end_copy(&mut self) -> Result<()> {
        let Some(copy) = self.copy.take() else { return Ok(()) };
        let session = copy.session()?;
        let end = session.client.batch_execute("ROLLBACK").await;
        end.map_err(|error| classify(&error, &session.place))
    }

    async fn traced(&mut self, name: &TableName, traced: &Traced) -> Result<Vec<Key>> {
        unhindered!(self, name, self.traced_once(name, traced))
    }

    async fn state(&mut self) -> Result<SourceState> {
        let session = self.session().await?;
        let asked = async {
            let statement = session.state.on(&session.client).await?;
            session.client.query_one(&statement, &[&self.slot]).await
        };
        let row = asked.await.map_err(|error| classify(&error, &session.place))?;
        let end = Lsn(row.get::<_, PgLsn>(1).into());
        let kept = row.get::<_, Option<PgLsn>>(2).map_or(end, |lsn| Lsn(lsn.into()));
        Ok(SourceState {
            snapshot: parse_snapshot(row.get(0))?,
            end: Position::Lsn(end),
            held_bytes: end.bytes_since(kept),
            synchronous: names_standby(row.get(3), row.get(4)),
        })
    }

    async fn mark(&mut self, watermark: &Watermark) -> Result<u64> {
        let sql = "SELECT pg_current_xact_id()::text, pg_logical_emit_message(true, $1, $2::text)";
        let session = self.session().await?;
        let row = session.client.query_one(sql, &[&WATERMARK_PREFIX, &watermark.as_str()]).await;
        let row = row.map_err(|error| classify(&error, &session.place))?;
        let xid: String = row.get(0);
        xid.parse().map_err(|_| Error::new(Code::Protocol, "a transaction id is not a number"))
    }

    fn beside(&self) -> Self {
        let (source, application) = (Arc::clone(&self.source), self.application.clone());
        let (tables, traces) = (Arc::clone(&self.tables), Arc::clone(&self.traces));
        let (session, wide) = (self.session.clone(), self.wide.clone());
        Self { session, ..Self::new(source, application, &self.slot, tables, traces, wide) }
    }

    fn rest(&mut self) {
        self.wide.release();
        let swollen = self.session.as_ref().is_some_and(|session| session.is_swollen());
        if self.used.elapsed() > IDLE || swollen {
            self.session = None;
        }
    }
}

impl PgReader {
    /// The next rows of a copy.
    async fn part(
        &self,
        table: &ReadTable,
        copy: &mut Copy,
        bytes_max: usize,
    ) -> Result<Option<(usize, Rows)>> {
        let session = copy.session()?;
        let mut read = StatementRows::default();
        let mut bytes = 0;
        while let Some(statement) = table.statements.get(copy.statement) {
            if !std::mem::replace(&mut copy.declared, true) {
                let select = (statement.select)("true")?;
                let sql = format!("DECLARE regraft_copy NO SCROLL CURSOR FOR {select}");
                session.client.batch_execute(&sql).await.map_err(|e| session.error(&e, table))?;
            }
            let (rows, some) = match &mut copy.fetched {
                Some(fetched) => fetched,
                None => {
                    let none: Vec<&(dyn ToSql + Sync)> = Vec::new();
                    let rows = session.client.query_raw(FETCH, none).await;
                    let rows = rows.map_err(|error| session.error(&error, table))?;
                    copy.fetched.insert((Box::pin(rows), false))
                }
            };
            while let Some(row) = rows.try_next().await.map_err(|e| session.error(&e, table))? {
                *some = true;
                session.brought(row.raw_size_bytes());
                bytes += match &statement.mapper {
                    None => append(&mut read, &row, 0)?,
                    Some(mapper) => map(&mut read, &row, (0, &statement.texts), mapper.as_ref())?,
                };
                if bytes >= bytes_max {
                    return Ok(Some((copy.statement, read.rows)));
                }
            }
            let more = *some;
            copy.fetched = None;
            if more {
                continue;
            }
            let close = session.client.batch_execute("CLOSE regraft_copy").await;
            close.map_err(|error| session.error(&error, table))?;
            copy.declared = false;
            copy.statement += 1;
            if !read.rows.is_empty() {
                return Ok(Some((copy.statement - 1, read.rows)));
            }
        }
        Ok(None)
    }
}

impl Session {
    async fn read_in_transaction(
        &self,
        table: &ReadTable,
        scope: &ChunkScope,
        bytes_max: usize,
    ) -> Result<ChunkData> {
        let snapshot = self.client.query_one("SELECT pg_current_snapshot()::text", &[]).await;
        let snapshot = snapshot.map_err(|error| self.error(&error, table))?;
        let mut data =
            ChunkData { snapshot: parse_snapshot(snapshot.get(0))?, statements: Vec::new() };
        let mut bytes = 0;
        for statement in &table.statements {
            let mut read = StatementRows::default();
            for restriction in restrictions(table, statement, scope) {
                let sql = (statement.select)(&restriction.sql)?;
                let rows = self.client.query_raw(&sql, restriction.parameters()).await;
                let rows = rows.map_err(|error| self.error(&error, table))?;
                let mut rows = std::pin::pin!(rows);
                while let Some(row) = rows.try_next().await.map_err(|e| self.error(&e, table))? {
                    self.brought(row.raw_size_bytes());
                    bytes += match &statement.mapper {
                        None => append(&mut read, &row, table.key.len())?,
                        Some(mapper) => {
                            let texts = statement.texts.as_slice();
                            map(&mut read, &row, (table.key.len(), texts), mapper.as_ref())?
                        }
                    };
                    if bytes > bytes_max {
                        return Err(Error::new(Code::ChunkTooLarge, "a chunk exceeds its limit"));
                    }
                }
            }
            data.statements.push(read);
        }
        Ok(data)
    }
}

pub(crate) fn parse_snapshot(text: &str) -> Result<Snapshot> {
    Snapshot::parse(text).ok_or_else(|| Error::new(Code::Protocol, "a snapshot of unknown form"))
}

/// Appends a row of a keyed SELECT; gives its size in bytes.
fn append(
    read: &mut StatementRows,
    row: &tokio_postgres::Row,
    key_columns: usize,
) -> Result<usize> {
    let key = key(row, key_columns)?;
    let before = read.rows.size();
    for at in key_columns..row.len() {
        row::put(read.rows.buffer(), cell(row, at)?);
    }
    read.rows.end_row();
    let size = key.0.len() + read.rows.size() - before + 32;
    read.keys.push(key);
    Ok(size)
}

/// Appends what a mapper makes of a row of a keyed SELECT; gives the size of that in bytes.
pub(crate) fn map(
    read: &mut StatementRows,
    row: &tokio_postgres::Row,
    (key_columns, texts): (usize, &[usize]),
    mapper: &dyn Mapper,
) -> Result<usize> {
    let key = key(row, key_columns)?;
    let mut image = TupleBuilder::with_capacity(row.len() - key_columns, 256);
    for at in key_columns..row.len() {
        let text = texts.contains(&(at - key_columns));
        let present = if text { Cell::Text } else { Cell::Binary };
        image.push(cell(row, at)?.map_or(Cell::Null, present));
    }
    let before = read.rows.size();
    let Mapped::Rows(count) = mapper.map(&image.finish(), &mut read.rows)? else {
        let what = "a mapper asks for a row that it was given whole";
        return Err(Error::new(Code::MapperBroken, what));
    };
    read.keys.extend(std::iter::repeat_n(&key, count).cloned());
    Ok(read.rows.size() - before + count * (key.0.len() + 32))
}

/// The first columns of a row, as a key.
pub(crate) fn key(row: &tokio_postgres::Row, columns: usize) -> Result<Key> {
    let mut key = Vec::with_capacity(24 * columns);
    for at in 0..columns {
        row::put(&mut key, cell(row, at)?);
    }
    Ok(Key(key.into_boxed_slice()))
}

pub(crate) fn cell(row: &tokio_postgres::Row, at: usize) -> Result<Option<&[u8]>> {
    let value: Option<RawValue<'_>> = row.try_get(at).map_err(|error| {
        Error::new(Code::Protocol, "a column of a chunk cannot be read").because(error)
    })?;
    Ok(value.map(|value| value.0))
}
