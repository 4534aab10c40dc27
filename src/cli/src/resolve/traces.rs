//! How changes of the other tables of a SELECT lead to rows of its source table: by equalities that
//! the SELECT demands, by comments, and from table to table.

use regraft_core::sql::quote;
use regraft_core::{Code, Error, ReplicaIdentity, Result};
use regraft_mapping::{Statement, TableRef, TraceComment};
use regraft_pipeline::Trace;
use regraft_postgres::catalog::Table;
use regraft_postgres::chunks::{ReadTrace, TraceAgain, TraceStep};

use super::{FoundTrace, key_column};

/// A table as the SELECT names it.
type Named<'a> = (&'a TableRef, &'a Table);

/// From one table to the next: rows of `to` whose `by` are the `columns` of a row of `from`.
#[derive(Clone)]
struct Edge<'a> {
    from: &'a Table,
    columns: Vec<String>,
    to: &'a Table,
    by: Vec<String>,
    place: String,
}

/// The tables of a SELECT that are traced, with the columns that lead from them.
type Traced<'a> = Vec<(&'a TableRef, Vec<String>)>;

/// The traces from all other tables to the source table.
///
/// # Errors
/// [`Code::NotStreamable`] for a table that none leads from, and for a comment that says nothing;
/// [`Code::SourceKeyMissing`] when the stream lacks the old values of a trace.
pub(super) fn traces<'a>(
    statement: &Statement,
    source: (&'a TableRef, &'a Table),
    tables: &'a [(&'a TableRef, Table)],
) -> Result<(Vec<FoundTrace>, Traced<'a>)> {
    // For each table, the ways that lead to the source table.
    let mut ways: Vec<Vec<Vec<Edge<'a>>>> = vec![Vec::new(); tables.len()];
    for (at, (written, from)) in tables.iter().enumerate() {
        let edges = edges(statement, (*written, from), source, true);
        ways[at] = edges.into_iter().map(|edge| vec![edge]).collect();
    }
    // The rows that a recursive SELECT meets on the way cannot be told by its text.
    while !statement.is_recursive() {
        let mut further = Vec::new();
        for (at, (written, from)) in
            tables.iter().enumerate().filter(|&(at, _)| ways[at].is_empty())
        {
            let reached = tables.iter().enumerate().filter(|&(other, _)| !ways[other].is_empty());
            for (other, (next, to)) in reached {
                for edge in edges(statement, (*written, from), (*next, to), false) {
                    let way = |rest: &Vec<Edge<'a>>| {
                        [std::slice::from_ref(&edge), rest.as_slice()].concat()
                    };
                    further.extend(ways[other].iter().map(way).map(|way| (at, way)));
                }
            }
        }
        if further.is_empty() {
            break;
        }
        further.into_iter().for_each(|(at, way)| ways[at].push(way));
    }
    if let Some(lost) = ways.iter().position(Vec::is_empty) {
        return Err(no_way(statement, &tables[lost].1, source.1));
    }
    unused(statement, source.1, tables)?;
    let again = again(&ways, source.1, statement);
    let mut found: Vec<FoundTrace> = Vec::new();
    for way in ways.iter().flatten() {
        let trace = found_trace(way, &again)?;
        if !found.iter().any(|known| known.plan.name == trace.plan.name) {
            found.push(trace);
        }
    }
    let first = |way: &Vec<Edge<'_>>| way.first().map(|edge| edge.columns.clone());
    let traced = tables.iter().zip(&ways).flat_map(|((written, _), ways)| {
        ways.iter().filter_map(first).map(|columns| (*written, columns))
    });
    Ok((found, traced.collect()))
}

/// What leads from one table to another: comments, and an equality of the SELECT.
fn edges<'a>(
    statement: &Statement,
    (written, from): Named<'a>,
    (next, to): Named<'a>,
    to_source: bool,
) -> Vec<Edge<'a>> {
    let edge = |columns: &[String], by: &[String], place: String| Edge {
        from,
        columns: columns.to_vec(),
        to,
        by: by.to_vec(),
        place,
    };
    let leads = |comment: &&TraceComment| {
        is(&comment.table, from) && comment.to.as_ref().map_or(to_source, |named| is(named, to))
    };
    let given = statement.traces().iter().filter(leads);
    let mut found: Vec<_> = given
        .map(|comment| edge(&comment.columns, &comment.by, statement.place_of_trace(comment)))
        .collect();
    let equal = statement.equal_columns(written, next);
    // One whose old values are in the stream, if there is one.
    let identity = from.stream_key().unwrap_or_default();
    let certain = |pair: &&(String, String)| {
        let held = from.identity == ReplicaIdentity::Full || identity.contains(&pair.0);
        held && from.generated_among(std::slice::from_ref(&pair.0)).is_none()
    };
    // A comment may be about another place where the SELECT reads the table.
    if found.is_empty() || equal.iter().any(|pair| certain(&pair)) {
        let pair = equal.iter().find(certain).or(equal.first());
        found.extend(pair.map(|(column, by)| {
            edge(std::slice::from_ref(column), std::slice::from_ref(by), statement.place())
        }));
    }
    found
}

