//! What a mapping stands on: tables, their columns and partitions, the publication, and what the names of
//! its statements mean. Taken when a mapping is accepted, kept in the ledger, and compared at every start, at
//! every attempt and while the daemon runs.
//!
//! This is the one place that knows what "the same" means: a kind of drift is a [`Drift`], found in
//! [`drift`], and what is compared is read in [`catalog`].

mod aside;
mod catalog;
mod drift;
mod names;
mod record;
mod retyped;
mod sentinel;

use regraft_core::{Drifted, Oid, Subject, TableName};
use serde::{Deserialize, Serialize};

pub use self::aside::{
    Held, How, Resume, answered, aside, ask, closure, connected, release, resumption, set_aside,
};
pub use self::drift::{Drift, Reply, When};
pub use self::record::{accept, known, mend, mended};
pub use self::sentinel::{Gone, PgSentinel, held};

/// What is to be looked up of a mapping.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The publication.
    pub publication: String,
    /// The publication of new rows beside it, where there are tables of which only these are followed.
    pub appended: Option<String>,
    /// regraft made them, and may alter them.
    pub own_publication: bool,
    /// Source tables, those that are only joined too, with the columns that the mapping reads.
    pub sources: Vec<AskedTable>,
    /// Target tables, with the columns that it fills.
    pub targets: Vec<AskedTable>,
    /// Names of the statements that may be functions, types, collations; and operators.
    pub names: Names,
    /// Schemas that the role searches at the source, in order.
    pub path: Vec<String>,
    /// Schemas that the role searches at the target.
    pub target_path: Vec<String>,
    /// How the operator wants drift to be answered.
    pub policy: Policy,
}

/// How drift is answered, where there is a choice.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What is gone on with by itself: rows are brought in line as `regraft resume --accept` would.
    pub goes_on: Vec<Subject>,
    /// What is held, though it could be brought in line by itself.
    pub holds: Vec<Subject>,
    /// Only what drifted is held, and what is connected with it; else the whole pipeline.
    pub alone: bool,
    /// Foreign keys of the target do not connect rows.
    pub trusted: bool,
}

impl Policy {
    /// Whether all that drifted is gone on with.
    pub fn goes_on(&self, drifted: &Drifted) -> bool {
        !drifted.tables.is_empty()
            && drifted.subjects.iter().all(|subject| self.goes_on.contains(subject))
    }
}

/// A table, and columns of it.
#[derive(Clone, Debug)]
pub struct AskedTable {
    /// Schema and name.
    pub table: TableName,
    /// `pg_class.oid` when the mapping was resolved.
    pub oid: Oid,
    /// Only its new rows are followed.
    pub appended: bool,
    /// Names of columns.
    pub columns: Vec<String>,
    /// Source tables that are copied anew to make its rows in the target again.
    pub copies: Vec<TableName>,
    /// Target tables whose rows depend on it; for a target, itself.
    pub targets: Vec<TableName>,
    /// Rows of all these targets can be told by their source row, so that differences are mended by key.
    pub mended_by_key: bool,
}

/// Names that a mapping uses.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Functions.
    pub functions: Vec<String>,
    /// Operators.
    pub operators: Vec<String>,
    /// Types and collations.
    pub types: Vec<String>,
    /// Schemas that are written before one of them.
    pub schemas: Vec<String>,
}

/// What a mapping stands on, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// The publication; `None` when there is none.
    pub publication: Option<PublicationIs>,
    /// That of new rows.
    pub appended: Option<PublicationIs>,
    /// Source tables.
    pub sources: Vec<TableIs>,
    /// Target tables.
    pub targets: Vec<TableIs>,
    /// What the names of the statements may mean at the source, beside what is built in, and what that calls.
    pub names: Vec<NameIs>,
    /// How much of that is looked at: [`FORM`].
    pub form: u32,
}

/// 0 of earlier versions, which knew of nothing beneath the names.
pub(super) const FORM: u32 = 1;

