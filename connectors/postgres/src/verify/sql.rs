//! What both sides are asked for, as SQL.

use regraft_core::sql::{literal, quote};
use regraft_core::verify::RangeRows;
use regraft_core::{Key, Result};

use super::{OwnerColumn, VerifyStatement};
use crate::chunks::KeyColumn;

/// What a comparison looks at, of the rows of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The rows of source keys with `after < key <= upto` in the source's order, as text; an absent
    /// bound is open.
    Range {
        /// Exclusive lower bound.
        after: Option<Vec<String>>,
        /// Inclusive upper bound.
        upto: Option<Vec<String>>,
    },
    /// The rows with these owner values, in the form of the target.
    Owners(Vec<Key>),
    /// All rows.
    Whole,
}

impl VerifyStatement {
    /// The columns that are the source's key, at the target; empty without owner columns.
    pub(super) fn owner(&self) -> &[OwnerColumn] {
        self.owner.as_deref().unwrap_or_default()
    }

    /// A condition for the source rows in `scope`.
    pub(super) fn restriction(&self, scope: &Scope) -> String {
        let reference = &self.read.source_ref;
        match scope {
            Scope::Owners(_) => {
                let (keys, values) = found_at(self.owner(), reference);
                format!(
                    "({keys}) IN (SELECT {values} FROM unnest({}) AS v({}))",
                    owner_arrays(self.owner()),
                    numbered("v", self.owner().len())
                )
            }
            _ => range(&self.key_columns(reference), scope),
        }
    }

    /// What the SELECT gives, in the form of the target.
    pub(super) fn source_sql(&self, scope: &Scope, large: bool) -> Result<String> {
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

    /// The statement's rows in the target.
    pub(super) fn target_sql(&self, scope: &Scope, large: bool) -> String {
        let columns = self.columns.iter();
        let columns: Vec<_> = columns
            .map(|column| column.of_target(&format!("t.{}", quote(&column.name)), large))
            .collect();
        let restriction = match scope {
            Scope::Owners(_) => self.of_owners(),
            Scope::Range { .. } => self.owned("t", scope),
            Scope::Whole => "true".to_owned(),
        };
        let (columns, own) = (columns.join(", "), self.own());
        format!("SELECT {columns} FROM {} AS t WHERE {restriction}{own}", self.target.quoted())
    }

    /// The source keys in `scope`, as owner values.
    pub(super) fn owners_in(&self, scope: &Scope) -> String {
        let forms: Vec<_> = self.owner().iter().map(|column| column.of_key("s")).collect();
        format!(
            "SELECT {} FROM {} AS s WHERE {}",
            forms.join(", "),
            self.source.quoted(),
            range(&self.key_columns("s"), scope),
        )
    }

    /// A condition for the rows `t` of the target of owners, which are parameters.
    pub(super) fn of_owners(&self) -> String {
        let owner = self.owner();
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (at, column) in owner.iter().enumerate() {
            let name = format!("t.{}", quote(&column.name));
            names.extend(column.bytes_of(1, &name));
            values.extend(column.bytes_of(1, &format!("v{at}")));
            names.push(name);
            values.push(format!("v{at}::{}", column.column_type));
        }
        format!(
            "({}) IN (SELECT {} FROM unnest({}) AS v({}))",
            names.join(", "),
            values.join(", "),
            owner_arrays(owner),
            numbered("v", owner.len())
        )
    }

    /// ` AND …`: what tells the statement's rows in the target from those of others.
    pub(super) fn own(&self) -> String {
        self.only.iter().map(|only| format!(" AND {only}")).collect()
    }

    /// A range of source keys is a range of owners, in the same order, at the target.
    pub(super) fn is_ordered(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.iter().all(|column| column.ordered))
    }

    /// The key at the end of the next `rows` source rows after `after`.
    pub(super) fn source_boundary(&self, after: Option<&Vec<String>>, rows: u64) -> String {
        let scope = &Scope::Range { after: after.cloned(), upto: None };
        let key = self.key_columns("b");
        boundary(&self.source.quoted(), &key, &range(&key, scope), rows)
    }

