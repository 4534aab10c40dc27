//! Dates and times: days and microseconds since 2000-01-01, as PostgreSQL keeps and sends them.
//! Time zones: UTC only.

use std::fmt::Write as _;

use crate::values::types::Type;
use crate::values::value::Value;

use crate::values::interval::{DAY, clock};

/// Days from 1970-01-01 to 2000-01-01.
pub(crate) const EPOCH: i64 = 10_957;
/// `-infinity` and `infinity` of a date.
pub(crate) const DATE_LOW: i64 = i32::MIN as i64;
pub(crate) const DATE_HIGH: i64 = i32::MAX as i64;
/// Bounds of a timestamp: 4713 BC to 294276 AD.
pub(crate) const FIRST: i64 = -211_813_488_000_000_000;
pub(crate) const END: i64 = 9_223_371_331_200_000_000;

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar; year 0 is 1 BC.
/// <https://howardhinnant.github.io/date_algorithms.html>
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a day since 1970-01-01.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A value of one of the types of dates and times as another one or as text; `None` outside their ranges.
pub(crate) fn convert<'v>(value: i64, from: Type, to: Type) -> Option<Value<'v>> {
    match (from, to) {
        (Type::Date, Type::Timestamp | Type::Timestamptz) => {
            let micros = match value {
                DATE_LOW => i64::MIN,
                DATE_HIGH => i64::MAX,
                days => days.checked_mul(DAY).filter(|micros| (FIRST..END).contains(micros))?,
            };
            Some(Value::Int(micros))
        }
        (Type::Time, _) => Some(Value::text(clock(value.unsigned_abs()))),
        (_, Type::Time) => Some(match value {
            i64::MIN | i64::MAX => Value::Null,
            micros => Value::Int(micros.rem_euclid(DAY)),
        }),
        (_, Type::Date) => Some(Value::Int(match value {
            i64::MIN => DATE_LOW,
            i64::MAX => DATE_HIGH,
            micros => micros.div_euclid(DAY),
        })),
        (Type::Timestamp | Type::Timestamptz, Type::Timestamp | Type::Timestamptz) => {
            // Rounding to a precision can carry a stored value over the end.
            let known = matches!(value, i64::MIN | i64::MAX) || (FIRST..END).contains(&value);
            known.then_some(Value::Int(value))
        }
        _ => text(value, from).map(Value::text),
    }
}

/// As PostgreSQL prints it with DateStyle ISO and TimeZone UTC.
fn text(value: i64, kind: Type) -> Option<String> {
    let (low, high) = if kind == Type::Date { (DATE_LOW, DATE_HIGH) } else { (i64::MIN, i64::MAX) };
    if value == low {
        return Some("-infinity".into());
    }
    if value == high {
        return Some("infinity".into());
    }
    let (days, micros) = if kind == Type::Date {
        (value, None)
    } else {
        (value.div_euclid(DAY), Some(value.rem_euclid(DAY)))
    };
    let (year, month, day) = civil_from_days(days + EPOCH);
    let shown = if year > 0 { year } else { 1 - year };
    let mut out = format!("{shown:04}-{month:02}-{day:02}");
    if let Some(micros) = micros {
        write!(out, " {}", clock(micros.unsigned_abs())).ok()?;
        if kind == Type::Timestamptz {
            out.push_str("+00");
        }
    }
    if year <= 0 {
        out.push_str(" BC");
    }
    Some(out)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// Exactly `count` digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let mut value = 0;
        for digit in digits {
            value = value * 10 + i64::from(char::from(*digit).to_digit(10)?);
        }
        self.0 = rest;
        Some(value)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }
}

/// Reads `2020-01-31[ 12:34[:56[.789]]][+02[:30]]`; `None` for every other form and for days that
/// do not exist.
pub(crate) fn parse(text: &str, kind: Type) -> Option<i64> {
    if kind == Type::Time {
        let mut reader = Reader(text.as_bytes());
        let micros = time(&mut reader)?;
        return reader.0.is_empty().then_some(micros);
    }
    let (low, high) = if kind == Type::Date { (DATE_LOW, DATE_HIGH) } else { (i64::MIN, i64::MAX) };
    match text {
        "infinity" => return Some(high),
        "-infinity" => return Some(low),
        _ => {}
    }
    let (text, before) = match text.strip_suffix(" BC") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let mut reader = Reader(text.as_bytes());
    let year = reader.digits(4)?;
    reader.take(b'-').then_some(())?;
    let month = reader.digits(2)?;
    reader.take(b'-').then_some(())?;
    let day = reader.digits(2)?;
    if year == 0 {
        return None;
    }
    let year = if before { 1 - year } else { year };
    let exists = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    exists.then_some(())?;
    let days = days_from_civil(year, month, day) - EPOCH;
    if days < -2_451_545 {
        return None;
    }
    if kind == Type::Date {
        return reader.0.is_empty().then_some(days);
    }
    let mut micros = days * DAY;
    if reader.take(b' ') || reader.take(b'T') {
        micros += time(&mut reader)?;
        if kind == Type::Timestamptz {
            micros -= zone(&mut reader)?;
        }
    }
    (reader.0.is_empty() && (FIRST..END).contains(&micros)).then_some(micros)
}

fn time(reader: &mut Reader<'_>) -> Option<i64> {
    let hour = reader.digits(2)?;
    reader.take(b':').then_some(())?;
    let minute = reader.digits(2)?;
    let mut second = 0;
    let mut fraction = 0;
    if reader.take(b':') {
        second = reader.digits(2)?;
        if reader.take(b'.') {
            let count = reader.0.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=6).contains(&count) {
                return None;
            }
            fraction = reader.digits(count)? * 10_i64.pow(u32::try_from(6 - count).ok()?);
        }
    }
    (hour < 24 && minute < 60 && second < 60)
        .then_some(((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction)
}

/// Offset from UTC in microseconds; without one it is UTC.
fn zone(reader: &mut Reader<'_>) -> Option<i64> {
    if reader.0.is_empty() || reader.take(b'Z') {
        return Some(0);
    }
    let sign = if reader.take(b'+') {
        1
    } else if reader.take(b'-') {
        -1
    } else {
        return None;
    };
    let hours = reader.digits(2)?;
    let minutes = if reader.take(b':') { reader.digits(2)? } else { 0 };
    (hours < 15 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000_000)
}

/// Rounded to `digits` decimals of a second, half away from zero.
pub(crate) fn round(micros: i64, digits: i32) -> Option<i64> {
    if micros == i64::MIN || micros == i64::MAX {
        return Some(micros);
    }
    let unit = 10_i64.checked_pow(u32::try_from(6 - digits).ok()?)?;
    let half = unit / 2;
    let rounded = if micros >= 0 {
        micros.checked_add(half)? / unit * unit
    } else {
        -((-micros).checked_add(half)? / unit * unit)
    };
    (FIRST..END).contains(&rounded).then_some(rounded)
}

#[cfg(test)]
#[path = "../tests/datetime.rs"]
mod tests;
