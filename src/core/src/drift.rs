//! What may change under a pipeline, so that a person has to say how it goes on.

use crate::relation::TableName;

/// A kind of thing that a mapping stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Columns: dropped, renamed, of another type, rewritten; labels of their enums; the replica identity.
    Columns,
    /// A table: another one by the same name, dropped, inherited from, unlogged.
    Tables,
    /// Partitions: attached, detached, truncated.
    Partitions,
    /// What the publication holds.
    Publication,
    /// What names of the statements mean: functions, operators, types.
    Names,
}

impl Subject {
    /// As in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Subject::Columns => "columns",
            Subject::Tables => "tables",
            Subject::Partitions => "partitions",
            Subject::Publication => "publication",
            Subject::Names => "names",
        }
    }
}

/// What is not the same any more, beside the words of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drifted {
    /// What it is.
    pub subjects: Vec<Subject>,
    /// The source tables whose rows in the target it concerns; none when it is all of them.
    pub tables: Vec<TableName>,
    /// It is enough that the plan is made again: nobody has to say how it goes on.
    pub replanned: bool,
}

impl Drifted {
    /// One thing, for some tables.
    pub fn of(subject: Subject, tables: Vec<TableName>) -> Self {
        Self { subjects: vec![subject], tables, replanned: false }
    }

    /// The tables as they are shown: `all` where it is all of them.
    pub fn shown(&self) -> Vec<String> {
        if self.tables.is_empty() {
            return vec!["all".to_owned()];
        }
        self.tables.iter().map(ToString::to_string).collect()
    }
}
