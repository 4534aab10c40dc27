//! What the applier has to know of the target's tables.

use std::collections::BTreeMap;

use regraft_core::segment::Route;
use regraft_core::{Code, Drifted, Error, Result, Subject, TableName};
use tokio_postgres::Client;

use crate::catalog::{Catalog, Table, TableColumn};

/// The target of one statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// Output columns that make up the target key, in key order.
    pub(crate) key: Vec<usize>,
    /// For each output column, the SQL name of the target column's type, without modifier.
    pub(crate) types: Vec<String>,
    /// The same with modifiers.
    pub(crate) full_types: Vec<String>,
    /// An output column with which an index starts: rows without a key are looked for by it.
    pub(crate) sought_by: Option<usize>,
    /// For each output column, values are equal only when their bytes are.
    pub(crate) exact: Vec<bool>,
    /// For each output column, texts that are not the same are equal to one another.
    pub(crate) folded: Vec<bool>,
    /// Owner columns, each with the characters that it holds.
    pub(crate) limits: Vec<(usize, usize)>,
    /// For each output column, the modifier of that type, -1 without.
    pub(crate) modifiers: Vec<i32>,
    /// Output columns that are `GENERATED ALWAYS AS IDENTITY`, see [`super::identity`].
    pub(crate) identity: Vec<usize>,
    /// All columns of the table that are stored as they are given.
    pub(crate) stored: Vec<String>,
    /// New rows can be copied: each value has the type of its column, and a COPY does what an INSERT
    /// would (there are no rules, and no views).
    pub(crate) copied: bool,
    /// Rows can be found by owner through an index.
    pub(crate) owner_indexed: bool,
    /// Position in the order of upserts: parents before children.
    pub(crate) rank: usize,
    /// Rows may meet rows of other owners, see [`super::guard`].
    pub(crate) guarded: bool,
    /// The index of the key.
    pub(crate) key_index: Unique,
    /// The key keeps ranges apart: no upsert can arbitrate by it.
    pub(crate) overlaps: bool,
    /// Unique indexes beside the key.
    pub(crate) unique: Vec<Unique>,
    /// The write may fail for a constraint that another order of writes satisfies.
    pub(crate) delicate: bool,
    /// Output columns that foreign keys reference.
    pub(crate) referenced: Vec<usize>,
    /// For each output column, the target refuses NULL.
    pub(crate) not_null: Vec<bool>,
    /// How it is partitioned, for messages.
    pub(crate) partitioned_by: String,
    /// Triggers that can suppress a row.
    pub(crate) suppressing: Vec<String>,
    /// Some constraint is deferrable.
    pub(crate) deferrable: bool,
    /// The shape of the table from which this was read, see [`super::shape`].
    pub(crate) shape: String,
}

/// A unique index, in output columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unique {
    /// Its name, which is that of the constraint if there is one.
    pub(crate) name: String,
    /// Its plain columns.
    pub(crate) columns: Vec<usize>,
    /// Further columns that its expressions read.
    pub(crate) reads: Vec<usize>,
}

/// The target tables of all routes.
pub(crate) type Tables = BTreeMap<TableName, Table>;

/// Reads the tables that the routes go to.
pub(crate) async fn tables(client: &Client, place: &str, routes: &[Route]) -> Result<Tables> {
    let catalog = Catalog::new(client, place, &[]);
    let names = routes.iter().map(|route| {
        let TableName { schema, name } = route.target.clone();
        (Some(schema), name)
    });
    catalog.learn(&names.collect::<Vec<_>>()).await?;
    let mut tables = Tables::new();
    for route in routes {
        if !tables.contains_key(&route.target) {
            let TableName { schema, name } = &route.target;
            let table = catalog.table(Some(schema), name, Code::TargetMissing).await;
            let table = table.map_err(|error| match error.code() {
                Code::TargetMissing => error.drifted(Drifted::of(
                    Subject::Tables,
                    routes
                        .iter()
                        .filter(|r| r.target == route.target)
                        .map(|r| r.source.clone())
                        .collect(),
                )),
                _ => error,
            })?;
            tables.insert(route.target.clone(), table);
        }
    }
    Ok(tables)
}

/// What the applier has to know of the target of each route.
pub(crate) fn read(routes: &[Route], tables: &Tables, trusted: bool) -> Result<Vec<Target>> {
    let ranks = ranks(tables);
    routes
        .iter()
        .map(|route| {
            let table = &tables[&route.target];
            let rank = ranks.get(&route.target).copied().unwrap_or_default();
            target(route, table, rank, trusted)
        })
        .collect()
}

