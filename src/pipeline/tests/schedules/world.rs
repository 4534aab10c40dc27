//! The mapping of the schedules: statements of every kind, between four source tables and four target tables.
//!
//! | source | target | what is peculiar |
//! |---|---|---|
//! | `lists` (key, items, note) | `items` (key, item, note) | many rows of one, found by their owner; `items` is out of line, so that changes patch |
//! | `lists` | `notes` (key, note) | one row for each, with its key |
//! | `facts` (a) | `facts` (a) | no key: equal rows are counted |
//! | `parents` (key) | `parents` (key, count of children) | read by key; changes of `children` lead to it by a trace |
//!
//! All values are single bytes, or a few.

use std::sync::Arc;

use regraft_core::mapper::{Count, Input, Output, Patch};
use regraft_core::row::put_value;
use regraft_core::segment::{Route, RouteColumn};
use regraft_core::{
    Cell, Column, Declaration, Form, Keyless, Mapped, Mapper, Relation, ReplicaIdentity, Result,
    Rows, TableName, Takes, Tuple, TupleBuilder, oid,
};
use regraft_memory::{Copies, Select, TableSpec, TargetTable, mapped};
use regraft_pipeline::{Plan, PlannedTable, Trace};

pub(crate) const LISTS: usize = 0;
pub(crate) const FACTS: usize = 1;
pub(crate) const PARENTS: usize = 2;
pub(crate) const CHILDREN: usize = 3;
/// The key and the note of a list.
const NOTES: Copies = Copies(&[("key", 0), ("note", 2)]);
const FACTS_AS_THEY_ARE: Copies = Copies(&[("a", 0)]);
const TRACE: &str = "children(parent) -> parents(key)";

/// A row of single values.
pub(crate) fn row(cells: &[&[u8]]) -> Tuple {
    let mut builder = TupleBuilder::with_capacity(cells.len(), 8);
    cells.iter().for_each(|cell| builder.push(Cell::Binary(cell)));
    builder.finish()
}

/// A cell of a whole row.
pub(crate) fn value(row: &Tuple, at: usize) -> &[u8] {
    row.get(at).and_then(Cell::bytes).unwrap_or_default()
}

fn table(name: &str) -> TableName {
    TableName::new("public", name)
}

fn relation(
    oid: u32,
    name: &str,
    identity: ReplicaIdentity,
    columns: &[(&str, bool)],
) -> Arc<Relation> {
    let column = |(name, key): &(&str, bool)| Column {
        key: *key,
        name: (*name).to_owned(),
        type_oid: oid::BYTEA,
        type_modifier: -1,
    };
    let columns = columns.iter().map(column).collect();
    Arc::new(Relation { oid, table: table(name), identity, columns })
}

/// Which of the statements there are.
#[derive(Clone, Copy)]
pub(crate) struct Statements {
    /// Those over rows without a key.
    pub(crate) counted: bool,
    /// Those that only the source can evaluate. Without them the stream carries whole rows.
    pub(crate) read: bool,
    /// Over lists whose old images are whole.
    pub(crate) whole: bool,
}

/// The source's tables, with their statements.
pub(crate) fn tables(Statements { counted, read, whole }: Statements) -> Vec<TableSpec> {
    let (by_key, full) = (ReplicaIdentity::Default, ReplicaIdentity::Full);
    let spec = |relation, statements: Vec<Select>| TableSpec {
        relation,
        keyless: None,
        out_of_line: Vec::new(),
        statements,
        traces: Vec::new(),
    };
    let of_lists = if whole { full } else { by_key };
    let lists = relation(1, "lists", of_lists, &[("key", true), ("items", false), ("note", false)]);
    let facts = relation(2, "facts", full, &[("a", false)]);
    let parents = relation(3, "parents", by_key, &[("key", true)]);
    let children = relation(4, "children", full, &[("key", true), ("parent", false)]);
    let of_parents: Vec<Select> = if read { vec![Arc::new(count_children)] } else { Vec::new() };
    let of_facts = if counted { vec![mapped(Arc::new(FACTS_AS_THEY_ARE))] } else { Vec::new() };
    vec![
        TableSpec {
            out_of_line: if read { vec![1] } else { Vec::new() },
            ..spec(lists, vec![mapped(Arc::new(Explode)), mapped(Arc::new(NOTES))])
        },
        TableSpec { keyless: Some(Keyless::Counted), ..spec(facts, of_facts) },
        TableSpec { traces: vec![(TRACE.to_owned(), 0)], ..spec(parents, of_parents) },
        spec(children, Vec::new()),
    ]
}

fn count_children(tables: &[Vec<Tuple>], parent: &Tuple, out: &mut Rows) {
    let of = |child: &&Tuple| value(child, 1) == value(parent, 0);
    let count = tables[CHILDREN].iter().filter(of).count();
    put_value(out.buffer(), value(parent, 0));
    put_value(out.buffer(), &[u8::try_from(count).unwrap_or(u8::MAX)]);
    out.end_row();
}

