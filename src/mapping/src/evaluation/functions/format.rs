//! `format()` and the quoting of literals.

use std::iter::Peekable;
use std::str::Chars;

use crate::values::value::{Evaluated, Fail, Value};

/// Widths above this are left to PostgreSQL and its own limits.
const WIDTH_MAX: usize = 1 << 20;

fn wrong() -> Fail {
    Fail::Wire("format got other types than it was compiled for")
}

/// A text as a literal of SQL, as `quote_literal_cstr` writes it.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 3);
    if text.contains('\\') {
        out.push('E');
    }
    out.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
    out
}

/// `quote_literal`
pub(crate) fn quote_literal<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Text(text)] => Ok(Value::text(literal(text))),
        _ => Err(wrong()),
    }
}

/// `quote_nullable`
pub(crate) fn quote_nullable<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Null] => Ok(Value::text("NULL")),
        _ => quote_literal(arguments),
    }
}

/// A part of a format.
enum Piece {
    Char(char),
    Value {
        /// Number of the argument, from 1.
        place: usize,
        left: bool,
        width: usize,
        /// As a literal, not as it is.
        literal: bool,
    },
}

fn digits(chars: &mut Peekable<Chars<'_>>) -> Option<usize> {
    let mut text = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        text.push(digit);
    }
    // What is too large is not taken as absent.
    if text.is_empty() { None } else { Some(text.parse().unwrap_or(usize::MAX)) }
}

/// The parts of a format; `None` when PostgreSQL refuses it, and for what is not certain: names
/// (%I depends on the version's key words), and widths that are arguments.
fn pieces(format: &str, count: usize) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut chars = format.chars().peekable();
    let mut next = 1;
    while let Some(c) = chars.next() {
        if c != '%' {
            pieces.push(Piece::Char(c));
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            pieces.push(Piece::Char('%'));
            continue;
        }
        let mut left = false;
        let mut width = None;
        let mut place = next;
        let first = digits(&mut chars);
        if first.is_some() && chars.next_if_eq(&'$').is_none() {
            width = first;
        } else {
            place = first.unwrap_or(next);
            while chars.next_if_eq(&'-').is_some() {
                left = true;
            }
            width = width.or_else(|| digits(&mut chars));
        }
        let width = width.unwrap_or(0);
        let literal = match chars.next()? {
            's' => false,
            'L' => true,
            _ => return None,
        };
        if !(1..=count).contains(&place) || width > WIDTH_MAX {
            return None;
        }
        next = place + 1;
        pieces.push(Piece::Value { place, left, width, literal });
    }
    Some(pieces)
}

/// True when this format over so many arguments is understood here.
pub(crate) fn known(format: &str, count: usize) -> bool {
    pieces(format, count).is_some()
}

/// `format`, over a format and the printed arguments.
pub(crate) fn format<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let (format, values) = match arguments.split_first() {
        Some((Value::Text(format), values)) => (format, values),
        Some((Value::Null, _)) => return Ok(Value::Null),
        _ => return Err(wrong()),
    };
    let mut out = String::with_capacity(format.len());
    for piece in pieces(format, values.len()).ok_or(Fail::Doubt)? {
        let (place, left, width, as_literal) = match piece {
            Piece::Char(c) => {
                out.push(c);
                continue;
            }
            Piece::Value { place, left, width, literal } => (place, left, width, literal),
        };
        let text = match values.get(place - 1) {
            Some(Value::Null) => if as_literal { "NULL" } else { "" }.to_owned(),
            Some(Value::Text(text)) if as_literal => literal(text),
            Some(Value::Text(text)) => text.to_string(),
            _ => return Err(wrong()),
        };
        let missing = width.saturating_sub(text.chars().count());
        let blanks = " ".repeat(missing);
        let (a, b) = if left { (text, blanks) } else { (blanks, text) };
        out.push_str(&a);
        out.push_str(&b);
    }
    Ok(Value::text(out))
}
