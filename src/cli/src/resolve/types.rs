//! Types of the same name in another schema of the target: values are sent as those of the column.

use regraft_core::Result;
use regraft_core::segment::RouteColumn;
use regraft_core::sql::quote;
use regraft_postgres::catalog::{Table, TableColumn};
use regraft_postgres::planning::kind;

use super::{Compiled, Side};
use crate::finding::Finding;

/// Takes the column's type for one of the same name and kind in another schema, and warns of labels of an enum
/// that the column's type lacks.
pub(super) async fn of_columns(
    (source, target): (&Side, &Side),
    compiled: &Compiled,
    table: &Table,
    columns: &mut [RouteColumn],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    for (column, (oid, _)) in columns.iter_mut().zip(&compiled.full_types) {
        let Some(to) = table.column(&column.name) else { continue };
        let name = bare(&column.sql_type);
        if name.is_none() || name != bare(&to.sql_type) {
            continue;
        }
        let here = kind(&source.client, &source.place, *oid).await?;
        let there = kind(&target.client, &target.place, to.type_oid).await?;
        if here.kind != there.kind {
            continue;
        }
        column.sql_type.clone_from(&to.sql_type);
        let lacking = here.labels.iter().filter(|label| !there.labels.contains(label));
        let lacking: Vec<_> = lacking.map(String::as_str).collect();
        if !lacking.is_empty() {
            findings.push(lacks(to, &lacking, &compiled.statement.place()));
        }
    }
    Ok(())
}

fn lacks(to: &TableColumn, labels: &[&str], place: &str) -> Finding {
    Finding::warning(
        format!("{}, the type of {}, lacks {}", to.sql_type, quote(&to.name), labels.join(", ")),
        place,
        format!(
            "a row with such a value stops the pipeline at its position: ALTER TYPE {} ADD VALUE …",
            to.sql_type.trim_end_matches("[]")
        ),
    )
}

/// The name of a type behind its schema; `None` for one that is built in.
pub(super) fn bare(name: &str) -> Option<&str> {
    let mut quoted = false;
    let dot = name.char_indices().find(|&(_, c)| {
        quoted ^= c == '"';
        c == '.' && !quoted
    });
    name.get(dot?.0 + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_behind_its_schema() {
        for (name, expected) in [
            ("a.mood", Some("mood")),
            ("a.mood[]", Some("mood[]")),
            (r#""a.b".mood"#, Some("mood")),
            (r#""a"".b"."M.o""#, Some(r#""M.o""#)),
            ("character varying", None),
            (r#""char""#, None),
        ] {
            assert_eq!(bare(name), expected, "{name}");
        }
    }
}
