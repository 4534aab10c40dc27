//! Tables as the change stream and the catalog describe them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sql::quote;

/// A PostgreSQL object identifier. Only those below 16384 mean the same on every server.
pub type Oid = u32;

/// Schema and name of a table, both as they are in the catalog (unquoted).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// Schema, as in `pg_namespace.nspname`.
    pub schema: String,
    /// Table, as in `pg_class.relname`.
    pub name: String,
}

impl TableName {
    /// From catalog names.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    /// Quoted for SQL: `"public"."todos"`.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// What a row's old image in the stream holds (`pg_class.relreplident`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaIdentity {
    /// The primary key (`d`).
    Default,
    /// Nothing: updates and deletes cannot be replicated (`n`).
    Nothing,
    /// The whole old row (`f`).
    Full,
    /// The columns of a unique index (`i`).
    Index,
}

/// How a table is followed whose rows have no key. Equal rows are told apart by their number only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyless {
    /// Rows come, and stay: what else the source does to them is not in the stream.
    Appended,
    /// Rows come and go; the old image of one is the whole row (`REPLICA IDENTITY FULL`).
    Counted,
}

impl Keyless {
    /// As it is written in the mapping.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appended => "append-only",
            Self::Counted => "counted",
        }
    }
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name, as in `pg_attribute.attname`.
    pub name: String,
    /// Type on the server that the relation is from.
    pub type_oid: Oid,
    /// `pg_attribute.atttypmod`; -1 when the type has none.
    pub type_modifier: i32,
    /// Part of the replica identity key.
    pub key: bool,
}

/// The shape of a table at one point of the stream (pgoutput's Relation message).
///
/// <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid` on the source.
    pub oid: Oid,
    /// Schema and name at this point of the stream.
    pub table: TableName,
    /// What old images hold.
    pub identity: ReplicaIdentity,
    /// Columns in the order of the tuples that follow.
    pub columns: Vec<Column>,
}

impl Relation {
    /// Index of the column of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Indexes of the replica identity key, in column order.
    ///
    /// Under `REPLICA IDENTITY FULL` the stream marks every column as key; the pipeline then uses
    /// the primary key from the catalog instead.
    pub fn key_columns(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|&i| self.columns[i].key).collect()
    }
}
