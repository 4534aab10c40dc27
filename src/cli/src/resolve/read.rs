//! Statements that the source evaluates: is the result a function of the row, and whose is it?

use regraft_core::mapper::Output;
use regraft_core::{Code, Error, Result, TableName};
use regraft_mapping::{KeyedRead, Statement, TableRef};
use regraft_postgres::catalog::{Catalog, Table};
use regraft_postgres::planning::{Described, DescribedColumn, takes, unstable};

use super::source::{key, readable, source_table};
use super::stream::{logged, sent};
use super::traces::traces;
use super::{Evaluation, Side};
use crate::finding::Finding;

/// Refuses what gives another value each time.
pub(super) async fn stable(side: &Side, statement: &Statement) -> Result<()> {
    let named = KeyedRead::named(statement);
    let names: Vec<&str> = named.iter().map(|named| named.name.as_str()).collect();
    let operators: Vec<bool> = named.iter().map(|named| named.operator).collect();
    let found = unstable(&side.client, &side.place, (&names, &operators)).await?;
    let Some((at, volatile)) = found else { return Ok(()) };
    let Some(found) = named.get(at) else { return Ok(()) };
    let kind = if found.operator { "the operator" } else { "the function" };
    let place = format!("{}:{}:{}", statement.file(), found.line, found.column);
    let (what, remedy) = if volatile {
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
pub(super) fn outputs(prepared: &Described, table: &Table) -> Vec<Output> {
    let output = |column: &DescribedColumn| {
        let of_table = column.number.filter(|_| column.table_oid == Some(table.oid));
        let copied = table.columns.iter().find(|copied| Some(copied.number) == of_table);
        match copied {
            Some(copied) => Output::copy(&column.name, &copied.name),
            None => Output::made(&column.name, column.type_oid),
        }
    };
    prepared.columns.iter().map(output).collect()
}

/// For each of these columns of `table`, an output column that is it.
fn owner(prepared: &Described, table: &Table, key: &[String]) -> Option<Vec<usize>> {
    let outputs = outputs(prepared, table);
    key.iter().map(|k| outputs.iter().position(|output| output.copies() == Some(k))).collect()
}

/// What is known of the SELECT.
pub(super) struct Shape<'a> {
    pub(super) side: &'a Side,
    pub(super) catalog: &'a Catalog<'a>,
    pub(super) prepared: &'a Described,
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
    let wrapped = statement.wrapped_select(&key, &owner, prepared.columns.len(), "true");
    if !takes(&side.client, &wrapped).await {
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
