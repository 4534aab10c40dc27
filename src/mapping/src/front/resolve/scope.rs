//! What names mean: columns of the table, and of the functions in FROM.

use regraft_core::sql::quote;

use super::expression::Resolved;
use crate::evaluation::expr::Expr;
use crate::evaluation::plan::ReadColumn;
use crate::front::syntax::Stop;
use crate::front::syntax::ast::Select;
use crate::values::types::{Settings, SourceTable, Type};

/// A function in FROM.
struct LevelScope {
    alias: String,
    columns: Vec<(String, Type)>,
    /// Its name alone is the value of its only column.
    scalar: bool,
}

pub(crate) struct Scope<'a> {
    pub(crate) table: &'a SourceTable,
    pub(crate) settings: &'a Settings,
    alias: String,
    /// Set when a name may be written with its schema: the table has no alias.
    schema: Option<String>,
    levels: Vec<LevelScope>,
    pub(crate) columns: Vec<ReadColumn>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(
        table: &'a SourceTable,
        settings: &'a Settings,
        select: &Select,
    ) -> Result<Self, Stop> {
        let (schema, name) = &select.table;
        if *name != table.name.name || schema.as_ref().is_some_and(|s| *s != table.name.schema) {
            let message = format!("the source table is {}, not {}", table.name, quote(name));
            return Err(Stop::new(select.table_at, message));
        }
        let no_alias = select.alias.is_none();
        Ok(Self {
            table,
            settings,
            alias: select.alias.clone().unwrap_or_else(|| name.clone()),
            schema: no_alias.then(|| table.name.schema.clone()),
            levels: Vec::new(),
            columns: Vec::new(),
        })
    }

    pub(crate) fn add_level(
        &mut self,
        alias: String,
        columns: Vec<(String, Type)>,
        scalar: bool,
        at: usize,
    ) -> Result<(), Stop> {
        if alias == self.alias || self.levels.iter().any(|level| level.alias == alias) {
            let message = format!("the name {} is used twice in FROM", quote(&alias));
            return Err(Stop::new(at, message).remedy("give each function an alias of its own"));
        }
        self.levels.push(LevelScope { alias, columns, scalar });
        Ok(())
    }

    /// What a name of one to three parts reads.
    pub(crate) fn column(&mut self, parts: &[String], at: usize) -> Result<Resolved, Stop> {
        match parts {
            [name] => self.unqualified(name, at),
            [table, name] => self.qualified(table, name, at),
            [schema, table, name]
                if self.schema.as_ref() == Some(schema) && *table == self.alias =>
            {
                self.qualified(table, name, at)
            }
            _ => Err(missing_table(&parts[..parts.len().saturating_sub(1)].join("."), at)),
        }
    }

    fn unqualified(&mut self, name: &str, at: usize) -> Result<Resolved, Stop> {
        let mut found = Vec::new();
        for (level, scope) in self.levels.iter().enumerate() {
            for (column, (own, kind)) in scope.columns.iter().enumerate() {
                if own == name {
                    found.push(Resolved::new(Expr::Lateral { level, column }, *kind, at));
                }
            }
        }
        if self.table.columns.iter().any(|column| column.name == name) {
            found.push(self.table_column(name, at)?);
        }
        if found.len() > 1 {
            let message = format!("the column {} is ambiguous", quote(name));
            return Err(Stop::new(at, message).remedy("write the table's alias before it"));
        }
        if let Some(found) = found.pop() {
            return Ok(found);
        }
        if let Some(level) = self.levels.iter().position(|level| level.alias == name) {
            let scope = &self.levels[level];
            if scope.scalar {
                let kind = scope.columns[0].1;
                return Ok(Resolved::new(Expr::Lateral { level, column: 0 }, kind, at));
            }
            return Err(super::expression::later(at, "a whole row as a value"));
        }
        if name == self.alias {
            return Err(super::expression::later(at, "a whole row as a value"));
        }
        Err(self.missing_column(&self.table.name.to_string(), name, at))
    }

    fn qualified(&mut self, table: &str, name: &str, at: usize) -> Result<Resolved, Stop> {
        if table == self.alias {
            return self.table_column(name, at);
        }
        let Some(level) = self.levels.iter().position(|level| level.alias == table) else {
            return Err(missing_table(table, at));
        };
        let columns = &self.levels[level].columns;
        let mut matching = columns.iter().enumerate().filter(|(_, own)| own.0 == name);
        match (matching.next(), matching.next()) {
            (Some((column, (_, kind))), None) => {
                Ok(Resolved::new(Expr::Lateral { level, column }, *kind, at))
            }
            (Some(_), Some(_)) => {
                Err(Stop::new(at, format!("the column {} is ambiguous", quote(name))))
            }
            (None, _) => Err(self.missing_column(table, name, at)),
        }
    }

    fn missing_column(&self, table: &str, name: &str, at: usize) -> Stop {
        let known: Vec<_> = self.table.columns.iter().map(|column| column.name.as_str()).collect();
        Stop::new(at, format!("there is no column {} in {table}", quote(name))).remedy(format!(
            "columns of {} are: {}",
            self.table.name,
            known.join(", ")
        ))
    }

    /// A column of the table, noted as read.
    fn table_column(&mut self, name: &str, at: usize) -> Result<Resolved, Stop> {
        let Some(column) = self.table.columns.iter().find(|column| column.name == name) else {
            return Err(self.missing_column(&self.table.name.to_string(), name, at));
        };
        let kind = Type::of(column.type_oid, &self.table.types);
        let known = self.columns.iter().position(|read| read.name == name);
        let slot = known.unwrap_or_else(|| {
            self.columns.push(ReadColumn {
                name: name.to_owned(),
                oid: column.type_oid,
                kind,
                key: self.table.key.iter().any(|key| key == name),
            });
            self.columns.len() - 1
        });
        let modifier = self.modifier(column.type_oid, column.type_modifier);
        Ok(Resolved { modifier, ..Resolved::new(Expr::Column { slot, kind }, kind, at) })
    }

    /// The modifier of a column: that of a domain is in the domain.
    fn modifier(&self, oid: u32, own: i32) -> i32 {
        let (mut oid, mut found) = (oid, own);
        for _ in 0..16 {
            match self.table.types.0.get(&oid).map(|user| &user.kind) {
                Some(crate::values::types::TypeKind::Domain { base, modifier }) => {
                    (oid, found) = (*base, *modifier);
                }
                _ => break,
            }
        }
        found
    }

    /// The columns that a star stands for.
    pub(crate) fn star(&mut self, at: usize, of: Option<&str>) -> Result<Vec<Resolved>, Stop> {
        let names: Vec<_> = self.table.columns.iter().map(|column| column.name.clone()).collect();
        let mut found = Vec::new();
        if of.is_none_or(|alias| alias == self.alias) {
            for name in &names {
                found.push(self.table_column(name, at)?);
            }
        }
        for (level, scope) in self.levels.iter().enumerate() {
            if of.is_none_or(|alias| alias == scope.alias) {
                for (column, (_, kind)) in scope.columns.iter().enumerate() {
                    found.push(Resolved::new(Expr::Lateral { level, column }, *kind, at));
                }
            }
        }
        match of {
            Some(alias) if found.is_empty() => Err(missing_table(alias, at)),
            _ => Ok(found),
        }
    }
}

fn missing_table(name: &str, at: usize) -> Stop {
    Stop::new(at, format!("there is no table or alias {} in FROM", quote(name)))
        .remedy("use the alias that FROM gives")
}