fn is((schema, name): &(Option<String>, String), table: &Table) -> bool {
    *name == table.name.name && schema.as_ref().is_none_or(|schema| *schema == table.name.schema)
}

fn no_way(statement: &Statement, from: &Table, to: &Table) -> Error {
    let what = format!("nothing tells which rows of {} a change of {} touches", to.name, from.name);
    Error::new(Code::NotStreamable, what).at(statement.place()).remedy(format!(
        "say it in a comment of the statement: -- regraft: trace {name}.column -> column of {}, or \
         -> table.column of a table that leads there",
        to.name,
        name = from.name.name,
    ))
}

/// How rows of the source table lead to further ones in a recursive SELECT.
fn again(ways: &[Vec<Vec<Edge<'_>>>], source: &Table, statement: &Statement) -> Vec<TraceAgain> {
    if !statement.is_recursive() {
        return Vec::new();
    }
    let own = ways.iter().flatten().flatten().filter(|edge| edge.from.oid == source.oid);
    own.map(|edge| TraceAgain { columns: edge.columns.clone(), by: edge.by.clone() }).collect()
}

fn found_trace(way: &[Edge<'_>], again: &[TraceAgain]) -> Result<FoundTrace> {
    let print = |edge: &Edge<'_>| {
        let Edge { from, columns, to, by, .. } = edge;
        format!("{}({}) -> {}({})", from.name, columns.join(", "), to.name, by.join(", "))
    };
    for edge in way {
        edge_exists(edge, &print(edge))?;
    }
    let name = way.iter().map(print).collect::<Vec<_>>().join(", ");
    let (Some(first), Some(last)) = (way.first(), way.last()) else {
        return Err(Error::new(Code::Internal, "a trace without a step"));
    };
    let from = first.from;
    if let Some(column) = from.generated_among(&first.columns) {
        let what = format!(
            "the stream does not carry the generated column {} of {}, by which {name}",
            quote(&column.name),
            from.name
        );
        return Err(Error::new(Code::SourceKeyMissing, what).at(first.place.clone()).remedy(
            "make it a plain column that a trigger fills, or join by the columns that it is computed from, \
             and name them in a comment: -- regraft: trace …",
        ));
    }
    // The value from before a change has to be in the stream, or the rows that it led to stay behind.
    let identity = match from.identity {
        ReplicaIdentity::Nothing => Vec::new(),
        _ => from.stream_key().unwrap_or_default(),
    };
    let whole = from.identity == ReplicaIdentity::Full;
    if !whole && !first.columns.iter().all(|column| identity.contains(column)) {
        let what = format!("the stream does not carry old values of the columns of {name}");
        return Err(Error::new(Code::SourceKeyMissing, what)
            .at(first.place.clone())
            .remedy(format!("ALTER TABLE {} REPLICA IDENTITY FULL", from.name.quoted())));
    }
    let step = |pair: &[Edge<'_>]| TraceStep {
        table: pair[0].to.name.clone(),
        by: pair[0].by.clone(),
        columns: pair[1].columns.clone(),
    };
    Ok(FoundTrace {
        plan: Trace {
            name: name.clone(),
            from: from.name.clone(),
            oid: from.oid,
            columns: first.columns.clone(),
            identity: (from.identity, identity),
            to: last.to.name.clone(),
        },
        read: ReadTrace {
            name,
            columns: first.columns.iter().map(|column| key_column(from, column)).collect(),
            steps: way.windows(2).map(step).collect(),
            by: last.by.clone(),
            again: again.to_vec(),
        },
        from: from.clone(),
    })
}

fn edge_exists(edge: &Edge<'_>, name: &str) -> Result<()> {
    let missing = |columns: &[String], table: &Table| {
        columns.iter().find(|column| table.column(column).is_none()).cloned()
    };
    let found = missing(&edge.columns, edge.from).map(|column| (column, edge.from));
    let found = found.or_else(|| missing(&edge.by, edge.to).map(|column| (column, edge.to)));
    let Some((column, table)) = found else { return Ok(()) };
    let what = format!("{} has no column {column}, by which {name}", table.name);
    let remedy = "name a column of the table";
    Err(Error::new(Code::NotStreamable, what).at(edge.place.clone()).remedy(remedy))
}

/// A comment that names no table of the SELECT is a mistake.
fn unused(statement: &Statement, source: &Table, tables: &[(&TableRef, Table)]) -> Result<()> {
    let read = |named: &(Option<String>, String)| tables.iter().any(|(_, table)| is(named, table));
    let wrong = |comment: &TraceComment| {
        let leads_to = comment.to.iter().find(|named| !is(named, source) && !read(named));
        let from = (!read(&comment.table)).then_some(&comment.table);
        let (_, table) = from.or(leads_to)?;
        Some((table.clone(), statement.place_of_trace(comment)))
    };
    let Some((table, place)) = statement.traces().iter().find_map(wrong) else { return Ok(()) };
    let what = format!("the SELECT reads no table {table} beside its source table");
    Err(Error::new(Code::NotStreamable, what)
        .at(place)
        .remedy("name a table of the SELECT, or leave the trace out"))
}
