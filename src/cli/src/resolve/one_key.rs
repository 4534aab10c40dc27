//! Can different source rows give one target key? Then the pipeline is held when they do.

use regraft_core::mapper::Source;
use regraft_core::sql::quote;
use regraft_core::{Code, Error, Result};
use regraft_postgres::catalog::{Table, TableColumn};

use super::Compiled;
use crate::finding::Finding;

/// Warns when the target key holds no key of the source, or holds it in a type that has fewer values.
pub(super) fn advise(
    compiled: &Compiled,
    names: &[String],
    table: &Table,
    key: &[String],
) -> Option<Finding> {
    let source = &compiled.source;
    // Columns of the source whose values the target key holds as they are.
    let held: Vec<_> = (0..names.len())
        .filter(|&at| key.contains(&names[at]) && kept(compiled, table, names, at))
        .filter_map(|at| copied(compiled, at))
        .collect();
    let within = |columns: &[String]| columns.iter().all(|name| held.contains(&name.as_str()));
    let unique = source.unique.iter().filter(|index| !index.partial);
    let implied = within(&compiled.key)
        || unique.filter_map(|index| index.plain()).any(|columns| within(&columns));
    if implied {
        return merging(compiled, names, table);
    }
    let what = format!(
        "different rows of {} may give one target key ({}) of {}",
        source.name,
        key.join(", "),
        table.name
    );
    Some(Finding::warning(
        what,
        compiled.statement.place(),
        "neither overwrites the other: the pipeline is held there [RG4006] until the source's rows are \
         mended. It cannot happen where the source has a unique index over what gives the key; else \
         look for duplicates before you begin, or add the source's key to that of the target",
    ))
}

/// Refuses a conversion on the way into an owner column that makes different keys one: nothing in the target
/// tells then whose row it is.
pub(super) fn refuse_merging(compiled: &Compiled, names: &[String], table: &Table) -> Result<()> {
    for at in owner(compiled, names) {
        let Some(to) = table.column(&names[at]) else { continue };
        let modifier = modifier(compiled, at);
        let from = compiled.types[at].as_str();
        if !merges((from, modifier), to) {
            continue;
        }
        let what = format!(
            "the key of {} goes into {} of {} as {}, where different values of {from} are one: rows would \
             overwrite each other",
            compiled.source.name,
            quote(&to.name),
            table.name,
            to.full_type
        );
        let place = compiled.statement.place();
        return Err(Error::new(Code::TypeMismatch, what).at(place).remedy(
            "give the column the type of the source's key, or let a further column of the target's key hold the \
             source's key as it is",
        ));
    }
    Ok(())
}

fn owner<'a>(compiled: &'a Compiled, names: &'a [String]) -> impl Iterator<Item = usize> + 'a {
    compiled.owner.iter().flatten().copied().filter(|&at| at < names.len())
}

/// Owner columns in which different keys may be the same.
fn merging(compiled: &Compiled, names: &[String], table: &Table) -> Option<Finding> {
    let at = owner(compiled, names).find(|&at| !kept(compiled, table, names, at))?;
    let column = table.column(&names[at])?;
    Some(Finding::warning(
        format!(
            "{} of {} is {}: different rows of {} may be one there",
            quote(&column.name),
            table.name,
            column.full_type,
            compiled.source.name
        ),
        compiled.statement.place(),
        "rows are found again by this column: give it the type of the source's key",
    ))
}

fn copied(compiled: &Compiled, at: usize) -> Option<&str> {
    match &compiled.declaration.outputs.get(at)?.source {
        Source::Copy(name) => Some(name),
        Source::Made(_) => None,
    }
}

/// Different values stay different in the target's column.
fn kept(compiled: &Compiled, table: &Table, names: &[String], at: usize) -> bool {
    let Some(to) = table.column(&names[at]) else { return false };
    let modifier = modifier(compiled, at);
    let from = compiled.types[at].as_str();
    if from == to.sql_type && (to.type_modifier == -1 || to.type_modifier == modifier) {
        return true;
    }
    keeps(from, to)
}

fn modifier(compiled: &Compiled, at: usize) -> i32 {
    compiled.full_types.get(at).map_or(-1, |(_, modifier)| *modifier)
}

/// An assignment that rounds or cuts values without a word. What folds texts is guarded as it is written; of
/// `varchar(n)` the sink refuses what does not fit.
fn merges((from, modifier): (&str, i32), to: &TableColumn) -> bool {
    let inner = |name: &str| name.trim_end_matches("[]").to_owned();
    let (from, into) = (inner(from), inner(&to.sql_type));
    let real = |name: &str| matches!(name, "real" | "double precision");
    let limited = to.type_modifier != -1 && to.type_modifier != modifier;
    match into.as_str() {
        "smallint" | "integer" | "bigint" => from == "numeric" || real(&from),
        "numeric" if from == "numeric" => {
            limited && (modifier == -1 || scale(to.type_modifier) < scale(modifier))
        }
        "numeric" => real(&from) || to.type_modifier != -1 && scale(to.type_modifier) < 0,
        "real" => matches!(from.as_str(), "integer" | "bigint" | "numeric" | "double precision"),
        "double precision" => matches!(from.as_str(), "bigint" | "numeric"),
        "date" => from.starts_with("timestamp"),
        "name" | "\"char\"" => from != into,
        "character" | "bpchar" => matches!(from.as_str(), "text" | "character varying"),
        name if name.starts_with("time ") && from.starts_with("timestamp") => true,
        name if name.starts_with("time") || name == "interval" => {
            // Six digits of a second are all there are.
            from != "date"
                && limited
                && to.type_modifier != 6
                && (modifier == -1 || to.type_modifier < modifier)
        }
        _ => false,
    }
}

/// Digits behind the point of a `numeric(p, s)`, from its type modifier: eleven bits with a sign
/// (`numeric.c`, `numeric_typmod_scale`).
fn scale(modifier: i32) -> i32 {
    (((modifier - 4) & 0x7ff) ^ 1024) - 1024
}

/// An assignment that fails where it cannot keep the value, or takes every one.
fn keeps(from: &str, to: &TableColumn) -> bool {
    let integer = |name: &str| matches!(name, "smallint" | "integer" | "bigint");
    let text = |name: &str| matches!(name, "text" | "character varying" | "name");
    let time = |name: &str| name == "date" || name.starts_with("timestamp");
    let unlimited = to.type_modifier == -1;
    match to.sql_type.as_str() {
        name if integer(name) => integer(from),
        "numeric" => unlimited && (integer(from) || from == "numeric"),
        name if text(name) => !matches!(from, "character" | "bpchar") && !from.ends_with("citext"),
        name if name.starts_with("timestamp") => unlimited && time(from),
        "double precision" => matches!(from, "smallint" | "integer" | "real"),
        _ => false,
    }
}
