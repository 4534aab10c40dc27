//! Functions that take any number of arguments.

use super::Run;
use crate::evaluation::functions::{format, json, json_build, json_raw, text};
use crate::values::types::Type;
use crate::values::value::{Evaluated, Value};

/// How the arguments behind the fixed ones are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// As text, by a conversion that PostgreSQL does by itself.
    Text,
    /// As their types print them.
    Printed,
    /// As they are.
    Any,
    /// As jsonb.
    Documents,
    /// Keys, as text, and documents in turn.
    Members,
}

/// One function.
#[derive(Debug)]
pub(crate) struct Variadic {
    pub(crate) name: &'static str,
    pub(crate) fixed: &'static [Type],
    pub(crate) rest: Rest,
    /// Fewest arguments.
    pub(crate) least: usize,
    pub(crate) result: Type,
    /// NULL when any argument is NULL.
    pub(crate) strict: bool,
    /// Declared STABLE, not IMMUTABLE.
    pub(crate) stable: bool,
    /// What the first argument has to be, for how many behind the fixed ones.
    pub(crate) literal: Option<Literal>,
    pub(crate) run: Run,
}

/// What may be written as an argument; anything else is refused, in these words.
#[derive(Debug)]
pub(crate) struct Literal {
    pub(crate) known: fn(&str, usize) -> bool,
    pub(crate) refusal: &'static str,
}

const ENTRIES: &[Variadic] = &[
    Variadic {
        name: "concat",
        fixed: &[],
        rest: Rest::Printed,
        least: 1,
        result: Type::Text,
        strict: false,
        stable: true,
        literal: None,
        run: text::concat,
    },
    Variadic {
        name: "concat_ws",
        fixed: &[Type::Text],
        rest: Rest::Printed,
        least: 1,
        result: Type::Text,
        strict: false,
        stable: true,
        literal: None,
        run: text::concat_ws,
    },
    Variadic {
        name: "format",
        fixed: &[Type::Text],
        rest: Rest::Printed,
        least: 1,
        result: Type::Text,
        strict: false,
        stable: true,
        literal: Some(Literal {
            known: format::known,
            refusal: "a format() other than a literal with %s and %L",
        }),
        run: format::format,
    },
    Variadic {
        name: "num_nulls",
        fixed: &[],
        rest: Rest::Any,
        least: 1,
        result: Type::Int4,
        strict: false,
        stable: false,
        literal: None,
        run: |a| count(a, true),
    },
    Variadic {
        name: "num_nonnulls",
        fixed: &[],
        rest: Rest::Any,
        least: 1,
        result: Type::Int4,
        strict: false,
        stable: false,
        literal: None,
        run: |a| count(a, false),
    },
    Variadic {
        name: "jsonb_build_array",
        fixed: &[],
        rest: Rest::Documents,
        least: 0,
        result: Type::Jsonb,
        strict: false,
        stable: true,
        literal: None,
        run: json_build::build_array,
    },
    Variadic {
        name: "jsonb_build_object",
        fixed: &[],
        rest: Rest::Members,
        least: 0,
        result: Type::Jsonb,
        strict: false,
        stable: true,
        literal: None,
        run: json_build::build_object,
    },
    Variadic {
        name: "jsonb_extract_path",
        fixed: &[Type::Jsonb],
        rest: Rest::Text,
        least: 2,
        result: Type::Jsonb,
        strict: true,
        stable: false,
        literal: None,
        run: json::extract,
    },
    Variadic {
        name: "jsonb_extract_path_text",
        fixed: &[Type::Jsonb],
        rest: Rest::Text,
        least: 2,
        result: Type::Text,
        strict: true,
        stable: false,
        literal: None,
        run: json::extract_text,
    },
    Variadic {
        name: "json_extract_path",
        fixed: &[Type::Json],
        rest: Rest::Text,
        least: 2,
        result: Type::Json,
        strict: true,
        stable: false,
        literal: None,
        run: json_raw::extract,
    },
    Variadic {
        name: "json_extract_path_text",
        fixed: &[Type::Json],
        rest: Rest::Text,
        least: 2,
        result: Type::Text,
        strict: true,
        stable: false,
        literal: None,
        run: json_raw::extract_text,
    },
];

/// The variadic function of this name over this many arguments.
pub(crate) fn find(name: &str, count: usize) -> Option<&'static Variadic> {
    ENTRIES.iter().find(|entry| entry.name == name && count >= entry.least)
}

fn count<'v>(arguments: &mut [Value<'v>], nulls: bool) -> Evaluated<'v> {
    let found = arguments.iter().filter(|value| value.is_null() == nulls).count();
    Ok(Value::Int(i64::try_from(found).unwrap_or(i64::MAX)))
}
