//! What a target table that does not exist would have to be like.

use std::collections::BTreeSet;

use regraft_core::mapper::Output;
use regraft_core::{Oid, Result};
use regraft_postgres::planning::{MissingColumn, MissingTarget, lacking, printed};

use super::{Compiled, Side};

/// What a table for a statement would need.
pub(super) async fn missing(
    source: &Side,
    target: &Side,
    compiled: &Compiled,
) -> Result<MissingTarget> {
    let names = match compiled.statement.columns() {
        Some(names) if names.len() == compiled.types.len() => names.to_vec(),
        _ => distinct(&compiled.names),
    };
    let mut types = Vec::new();
    for (oid, modifier) in &compiled.full_types {
        types.push(printed(&source.client, &source.place, *oid, *modifier).await?);
    }
    // The rows of an outer join may lack what the source table has.
    let alone = compiled.tables.len() == 1;
    let not_null = |at: usize| {
        let copied = compiled.declaration.outputs.get(at).and_then(Output::copies);
        let column = copied.and_then(|name| compiled.source.column(name));
        alone && column.is_some_and(|column| column.not_null)
    };
    let columns = names.iter().cloned().zip(types).enumerate();
    let columns = columns
        .map(|(at, (name, sql_type))| MissingColumn { name, sql_type, not_null: not_null(at) })
        .collect();
    let named = |at: usize| names.get(at).cloned();
    let owner = compiled.owner.iter().flatten();
    let (schema, name) = compiled.statement.target();
    let oids: Vec<Oid> = compiled.full_types.iter().map(|(oid, _)| *oid).collect();
    let (at_source, at_target) =
        ((&source.client, source.place.as_str()), (&target.client, target.place.as_str()));
    Ok(MissingTarget {
        before: lacking(at_source, at_target, schema, &oids).await?,
        name: (schema.map(str::to_owned), name.to_owned()),
        key: owner.filter_map(|&at| named(at)).collect(),
        constants: compiled
            .evaluation
            .constants()
            .iter()
            .filter_map(|(at, _)| named(*at))
            .collect(),
        columns,
        many: !compiled.single() && compiled.statement.keyless().is_none(),
    })
}

/// The names, each once, and none of those that stand for no name.
fn distinct(names: &[String]) -> Vec<String> {
    let mut taken: BTreeSet<String> = names.iter().cloned().collect();
    let mut seen = BTreeSet::new();
    let name = |(at, name): (usize, &String)| {
        if name != "?column?" && seen.insert(name.clone()) {
            return name.clone();
        }
        let stem = if name == "?column?" { "column" } else { name };
        let mut number = at + 1;
        loop {
            let other = format!("{stem}_{number}");
            if taken.insert(other.clone()) {
                return other;
            }
            number += 1;
        }
    };
    names.iter().enumerate().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let names = ["a", "?column?", "a", "column_2", "?column?"].map(str::to_owned);
        assert_eq!(distinct(&names), ["a", "column_3", "a_3", "column_2", "column_5"]);
    }
}