    /// The owner at the end of so many rows of the target in a range, where that may be before the end
    /// that the source knows.
    pub(super) fn target_boundary(
        &self,
        after: Option<&Vec<String>>,
        upto: Option<&Vec<String>>,
        rows: RangeRows,
    ) -> Option<String> {
        if !self.is_ordered() || (upto.is_some() && !rows.at_target) {
            return None;
        }
        let scope = Scope::Range { after: after.cloned(), upto: upto.cloned() };
        let restriction = format!("{}{}", self.owned("b", &scope), self.own());
        Some(boundary(&self.target.quoted(), &self.owner_columns("b"), &restriction, rows.max))
    }

    /// A condition for the rows of a range in the target, named `table`. A row without an owner is in
    /// none.
    fn owned(&self, table: &str, scope: &Scope) -> String {
        let columns = self.owner_columns(table);
        let owned = columns.iter().map(|(name, _)| format!(" AND {name} IS NOT NULL"));
        format!("{}{}", range(&columns, scope), owned.collect::<String>())
    }

    /// The owner columns of the target, named `table`, as they are told apart.
    pub(super) fn owner_names(&self, table: &str) -> String {
        let name = |column: &OwnerColumn| {
            let name = format!("{table}.{}", quote(&column.name));
            column.bytes_of(1, &name).unwrap_or(name)
        };
        self.owner().iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn owner_columns(&self, table: &str) -> Vec<(String, String)> {
        let column = |column: &OwnerColumn| {
            (format!("{table}.{}", quote(&column.name)), column.bound[1].clone())
        };
        self.owner().iter().map(column).collect()
    }

    /// The key columns of the source with the types in which bounds are given.
    fn key_columns(&self, source: &str) -> Vec<(String, String)> {
        let bound = |at: usize, column: &KeyColumn| {
            self.owner().get(at).map_or(&column.sql_type, |owner| &owner.bound[0]).clone()
        };
        let column = |(at, column): (usize, &KeyColumn)| {
            (format!("{source}.{}", quote(&column.name)), bound(at, column))
        };
        self.key.iter().enumerate().map(column).collect()
    }
}

/// `("w"."id") > ('…'::text::uuid)`; values are literals because COPY takes no parameters.
fn range(columns: &[(String, String)], scope: &Scope) -> String {
    let Scope::Range { after, upto } = scope else { return "true".to_owned() };
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

fn boundary(table: &str, columns: &[(String, String)], restriction: &str, rows: u64) -> String {
    let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let texts: Vec<_> = names.iter().map(|name| format!("{name}::text")).collect();
    format!(
        "SELECT {} FROM {table} AS b WHERE {restriction} ORDER BY {} OFFSET {} LIMIT 1",
        texts.join(", "),
        names.join(", "),
        rows.saturating_sub(1),
    )
}

/// The key that a boundary gives; `None` at the end.
pub(super) fn key_of(row: Option<Vec<Option<String>>>) -> Option<Vec<String>> {
    row?.into_iter().collect()
}

/// `$1::bigint[], $2::text[]`: values of owner columns, in the form of the target.
pub(super) fn owner_arrays(owner: &[OwnerColumn]) -> String {
    let types = owner.iter().enumerate();
    let types: Vec<_> =
        types.map(|(at, column)| format!("${}::{}[]", at + 1, column.form)).collect();
    types.join(", ")
}

/// Key columns of the source, named `table`, and the values `v0, v1, …` of the form, as both are compared.
pub(super) fn found_at(owner: &[OwnerColumn], table: &str) -> (String, String) {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for (at, column) in owner.iter().enumerate() {
        let (key, value) = (column.found_at(table), format!("v.v{at}"));
        keys.extend(column.bytes_of(0, &key));
        values.extend(column.bytes_of(0, &value));
        keys.push(key);
        values.push(value);
    }
    (keys.join(", "), values.join(", "))
}

/// `v0, v1`
pub(super) fn numbered(before: &str, count: usize) -> String {
    (0..count).map(|at| format!("{before}{at}")).collect::<Vec<_>>().join(", ")
}

/// Owner values of source keys, which a subselect gives, in its order.
pub(super) fn owners_of_keys(owner: &[OwnerColumn], given: &str) -> String {
    let names: Vec<_> = owner.iter().map(|column| quote(&column.key.name)).collect();
    let values: Vec<_> = owner.iter().map(|column| column.of_key("v")).collect();
    format!("SELECT {} FROM ({given}) AS v({})", values.join(", "), names.join(", "))
}
