//! The two migrations of `examples/`, carried in the program so that `regraft demo` needs no files.

use std::fmt;
use std::str::FromStr;

use regraft_core::{Code, Error, Result};

use crate::statements::{MappedTable, mapped_tables};

/// A migration that is ready to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Example {
    /// One table of model data becomes four.
    AiWorkloads,
    /// One table of todos becomes two partitioned ones.
    Todos,
}

macro_rules! file {
    ($example:expr, $name:literal) => {
        match $example {
            Example::AiWorkloads => include_str!(concat!("../../../examples/ai-workloads/", $name)),
            Example::Todos => include_str!(concat!("../../../examples/todos/", $name)),
        }
    };
}

/// Where the seed's statement says how many rows.
const ROWS: &str = "generate_series(1::bigint, :rows)";
/// Where the seed's statement makes the key.
const KEY: &str = "md5(i::text)::uuid,";

impl Example {
    /// Every example.
    pub const ALL: [Example; 2] = [Example::AiWorkloads, Example::Todos];

    /// The name on the command line, which is also the folder's.
    pub fn name(self) -> &'static str {
        match self {
            Example::AiWorkloads => "ai-workloads",
            Example::Todos => "todos",
        }
    }

    /// The one table of the old schema.
    pub fn source_table(self) -> &'static str {
        match self {
            Example::AiWorkloads => "ai_workloads",
            Example::Todos => "todos",
        }
    }

    /// Makes the old schema.
    pub fn source_sql(self) -> &'static str {
        file!(self, "source.sql")
    }

    /// Makes the new schema.
    pub fn target_sql(self) -> &'static str {
        file!(self, "target.sql")
    }

    /// The mapping.
    pub fn mapping_sql(self) -> &'static str {
        file!(self, "mapping.sql")
    }

    /// Fills the old schema with this many rows; the same number gives the same rows.
    pub fn seed_sql(self, rows: u64) -> String {
        file!(self, "seed.sql").replace(":rows", &rows.to_string())
    }

    /// The target tables with their SELECTs, in the order of the mapping.
    pub fn tables(self) -> Vec<MappedTable> {
        mapped_tables(self.mapping_sql())
    }

    /// The seed's INSERT for other numbers than the seed's own, with the key made by `key`, so
    /// that a writer's rows are as various as those of the seed.
    pub(crate) fn insert_sql(self, key: &str, first: &str, last: &str) -> String {
        file!(self, "seed.sql")
            .replacen(KEY, &format!("{key},"), 1)
            .replacen(ROWS, &format!("generate_series({first}, {last})"), 1)
            .trim_end()
            .trim_end_matches(';')
            .to_owned()
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Example {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|example| example.name() == name).ok_or_else(|| {
            Error::new(Code::UsageInvalid, format!("there is no example \"{name}\""))
                .remedy("the examples are ai-workloads and todos")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_can_use_the_statement_of_the_seed() {
        for example in Example::ALL {
            let sql = example.insert_sql("$1", "$2", "$3");
            assert!(sql.contains("$1,") && sql.contains("generate_series($2, $3)"), "{example}");
            assert!(!sql.contains(":rows)"), "{example}");
        }
    }

    #[test]
    fn every_target_table_of_the_mapping_is_found() {
        let targets = |example: Example| -> Vec<String> {
            example.tables().into_iter().map(|table| table.target).collect()
        };
        let want = ["model_metadata", "model_parameters", "training_metrics", "inference_config"];
        assert_eq!(targets(Example::AiWorkloads), want);
        assert_eq!(targets(Example::Todos), ["todos_active", "todos_archived"]);
    }

    #[test]
    fn names_are_read_back() {
        for example in Example::ALL {
            assert_eq!(example.name().parse::<Example>().unwrap(), example);
        }
        assert!("nothing".parse::<Example>().is_err());
    }
}
