//! Comments that say what SQL cannot: how a changed row of one table leads to rows of the source
//! table, which mapper of the program makes the rows, and how rows without a key are followed.
//!
//! ```sql
//! -- regraft: trace child.parent_id -> id
//! -- regraft: trace public.price(region, sku) -> (region, sku)
//! -- regraft: trace grandchild.child_id -> child.id
//! -- regraft: mapper unpack
//! -- regraft: append-only
//! -- regraft: counted
//! ```

use regraft_core::Keyless;

use crate::front::syntax::Stop;
use crate::front::syntax::lexer::{Token, lex};

/// A trace as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceComment {
    /// Schema, if it was written, and name of the table whose changes are traced.
    pub table: (Option<String>, String),
    /// Columns of that table.
    pub columns: Vec<String>,
    /// The table that it leads to, from which another trace goes on; `None` is the source table.
    pub to: Option<(Option<String>, String)>,
    /// Columns of that table that have the same values.
    pub by: Vec<String>,
    /// Offset in the file.
    pub(crate) at: usize,
}

const SHAPE: &str = "write -- regraft: trace table.column -> column, or table(a, b) -> (c, d); -> table.column leads to \
                     another table, which has a trace of its own; or -- regraft: mapper NAME; or, for rows \
                     without a key, -- regraft: append-only, or -- regraft: counted";

/// What the comments of a statement say to regraft.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) traces: Vec<TraceComment>,
    /// The name of a mapper, and its offset in the file.
    pub(crate) mapper: Option<(String, usize)>,
    /// How rows without a key are followed.
    pub(crate) keyless: Option<Keyless>,
}

/// The orders among the comments of a part of the mapping. `start` is its offset in the file.
pub(crate) fn orders(text: &str, start: usize) -> Result<Orders, Stop> {
    let mut orders = Orders::default();
    let mut offset = start;
    for line in text.split_inclusive('\n') {
        let at = offset + line.len() - line.trim_start().len();
        offset += line.len();
        let Some(comment) = line.trim().strip_prefix("--") else { continue };
        let Some(order) = comment.trim_start().strip_prefix("regraft:") else { continue };
        let order = order.trim();
        match order.split_once(char::is_whitespace) {
            Some(("trace", trace)) => orders.traces.push(read_trace(trace, at)?),
            Some(("mapper", name)) => {
                let name = name.trim();
                if name.contains(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c))) {
                    let message =
                        "the name of a mapper has letters, digits, \".\", \"_\" and \"-\"";
                    return Err(Stop::new(at, message).remedy(SHAPE));
                }
                if orders.mapper.replace((name.to_owned(), at)).is_some() {
                    let message = "a statement has one mapper, and this is the second";
                    return Err(Stop::new(at, message).remedy("leave one of them out"));
                }
            }
            None if let Some(keyless) = keyless(order) => {
                if orders.keyless.replace(keyless).is_some_and(|other| other != keyless) {
                    let message = "rows are append-only or counted, and not both";
                    return Err(Stop::new(at, message).remedy("leave one of them out"));
                }
            }
            _ => {
                let message = "a comment for regraft says nothing that it knows";
                return Err(Stop::new(at, message).remedy(SHAPE));
            }
        }
    }
    Ok(orders)
}

fn keyless(order: &str) -> Option<Keyless> {
    [Keyless::Appended, Keyless::Counted].into_iter().find(|keyless| keyless.as_str() == order)
}

fn read_trace(trace: &str, at: usize) -> Result<TraceComment, Stop> {
    let stop = || Stop::new(at, "a trace cannot be read").remedy(SHAPE);
    let (from, to) = trace.split_once("->").ok_or_else(stop)?;
    let (table, columns) = source(&lex(from).map_err(|_| stop())?).ok_or_else(stop)?;
    let to = lex(to).map_err(|_| stop())?;
    let (to, by) = match names(&to) {
        Some(by) => (None, by),
        None => source(&to).map(|(table, by)| (Some(table), by)).ok_or_else(stop)?,
    };
    if by.len() != columns.len() {
        return Err(Stop::new(at, "a trace has as many columns on both sides").remedy(SHAPE));
    }
    Ok(TraceComment { table, columns, to, by, at })
}

