//! to_char over timestamps, for the patterns that are plain numbers.

use std::fmt::Write as _;

use crate::datetime::{EPOCH, civil_from_days};
use crate::interval::DAY;
use crate::value::{Evaluated, Fail, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Year,
    Month,
    Day,
    Hour24,
    Hour12,
    Minute,
    Second,
    Milli,
    Micro,
}

#[derive(Debug)]
enum Piece<'f> {
    Field(Field),
    Literal(&'f str),
}

const FIELDS: &[(&str, Field)] = &[
    ("YYYY", Field::Year),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("MM", Field::Month),
    ("DD", Field::Day),
    ("MI", Field::Minute),
    ("SS", Field::Second),
    ("MS", Field::Milli),
    ("US", Field::Micro),
];

/// The pieces of a format. `None` for one that is not made of these fields in one case, ASCII
/// punctuation, blanks, and quoted text: PostgreSQL has many more key words, prefixes and suffixes.
fn pieces(format: &str) -> Option<Vec<Piece<'_>>> {
    let mut out = Vec::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let end = rest[1..].find('"')? + 1;
            let quoted = &rest[1..end];
            if quoted.contains('\\') {
                return None;
            }
            out.push(Piece::Literal(quoted));
            rest = &rest[end + 1..];
            continue;
        }
        if first == ' ' || (first.is_ascii_punctuation() && first != '\\') {
            out.push(Piece::Literal(&rest[..1]));
            rest = &rest[1..];
            continue;
        }
        let (name, field) = FIELDS
            .iter()
            .find(|(name, _)| rest.starts_with(name) || rest.starts_with(&name.to_lowercase()))?;
        rest = &rest[name.len()..];
        // DDD and SSSS are fields of their own.
        let longer = match field {
            Field::Day => rest.starts_with(['D', 'd']),
            Field::Second => rest.starts_with(['S', 's']),
            _ => false,
        };
        if longer {
            return None;
        }
        out.push(Piece::Field(*field));
    }
    Some(out)
}

/// True when a format, given as a constant, can be evaluated here.
pub(crate) fn is_known(format: &str) -> bool {
    pieces(format).is_some()
}

/// to_char(timestamp, text); timestamptz in UTC.
pub(crate) fn to_char<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Int(micros), Value::Text(format)] = arguments else {
        return Err(Fail::Wire("to_char got other types than it was compiled for"));
    };
    let pieces = pieces(format).ok_or(Fail::Doubt)?;
    if format.is_empty() || *micros == i64::MIN || *micros == i64::MAX {
        return Ok(Value::Null);
    }
    let (year, month, day) = civil_from_days(micros.div_euclid(DAY) + EPOCH);
    let time = micros.rem_euclid(DAY);
    let (seconds, fraction) = (time / 1_000_000, time % 1_000_000);
    let hour = seconds / 3600;
    let mut out = String::new();
    for piece in pieces {
        let (value, width) = match piece {
            Piece::Literal(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Field(field) => match field {
                Field::Year => (if year > 0 { year } else { 1 - year }, 4),
                Field::Month => (month, 2),
                Field::Day => (day, 2),
                Field::Hour24 => (hour, 2),
                Field::Hour12 => ((hour + 11) % 12 + 1, 2),
                Field::Minute => (seconds / 60 % 60, 2),
                Field::Second => (seconds % 60, 2),
                Field::Milli => (fraction / 1000, 3),
                Field::Micro => (fraction, 6),
            },
        };
        write!(out, "{value:0width$}").map_err(|_| Fail::Doubt)?;
    }
    Ok(Value::text(out))
}