fn target(route: &Route, table: &Table, rank: usize, trusted: bool) -> Result<Target> {
    // It had all of this when the plan was made.
    let drifted = || Drifted::of(Subject::Columns, vec![route.source.clone()]);
    let output = |name: &String| route.columns.iter().position(|column| &column.name == name);
    let no_key = || {
        let what = format!("the target {} has no key that the SELECT fills", route.target);
        Error::new(Code::TargetKeyMissing, what).at(&route.place).drifted(drifted()).remedy(
            "give it a primary key, or a unique index over NOT NULL columns, whose columns are all \
             in the statement",
        )
    };
    let (mut key_index, mut key, mut overlaps) = (Unique::default(), Vec::new(), false);
    let mut key_names = Vec::new();
    if !route.keyless {
        let index = table.key_index().filter(|_| table.writable_by_key(route));
        let index = index.ok_or_else(no_key)?;
        overlaps = index.exclusion;
        key_names = index.plain().unwrap_or_default();
        key = key_names.iter().map(output).collect::<Option<_>>().ok_or_else(no_key)?;
        key_index = Unique { name: index.name.clone(), columns: key.clone(), reads: Vec::new() };
    }
    let mut columns = Vec::new();
    for column in &route.columns {
        columns.push(table.column(&column.name).ok_or_else(|| {
            let what = format!("the target {} has no column {}", route.target, column.name);
            Error::new(Code::TargetColumn, what).at(&route.place).drifted(drifted())
        })?);
    }
    let owner: Option<Vec<_>> = route
        .owner
        .as_ref()
        .map(|owner| owner.iter().map(|&at| route.columns[at].name.clone()).collect());
    let owner_indexed = owner.is_none_or(|owner: Vec<String>| {
        table.indexes.iter().any(|index| {
            let prefix = &index[..owner.len().min(index.len())];
            prefix.len() == owner.len() && owner.iter().all(|name| prefix.contains(name))
        })
    });
    let other: Vec<_> = table
        .unique
        .iter()
        .filter(|index| !route.keyless && index.plain().as_ref() != Some(&key_names))
        .map(|index| {
            let columns: Vec<_> = index.columns.iter().flatten().filter_map(output).collect();
            let mut reads: Vec<_> = index.reads.iter().filter_map(output).collect();
            reads.retain(|column| !columns.contains(column));
            Unique { name: index.name.clone(), columns, reads }
        })
        .collect();
    let typed = columns
        .iter()
        .zip(&route.columns)
        .all(|(to, from)| to.sql_type == from.sql_type && !from.text);
    // Different owners may have one key.
    let folds_owner = route.owner.iter().flatten().any(|&at| columns[at].folded);
    Ok(Target {
        guarded: route.guarded(&key_names) || folds_owner,
        key_index,
        key,
        overlaps,
        sought_by: sought_by(route, table),
        full_types: columns.iter().map(|column| stored_as(column)).collect(),
        copied: typed && table.is_plain(),
        types: columns.iter().map(|column| column.sql_type.clone()).collect(),
        exact: columns.iter().map(|column| column.is_exact()).collect(),
        folded: columns.iter().map(|column| column.folded).collect(),
        limits: limits(route, &columns),
        modifiers: columns.iter().map(|column| column.type_modifier).collect(),
        identity: (0..columns.len()).filter(|&at| columns[at].identity_always).collect(),
        stored: table.columns.iter().filter(|c| !c.generated).map(|c| c.name.clone()).collect(),
        owner_indexed,
        rank,
        delicate: table.references_to > 0 || !table.foreign_keys.is_empty() || !other.is_empty(),
        deferrable: table.foreign_keys.iter().any(|key| key.deferrable)
            || table.unique.iter().any(|index| index.deferrable)
            || !table.late_exclusions.is_empty(),
        referenced: table.referenced.iter().filter_map(output).collect(),
        partitioned_by: table.partitioned_by.join(", "),
        suppressing: table
            .triggers
            .iter()
            .filter(|trigger| trigger.before_row && trigger.fires(trusted))
            .map(|trigger| trigger.name.clone())
            .collect(),
        not_null: columns.iter().map(|column| column.not_null).collect(),
        unique: other,
        shape: String::new(),
    })
}

/// Owner columns of `varchar(n)`, each with its `n`: an assignment would cut blanks beyond it off.
fn limits(route: &Route, columns: &[&TableColumn]) -> Vec<(usize, usize)> {
    let owner = route.owner.iter().flatten().copied();
    let limited = owner.filter_map(|at| {
        let column = columns.get(at)?;
        let limit = usize::try_from(column.type_modifier.checked_sub(4)?).ok()?;
        (column.sql_type == "character varying").then_some((at, limit))
    });
    limited.collect()
}

/// The type to which an assignment converts.
fn stored_as(column: &TableColumn) -> String {
    let modified = column.type_modifier >= 0;
    if modified { column.full_type.clone() } else { column.sql_type.clone() }
}

fn sought_by(route: &Route, table: &Table) -> Option<usize> {
    let first = table.indexes.iter().filter_map(|index| index.first());
    let mut places =
        first.filter_map(|name| route.columns.iter().position(|column| column.name == *name));
    places.next()
}

/// Parents before children, by the foreign keys among the targets. A cycle is broken anywhere: its
/// constraints have to be deferrable, or rows come in an order that satisfies them.
fn ranks(tables: &Tables) -> BTreeMap<TableName, usize> {
    let mut ranks: BTreeMap<TableName, usize> = BTreeMap::new();
    for _ in 0..tables.len() {
        for (name, table) in tables {
            let parents = table.foreign_keys.iter().map(|key| &key.references);
            let above = parents.filter(|parent| *parent != name && tables.contains_key(parent));
            let rank = above.map(|parent| ranks.get(parent).copied().unwrap_or(0) + 1).max();
            ranks.insert(name.clone(), rank.unwrap_or(0).min(tables.len()));
        }
    }
    ranks
}