/// A publication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicationIs {
    /// See [`crate::slot::Publication::id`].
    pub id: String,
    /// Its owner.
    pub owner: Oid,
    /// What it carries, in words.
    pub carries: String,
    /// Tables, with [`crate::slot::Published::member`].
    pub members: Vec<(TableName, Option<Oid>)>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableIs {
    /// Schema and name.
    pub table: TableName,
    /// `pg_class.oid`.
    pub oid: Oid,
    /// The columns that the mapping uses.
    pub columns: Vec<ColumnIs>,
    /// The tables that take its rows: itself, or its partitions.
    pub parts: Vec<PartIs>,
    /// Other tables inherit from it, and are no partitions: a SELECT gives their rows, too.
    pub inherited: bool,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnIs {
    /// Name.
    pub name: String,
    /// `pg_attribute.attnum`: stays with the column whatever its name is.
    pub number: i16,
    /// Type and its modifier, as a name that says its schema.
    pub full_type: String,
    /// `pg_type.oid`; 0 where an earlier regraft has not noted it.
    #[serde(default)]
    pub type_oid: Oid,
    /// Its type, its collation or that of a unique index over it takes texts for equal that are not the same;
    /// `None` where an earlier regraft has not noted it.
    #[serde(default)]
    pub folds: Option<bool>,
    /// Schemas of the type, and of what it is made of.
    pub schemas: Vec<String>,
    /// `pg_collation.oid`, 0 without.
    pub collation: Oid,
    /// Transaction that altered it last.
    pub altered: String,
    /// What else is altered often: NOT NULL, a default, values that the rows themselves lack.
    pub also: String,
    /// Labels of its enum type, by `pg_enum.oid`.
    pub labels: Vec<(Oid, String)>,
    /// Attributes of its composite type, and of those inside: `pg_class.oid`, number, name, type. `None` where an
    /// earlier regraft has not noted them.
    #[serde(default)]
    pub attributes: Option<Vec<(Oid, i16, String, Oid)>>,
    /// Digest of the expression that it is generated by, in which objects are not named but numbered; empty for one
    /// that is not generated. `None` where an earlier regraft has not noted it.
    #[serde(default)]
    pub expression: Option<String>,
}

/// A table that takes rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartIs {
    /// `pg_class.oid`.
    pub oid: Oid,
    /// Schema and name.
    pub table: TableName,
    /// File of its rows: another one after TRUNCATE, and whenever they are rewritten.
    pub file: Oid,
    /// Transaction that altered its `pg_class` row last: the one that gave it another file, if nothing
    /// came after.
    pub altered: String,
    /// It, and all that it is a partition of, was made as a partition: its rows came through the
    /// partitioned table.
    pub born: bool,
    /// Transactions that attached it, and what it is a partition of.
    pub attached: String,
    /// Why its changes are not in the log: it is unlogged, or foreign.
    pub unlogged: bool,
}

/// Something of the source's own that a name may mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameIs {
    /// function, operator, type, collation or cast.
    pub kind: String,
    /// Schema; empty for a cast.
    pub schema: String,
    /// The name with its schema, and the types of its arguments.
    pub what: String,
    /// `oid` in its catalog.
    pub oid: Oid,
    /// Digest of its definition.
    pub definition: String,
    /// The form of [`Standing`] since which it is looked at; above 0 it is beneath what is named.
    #[serde(default)]
    pub form: u32,
}

impl NameIs {
    /// It is what it was, whether the mapping names it itself or not.
    fn is_same(&self, other: &NameIs) -> bool {
        let of = |name: &NameIs| {
            let NameIs { kind, schema, what, oid, definition, .. } = name.clone();
            (kind, schema, what, oid, definition)
        };
        of(self) == of(other)
    }
}

impl Standing {
    /// With the columns that were known and are not there now: under their old names they may come back
    /// as others.
    #[must_use]
    fn keeping(mut self, known: &Standing) -> Standing {
        let lists = [(&mut self.sources, &known.sources), (&mut self.targets, &known.targets)];
        for (now, before) in lists {
            for table in now.iter_mut() {
                let of = before.iter().find(|known| known.table == table.table);
                let columns = of.map_or(&[][..], |known| known.columns.as_slice());
                let gone =
                    |column: &&ColumnIs| !table.columns.iter().any(|is| is.name == column.name);
                let gone: Vec<_> = columns.iter().filter(gone).cloned().collect();
                table.columns.extend(gone);
            }
        }
        self
    }
}