type Source = ((Option<String>, String), Vec<String>);

/// `table.column`, `schema.table.column`, `table(a, b)` or `schema.table(a, b)`.
fn source(tokens: &[Token]) -> Option<Source> {
    let open = tokens.iter().position(|token| token.is_mark("("));
    let (path, columns) = match open {
        Some(open) => (&tokens[..open], Some(names(&tokens[open..])?)),
        None => (tokens, None),
    };
    let mut path: Vec<String> = dotted(path)?;
    let columns = match columns {
        Some(columns) => columns,
        None => vec![path.pop()?],
    };
    match path.as_slice() {
        [table] => Some(((None, table.clone()), columns)),
        [schema, table] => Some(((Some(schema.clone()), table.clone()), columns)),
        _ => None,
    }
}

/// `a`, or `(a, b)`.
fn names(tokens: &[Token]) -> Option<Vec<String>> {
    let tokens = match tokens {
        [first, inner @ .., last] if first.is_mark("(") && last.is_mark(")") => inner,
        all => all,
    };
    separated(tokens, ",")
}

fn dotted(tokens: &[Token]) -> Option<Vec<String>> {
    separated(tokens, ".")
}

fn separated(tokens: &[Token], mark: &str) -> Option<Vec<String>> {
    let name = |part: &[Token]| match part {
        [token] if token.is_identifier() => Some(token.text.clone()),
        _ => None,
    };
    tokens.split(|token| token.is_mark(mark)).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_says_how_rows_without_a_key_are_followed() {
        let keyless = |text: &str| orders(text, 0).map(|orders| orders.keyless);
        assert_eq!(keyless("-- regraft: append-only\n").unwrap(), Some(Keyless::Appended));
        assert_eq!(keyless("--regraft:  counted ").unwrap(), Some(Keyless::Counted));
        assert_eq!(keyless("-- counted").unwrap(), None);
        assert!(keyless("-- regraft: counted rows").is_err());
        assert!(keyless("-- regraft: counted\n-- regraft: append-only").is_err());
    }

    fn one(text: &str) -> Result<TraceComment, Stop> {
        orders(text, 0).map(|mut orders| orders.traces.remove(0))
    }

    #[test]
    fn both_forms_are_read() {
        let trace = one("-- regraft: trace child.Parent_id -> id\n").unwrap();
        assert_eq!(trace.table, (None, "child".to_owned()));
        assert_eq!(
            (trace.columns, trace.by),
            (vec!["parent_id".to_owned()], vec!["id".to_owned()])
        );
        let trace = one("-- hello\n  --regraft: trace \"S\".p(a, \"B\") -> (c, d)").unwrap();
        assert_eq!(trace.table, (Some("S".to_owned()), "p".to_owned()));
        assert_eq!(trace.columns, ["a", "B"]);
        assert_eq!(trace.by, ["c", "d"]);
        assert_eq!((trace.at, trace.to), (11, None));
        let trace = one("-- regraft: trace c.b_id -> s.b(id)").unwrap();
        assert_eq!(trace.to, Some((Some("s".to_owned()), "b".to_owned())));
        assert_eq!(trace.by, ["id"]);
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        for text in [
            "-- regraft: follow a.b -> c",
            "-- regraft: trace a.b",
            "-- regraft: trace a.b -> (c, d)",
            "-- regraft: trace a -> c",
            "-- regraft: trace a.b.c.d -> e",
            "-- regraft: mapper",
            "-- regraft: mapper a b",
            "-- regraft: mapper a\n-- regraft: mapper b",
        ] {
            assert!(orders(text, 0).is_err(), "{text}");
        }
        assert!(orders("-- regraft is good\nSELECT '-- x'", 0).unwrap().traces.is_empty());
    }

    #[test]
    fn a_mapper_is_named() {
        let orders = orders("-- old pages\n  -- regraft: mapper  acme.un-pack_2 \n", 5).unwrap();
        assert_eq!(orders.mapper, Some(("acme.un-pack_2".to_owned(), 20)));
    }
}
