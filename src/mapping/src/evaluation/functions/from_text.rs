//! to_date and to_timestamp over texts that have just the form of their format. What PostgreSQL makes
//! of others, and which of them it refuses, is left to it.

use super::to_char::{Field, Piece, pieces};
use super::{Entry, entry};
use crate::values::datetime::{EPOCH, days_from_civil, days_in_month};
use crate::values::interval::DAY;
use crate::values::types::Type;
use crate::values::value::{Fail, Value};

pub(crate) const ENTRIES: &[Entry] = &[
    entry("to_date", &[Type::Text, Type::Text], Type::Date, |a| {
        Ok(Value::Int(moment(a)?.div_euclid(DAY)))
    })
    .stable()
    .literal(1, is_known),
    entry("to_timestamp", &[Type::Text, Type::Text], Type::Timestamptz, |a| {
        Ok(Value::Int(moment(a)?))
    })
    .stable()
    .literal(1, is_known),
];

/// Fields that may be read, with the number of their digits.
const FIELDS: &[(Field, usize)] = &[
    (Field::Year(4), 4),
    (Field::Month, 2),
    (Field::Day, 2),
    (Field::Hour24, 2),
    (Field::Minute, 2),
    (Field::Second, 2),
    (Field::Fraction(3), 3),
    (Field::Fraction(6), 6),
];

/// The pieces of a format with a year, a month and a day, no field twice.
fn known(format: &str) -> Option<Vec<Piece<'_>>> {
    // `FF3` prints what `MS` does, and reads in another way.
    if format.to_ascii_uppercase().contains("FF") {
        return None;
    }
    let pieces = pieces(format)?;
    let mut seen = Vec::new();
    for piece in &pieces {
        let Piece::Field(field, bare) = piece else { continue };
        let fraction = matches!(field, Field::Fraction(_));
        let twice = seen.contains(field)
            || (fraction && seen.iter().any(|other| matches!(other, Field::Fraction(_))));
        if *bare || twice || !FIELDS.iter().any(|(known, _)| known == field) {
            return None;
        }
        seen.push(*field);
    }
    [Field::Year(4), Field::Month, Field::Day]
        .iter()
        .all(|wanted| seen.contains(wanted))
        .then_some(pieces)
}

/// True when a format, given as a constant, can be evaluated here.
pub(crate) fn is_known(format: &str) -> bool {
    known(format).is_some()
}

/// Microseconds since 2000-01-01.
fn moment(arguments: &mut [Value<'_>]) -> Result<i64, Fail> {
    let [Value::Text(text), Value::Text(format)] = arguments else {
        return Err(Fail::Wire("to_timestamp got other types than it was compiled for"));
    };
    read(text, format).ok_or(Fail::Doubt)
}

fn read(text: &str, format: &str) -> Option<i64> {
    let mut rest = text;
    let mut found = [0_i64; 8];
    for piece in known(format)? {
        match piece {
            Piece::Literal(literal) => rest = rest.strip_prefix(literal)?,
            Piece::Field(field, _) => {
                let place = FIELDS.iter().position(|(known, _)| *known == field)?;
                let (digits, after) = rest.split_at_checked(FIELDS[place].1)?;
                if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                found[place] = digits.parse().ok()?;
                rest = after;
            }
        }
    }
    let [year, month, day, hour, minute, second, millis, micros] = found;
    let exists = year > 0
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && rest.is_empty();
    let days = days_from_civil(year, month, day) - EPOCH;
    let seconds = (hour * 60 + minute) * 60 + second;
    exists.then(|| days * DAY + seconds * 1_000_000 + millis * 1000 + micros)
}
