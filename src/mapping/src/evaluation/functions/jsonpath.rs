//! Functions over jsonpath.

use std::sync::Arc;

use super::Prepared;
use crate::evaluation::jsonpath::Path;
use crate::values::types::Type;
use crate::values::value::{Evaluated, Fail, Value};

/// What is done with the items that a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// `@?` and jsonb_path_exists
    Exists,
    /// `@@`
    Test,
    /// jsonb_path_match
    Match,
    /// jsonb_path_query_first
    First,
    /// jsonb_path_query_array
    Array,
}

/// What an operator or function asks, and its result.
pub(crate) fn usage(name: &str) -> Option<(Use, Type)> {
    Some(match name {
        "@?" | "jsonb_path_exists" => (Use::Exists, Type::Bool),
        "@@" => (Use::Test, Type::Bool),
        "jsonb_path_match" => (Use::Match, Type::Bool),
        "jsonb_path_query_first" => (Use::First, Type::Jsonb),
        "jsonb_path_query_array" => (Use::Array, Type::Jsonb),
        _ => return None,
    })
}

/// A function with its path.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) usage: Use,
    pub(crate) path: Arc<Path>,
}

impl Prepared for Query {
    fn run<'v>(&self, arguments: &mut [Value<'v>]) -> Evaluated<'v> {
        let [Value::Text(document)] = arguments else {
            return Err(Fail::Wire("a jsonpath got another type than jsonb"));
        };
        let items = self.path.items(document)?;
        Ok(match self.usage {
            Use::Exists => Value::Bool(!items.is_empty()),
            Use::First => match items.into_iter().next() {
                Some(item) => Value::text(item.into_owned()),
                None => Value::Null,
            },
            Use::Array => Value::text(format!("[{}]", items.join(", "))),
            Use::Test | Use::Match => match items.as_slice() {
                [one] if one == "true" => Value::Bool(true),
                [one] if one == "false" => Value::Bool(false),
                [one] if one == "null" => Value::Null,
                _ if self.usage == Use::Test => Value::Null,
                _ => return Err(Fail::error("22038", "single boolean result is expected")),
            },
        })
    }
}
