//! Statements that the source evaluates: is the result a function of the row, and whose is it?

use regraft_core::mapper::Output;
use regraft_core::{Code, Error, Result, TableName};
use regraft_mapping::{KeyedRead, Statement, TableRef};
use regraft_postgres::catalog::{Catalog, Table};
use regraft_postgres::classify;

use super::source::{key, readable, source_table};
use super::stream::{logged, sent};
use super::traces::traces;
use super::{Evaluation, Side};
use crate::finding::Finding;

/// Built-in functions that are stable only because they depend on settings, which are fixed in regraft's
/// sessions, or on the text form of their arguments. Others that have an immutable form beside a stable
/// one differ in the same way, except for `age`, which counts from today.
const STABLE: &[&str] = &[
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "format",
    "json_build_array",
    "json_build_object",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_path_exists_tz",
    "jsonb_path_match_tz",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "make_timestamptz",
    "row_to_json",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
];

/// The first function or operator whose value depends on more than its arguments. One that is built in
/// may depend on fixed settings; each other one has to be declared immutable, because it may read
/// tables.
const UNSTABLE: &str = "
    WITH named AS (SELECT * FROM unnest($1::text[], $2::bool[]) WITH ORDINALITY AS n(name, operator, at)),
    functions AS (
        SELECT n.*, p.oid, p.provolatile FROM named n
        JOIN pg_proc p ON p.proname = n.name AND NOT n.operator
        UNION ALL
        SELECT n.*, p.oid, p.provolatile FROM named n
        JOIN pg_operator o ON o.oprname = n.name AND n.operator JOIN pg_proc p ON p.oid = o.oprcode)
    SELECT at, bool_or(provolatile = 'v') AS volatile FROM functions
    WHERE provolatile = 'v'
       OR (provolatile = 's' AND oid >= 16384)
       OR (provolatile = 's' AND name = 'age')
       OR (provolatile = 's' AND NOT operator AND name <> ALL ($3::text[])
           AND NOT EXISTS (SELECT FROM pg_proc i WHERE i.proname = name AND i.provolatile = 'i' AND i.oid < 16384))
    GROUP BY at ORDER BY at LIMIT 1";

/// Refuses what gives another value each time.
pub(super) async fn stable(side: &Side, statement: &Statement) -> Result<()> {
    let named = KeyedRead::named(statement);
    let names: Vec<&str> = named.iter().map(|named| named.name.as_str()).collect();
    let operators: Vec<bool> = named.iter().map(|named| named.operator).collect();
    let found = side.client.query_opt(UNSTABLE, &[&names, &operators, &STABLE]).await;
    let Some(row) = found.map_err(|error| classify(&error, &side.place))? else { return Ok(()) };
    let at = usize::try_from(row.get::<_, i64>("at") - 1).unwrap_or_default();
    let Some(found) = named.get(at) else { return Ok(()) };
    let kind = if found.operator { "the operator" } else { "the function" };
    let place = format!("{}:{}:{}", statement.file(), found.line, found.column);
    let (what, remedy) = if row.get("volatile") {
        (
            "gives another value each time",
            "leave the column out and give it a DEFAULT in the target",
        )
    } else {
        (
            "is not immutable, so that its value may depend on the time, the session or other tables",
            "if it is yours and depends on its arguments only: ALTER FUNCTION … IMMUTABLE",
        )
    };
    Err(Error::new(Code::NotStreamable, format!("{kind} {} {what}", found.name))
        .at(place)
        .remedy(remedy))
}

/// The columns of a SELECT, as the server describes them; it says which are columns of `table`.
pub(super) fn outputs(prepared: &tokio_postgres::Statement, table: &Table) -> Vec<Output> {
    let output = |column: &tokio_postgres::Column| {
        let of_table =
            (column.table_oid() == Some(table.oid)).then(|| column.column_id()).flatten();
        let copied = table.columns.iter().find(|copied| Some(copied.number) == of_table);
        match copied {
            Some(copied) => Output::copy(column.name(), &copied.name),
            None => Output::made(column.name(), column.type_().oid()),
        }
    };
    prepared.columns().iter().map(output).collect()
}

/// For each of these columns of `table`, an output column that is it.
fn owner(
    prepared: &tokio_postgres::Statement,
    table: &Table,
    key: &[String],
) -> Option<Vec<usize>> {
    let outputs = outputs(prepared, table);
    key.iter().map(|k| outputs.iter().position(|output| output.copies() == Some(k))).collect()
}

/// What is known of the SELECT.
pub(super) struct Shape<'a> {
    pub(super) side: &'a Side,
    pub(super) catalog: &'a Catalog<'a>,
    pub(super) prepared: &'a tokio_postgres::Statement,
}

/// A statement over several tables: its source table is the one whose key it copies.
pub(super) struct Joined {
    pub(super) table: Table,
    /// The tables, as the SELECT writes them.
    pub(super) named: Vec<(TableRef, TableName)>,
    pub(super) key: Vec<String>,
    pub(super) evaluation: Evaluation,
}

/// Resolves a statement over several tables, or one that reads a table several times.
pub(super) async fn joined(
    shape: &Shape<'_>,
    statement: &Statement,
    refusal: Error,
    findings: &mut Vec<Finding>,
) -> Result<Joined> {
    let Shape { side, catalog, prepared } = *shape;
    let mut tables = Vec::new();
    for written in statement.source_tables() {
        let schema = written.schema.as_deref();
        let table = catalog.table(schema, &written.name, Code::SourceMissing).await?;
        logged(&table, statement)?;
        sent(&table, &[], statement)?;
        tables.push((written, table));
    }
    let named = tables.iter().map(|(written, table)| ((*written).clone(), table.name.clone()));
    let named = named.collect();
    let owned = tables.iter().position(|(_, table)| {
        table.stream_key().is_some_and(|key| owner(prepared, table, &key).is_some())
    });
    // The first one was looked at before.
    let first = tables.first().map(|(_, table)| table.oid);
    // Without an owner nothing tells which rows a change touches.
    let Some(at) = owned else { return Err(refusal) };
    let (written, table) = tables.swap_remove(at);
    if let Some((word, place)) = statement.picks_among_rows() {
        let what = format!("{word} makes rows depend on rows of other keys");
        let remedy = "write the condition that tells which rows are wanted, and LEFT JOIN";
        return Err(Error::new(Code::NotStreamable, what).at(place).remedy(remedy));
    }
    let key = key(&table, statement)?;
    let owner = owner(prepared, &table, &key).unwrap_or_default();
    let (found, traced) = traces(statement, (written, &table), &tables)?;
    let traced: Vec<_> =
        traced.iter().map(|(table, columns)| (*table, columns.as_slice())).collect();
    let source = source_table(catalog, &table, &key).await?;
    let mapper = KeyedRead::new(statement, written, &source, &traced, outputs(prepared, &table))?;
    let wrapped = statement.wrapped_select(&key, &owner, prepared.columns().len(), "true");
    if side.prepare(&wrapped).await.is_err() {
        return Err(refusal);
    }
    stable(side, statement).await?;
    let mut seen: Vec<_> = first.into_iter().collect();
    for of in std::iter::once(&table).chain(tables.iter().map(|(_, from)| from)) {
        if !seen.contains(&of.oid) {
            seen.push(of.oid);
            readable(of, side, findings);
        }
    }
    let evaluation = Evaluation::Read { mapper, refusal, wrapped: true, traces: found };
    Ok(Joined { table, named, key, evaluation })
}