/// The plan, and what the target's tables are.
pub(crate) fn plan(Statements { counted, read, .. }: Statements) -> (Plan, Vec<TargetTable>) {
    let planned = |oid, name: &str, key: &[&str], statements: Vec<usize>| PlannedTable {
        table: table(name),
        oid,
        key: key.iter().map(|&name| name.to_owned()).collect(),
        keyless: None,
        identity: ReplicaIdentity::Default,
        statements,
        together: Vec::new(),
    };
    let mut routes = vec![
        route("lists", "items", &["key", "item", "note"]),
        Route {
            single: true,
            total: true,
            key_is_owner: true,
            ..route("lists", "notes", &["key", "note"])
        },
    ];
    let mut mappers: Vec<Box<dyn Mapper>> = vec![Box::new(Explode), Box::new(NOTES)];
    let mut targets = vec![target(Some(&[0, 1])), target(Some(&[0]))];
    let mut tables = vec![planned(1, "lists", &["key"], vec![0, 1])];
    if counted {
        routes.push(Route { keyless: true, owner: None, ..route("facts", "facts", &["a"]) });
        mappers.push(Box::new(FACTS_AS_THEY_ARE));
        targets.push(target(None));
        tables.push(PlannedTable {
            keyless: Some(Keyless::Counted),
            identity: ReplicaIdentity::Full,
            ..planned(2, "facts", &[], vec![2])
        });
    }
    let mut traces = Vec::new();
    if read {
        tables.push(planned(3, "parents", &["key"], vec![routes.len()]));
        routes.push(Route {
            single: true,
            total: true,
            key_is_owner: true,
            ..route("parents", "parents", &["key", "n"])
        });
        mappers.push(Box::new(Reads));
        targets.push(target(Some(&[0])));
        traces.push(Trace {
            name: TRACE.to_owned(),
            from: table("children"),
            oid: 4,
            columns: vec!["parent".to_owned()],
            identity: (ReplicaIdentity::Full, vec!["key".to_owned()]),
            to: table("parents"),
        });
    }
    (Plan { name: "schedule".to_owned(), routes, mappers, tables, traces }, targets)
}

fn target(key: Option<&[usize]>) -> TargetTable {
    TargetTable { key: key.map(<[usize]>::to_vec) }
}

fn route(source: &str, target: &str, columns: &[&str]) -> Route {
    let column = |name: &&str| RouteColumn {
        name: (*name).to_owned(),
        sql_type: "bytea".to_owned(),
        text: false,
    };
    Route {
        source: table(source),
        target: table(target),
        columns: columns.iter().map(column).collect(),
        owner: Some(vec![0]),
        single: false,
        total: false,
        key_is_owner: false,
        keyless: false,
        source_key: vec!["key".to_owned()],
        rewrite: false,
        only: Vec::new(),
        place: format!("mapping.sql:1:1 ({target})"),
    }
}

/// What a sink takes, by a number below 4, and whether it takes a log.
pub(crate) fn takes(kind: u64, log: bool) -> Takes {
    let of = match kind {
        1 => Takes { patches: false, ..Takes::EVERYTHING },
        2 => Takes { transactions: false, counts: false, ..Takes::EVERYTHING },
        _ => Takes::EVERYTHING,
    };
    // Nothing of what only rows need.
    let rows = Takes { patches: false, removal_by_owner: false, counts: false, ..of };
    if log { Takes { form: Form::Log, ..rows } } else { of }
}

fn declared(reads: &[&str], outputs: &[(&str, &str)], rows: Count) -> Declaration {
    Declaration {
        version: "1".to_owned(),
        reads: reads.iter().map(|&name| Input::any(name)).collect(),
        outputs: outputs.iter().map(|&(name, column)| Output::copy(name, column)).collect(),
        rows,
    }
}

/// A row for each item.
struct Explode;

impl Mapper for Explode {
    fn declaration(&self) -> Declaration {
        let outputs = [("key", "key"), ("item", "items"), ("note", "note")];
        declared(&["key", "items", "note"], &outputs, Count::Any)
    }

    fn bind(&mut self, _: &Relation) -> Result<()> {
        Ok(())
    }

    fn map(&self, image: &Tuple, out: &mut Rows) -> Result<Mapped> {
        if image.get(1) == Some(Cell::Unchanged) {
            let mut cells = Vec::new();
            put_value(&mut cells, value(image, 0));
            put_value(&mut cells, value(image, 2));
            return Ok(Mapped::Patch(Patch { columns: vec![0, 2], cells, assumes_key: false }));
        }
        for item in value(image, 1) {
            put_value(out.buffer(), value(image, 0));
            put_value(out.buffer(), &[*item]);
            put_value(out.buffer(), value(image, 2));
            out.end_row();
        }
        Ok(Mapped::Rows(value(image, 1).len()))
    }
}

/// Only the source can say.
struct Reads;

impl Mapper for Reads {
    fn declaration(&self) -> Declaration {
        declared(&["key"], &[("key", "key"), ("n", "key")], Count::One)
    }

    fn bind(&mut self, _: &Relation) -> Result<()> {
        Ok(())
    }

    fn map(&self, _: &Tuple, _: &mut Rows) -> Result<Mapped> {
        Ok(Mapped::Read)
    }
}
