//! PostgreSQL's functions that are evaluated here.

pub(crate) mod array;
pub(crate) mod array_search;
pub(crate) mod bytes;
pub(crate) mod calendar;
pub(crate) mod cast;
pub(crate) mod digest;
pub(crate) mod encoding;
pub(crate) mod fields;
pub(crate) mod format;
pub(crate) mod from_text;
pub(crate) mod hash;
pub(crate) mod json;
pub(crate) mod json_build;
pub(crate) mod json_edit;
pub(crate) mod json_raw;
pub(crate) mod jsonpath;
pub(crate) mod number;
pub(crate) mod number_format;
pub(crate) mod regex;
pub(crate) mod series;
pub(crate) mod set;
pub(crate) mod text;
pub(crate) mod to_char;
pub(crate) mod variadic;

use std::fmt;

use crate::values::types::Type;
use crate::values::value::{Evaluated, Value};

/// A function over values; arguments may be taken out of the slice.
pub(crate) type Run = for<'v> fn(&mut [Value<'v>]) -> Evaluated<'v>;

/// A function with something that was made of its constant arguments when the mapping was compiled.
/// It gives NULL for a NULL among the others.
pub(crate) trait Prepared: fmt::Debug + Send + Sync {
    /// The value for arguments that are not NULL.
    fn run<'v>(&self, arguments: &mut [Value<'v>]) -> Evaluated<'v>;
}

/// One function with the types of its arguments, and all that is to be known of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [Type],
    pub(crate) result: Type,
    /// NULL when any argument is NULL.
    pub(crate) strict: bool,
    pub(crate) run: Run,
    /// The first version of PostgreSQL that has it, as `server_version_num`; 0 for any.
    pub(crate) since: u32,
    /// Declared STABLE, not IMMUTABLE: PostgreSQL's planner does not compute it.
    pub(crate) stable: bool,
    /// Upper and lower case are those of the database's locale.
    pub(crate) by_locale: bool,
    /// An argument of which not every literal is evaluated here.
    pub(crate) literal: Option<Literal>,
    /// Written in SQL: the planner puts what it calls in its place, and sees that this is strict in the
    /// first argument.
    pub(crate) inlined: bool,
}

/// What may be written as an argument. What is no literal is looked at for each row.
#[derive(Debug)]
pub(crate) struct Literal {
    pub(crate) argument: usize,
    pub(crate) known: fn(&str) -> bool,
}

/// A function that every version has, that gives the same for the same arguments, and NULL for NULL.
const fn entry(name: &'static str, arguments: &'static [Type], result: Type, run: Run) -> Entry {
    Entry {
        name,
        arguments,
        result,
        strict: true,
        run,
        since: 0,
        stable: false,
        by_locale: false,
        literal: None,
        inlined: false,
    }
}

impl Entry {
    const fn since(self, version: u32) -> Entry {
        Entry { since: version, ..self }
    }

    const fn stable(self) -> Entry {
        Entry { stable: true, ..self }
    }

    const fn by_locale(self) -> Entry {
        Entry { by_locale: true, ..self }
    }

    const fn literal(self, argument: usize, known: fn(&str) -> bool) -> Entry {
        Entry { literal: Some(Literal { argument, known }), ..self }
    }

    const fn inlined(self) -> Entry {
        Entry { strict: false, inlined: true, ..self }
    }
}

/// The result type of a function that PostgreSQL has and that is not evaluated here. It stands in the
/// tables where another one of the same name would be chosen in its place.
pub(crate) const REFUSED: Type = Type::Other(0);

const TABLES: &[&[Entry]] = &[
    number::ENTRIES,
    text::ENTRIES,
    bytes::ENTRIES,
    json::ENTRIES,
    json_edit::ENTRIES,
    json_raw::ENTRIES,
    calendar::ENTRIES,
    fields::ENTRIES,
    hash::ENTRIES,
    number_format::ENTRIES,
    from_text::ENTRIES,
];

/// All functions that are known here, those to be refused among them.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    TABLES.iter().copied().flatten()
}

/// Those of a name.
pub(crate) fn named(name: &str) -> impl Iterator<Item = &'static Entry> {
    entries().filter(move |entry| entry.name == name)
}

/// The function that PostgreSQL means by a name and argument types, `None` when it is not known
/// here or not certain. `None` among the types is a literal without a type.
///
/// <https://www.postgresql.org/docs/current/typeconv-func.html>
pub(crate) fn select(name: &str, kinds: &[Option<Type>]) -> Option<&'static Entry> {
    // An untyped literal beside FROM is a pattern to PostgreSQL, not a position.
    if name == "substring" && kinds.get(1) == Some(&None) {
        return None;
    }
    best(named(name), |entry| entry.arguments, kinds).filter(|entry| entry.result != REFUSED)
}

/// The one among candidates whose argument types fit best, if it is one.
pub(crate) fn best<C: Copy>(
    candidates: impl Iterator<Item = C>,
    arguments: impl Fn(C) -> &'static [Type],
    kinds: &[Option<Type>],
) -> Option<C> {
    let mut best: Option<(usize, C)> = None;
    let mut tie = false;
    for candidate in candidates.filter(|candidate| arguments(*candidate).len() == kinds.len()) {
        let Some(score) = score(arguments(candidate), kinds) else { continue };
        match best {
            Some((other, _)) if other > score => {}
            Some((other, _)) if other == score => tie = true,
            _ => {
                best = Some((score, candidate));
                tie = false;
            }
        }
    }
    best.filter(|_| !tie).map(|(_, candidate)| candidate)
}

/// How well types fit: exact matches first, then arguments of a preferred type.
fn score(wanted: &[Type], given: &[Option<Type>]) -> Option<usize> {
    let mut score = 0;
    for (wanted, given) in wanted.iter().zip(given) {
        let Some(given) = given else {
            // A literal without a type is a string where a string will do.
            score += usize::from(*wanted == Type::Text);
            continue;
        };
        if wanted == given {
            score += 100;
        } else if !cast::implicit(*given, *wanted) {
            return None;
        } else if matches!(wanted, Type::Text | Type::Float8 | Type::Timestamptz | Type::Interval) {
            score += 1;
        }
    }
    Some(score)
}

pub(crate) const VOLATILE: &[&str] = &[
    "clock_timestamp",
    "currval",
    "current_database",
    "current_query",
    "current_schema",
    "current_schemas",
    "current_setting",
    "gen_random_bytes",
    "gen_random_uuid",
    "inet_client_addr",
    "inet_server_addr",
    "lastval",
    "nextval",
    "now",
    "pg_backend_pid",
    "pg_current_wal_lsn",
    "pg_current_xact_id",
    "pg_sleep",
    "random",
    "random_normal",
    "set_config",
    "setval",
    "statement_timestamp",
    "timeofday",
    "transaction_timestamp",
    "txid_current",
    "uuidv4",
    "uuidv7",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "version",
];

pub(crate) const AGGREGATES: &[&str] = &[
    "any_value",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "regr_count",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
    "xmlagg",
];

pub(crate) const WINDOWS: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

pub(crate) const SETS: &[&str] = &[
    "generate_series",
    "generate_subscripts",
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_object_keys",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "jsonb_path_query",
    "regexp_matches",
    "regexp_split_to_table",
    "string_to_table",
    "unnest",
];
