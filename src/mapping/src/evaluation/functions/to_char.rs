//! to_char over timestamps.

use std::fmt::Write as _;

use super::fields::{Unit, day_field};
use crate::values::datetime::{EPOCH, civil_from_days};
use crate::values::interval::DAY;
use crate::values::value::{Evaluated, Fail, Value};

/// How a name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Title,
    Lower,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// That many of the last digits of the year.
    Year(u32),
    /// With a comma after the thousands.
    YearComma,
    /// Of the ISO week.
    IsoYear(u32),
    Century,
    Quarter,
    Month,
    MonthName(Case),
    MonthShort(Case),
    Week,
    WeekOfMonth,
    IsoWeek,
    DayOfYear,
    Day,
    DayName(Case),
    DayShort(Case),
    /// Sunday is 1.
    Weekday,
    /// Sunday is 7.
    IsoWeekday,
    Julian,
    Hour24,
    Hour12,
    Minute,
    Second,
    SecondOfDay,
    /// That many digits of the fraction of a second.
    Fraction(u32),
    /// Before or after noon, with points or without.
    Noon(Case, bool),
    Era(Case, bool),
}

#[derive(Debug)]
pub(super) enum Piece<'f> {
    /// With `true` without padding.
    Field(Field, bool),
    Literal(&'f str),
}

use Case::{Lower, Title, Upper};

/// As in `DCH_keywords`: of two that fit the first is meant.
const FIELDS: &[(&str, Field)] = &[
    ("A.D.", Field::Era(Upper, true)),
    ("A.M.", Field::Noon(Upper, true)),
    ("AD", Field::Era(Upper, false)),
    ("AM", Field::Noon(Upper, false)),
    ("B.C.", Field::Era(Upper, true)),
    ("BC", Field::Era(Upper, false)),
    ("CC", Field::Century),
    ("DAY", Field::DayName(Upper)),
    ("DDD", Field::DayOfYear),
    ("DD", Field::Day),
    ("DY", Field::DayShort(Upper)),
    ("Day", Field::DayName(Title)),
    ("Dy", Field::DayShort(Title)),
    ("D", Field::Weekday),
    ("FF1", Field::Fraction(1)),
    ("FF2", Field::Fraction(2)),
    ("FF3", Field::Fraction(3)),
    ("FF4", Field::Fraction(4)),
    ("FF5", Field::Fraction(5)),
    ("FF6", Field::Fraction(6)),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("HH", Field::Hour12),
    ("ID", Field::IsoWeekday),
    ("IW", Field::IsoWeek),
    ("IYYY", Field::IsoYear(4)),
    ("IYY", Field::IsoYear(3)),
    ("IY", Field::IsoYear(2)),
    ("I", Field::IsoYear(1)),
    ("J", Field::Julian),
    ("MI", Field::Minute),
    ("MM", Field::Month),
    ("MONTH", Field::MonthName(Upper)),
    ("MON", Field::MonthShort(Upper)),
    ("MS", Field::Fraction(3)),
    ("Month", Field::MonthName(Title)),
    ("Mon", Field::MonthShort(Title)),
    ("P.M.", Field::Noon(Upper, true)),
    ("PM", Field::Noon(Upper, false)),
    ("Q", Field::Quarter),
    ("SSSSS", Field::SecondOfDay),
    ("SSSS", Field::SecondOfDay),
    ("SS", Field::Second),
    ("US", Field::Fraction(6)),
    ("WW", Field::Week),
    ("W", Field::WeekOfMonth),
    ("Y,YYY", Field::YearComma),
    ("YYYY", Field::Year(4)),
    ("YYY", Field::Year(3)),
    ("YY", Field::Year(2)),
    ("Y", Field::Year(1)),
];

impl Field {
    /// As the key word in small letters gives it.
    fn lower(self) -> Self {
        match self {
            Field::Era(_, points) => Field::Era(Lower, points),
            Field::Noon(_, points) => Field::Noon(Lower, points),
            Field::DayName(_) => Field::DayName(Lower),
            Field::DayShort(_) => Field::DayShort(Lower),
            Field::MonthName(_) => Field::MonthName(Lower),
            Field::MonthShort(_) => Field::MonthShort(Lower),
            other => other,
        }
    }
}

/// The field that a format begins with, and the rest of it.
fn field(format: &str) -> Option<(Field, &str)> {
    // Of day 366 of the ISO year.
    if format.starts_with("IDDD") || format.starts_with("iddd") {
        return None;
    }
    FIELDS.iter().find_map(|(name, field)| {
        if let Some(rest) = format.strip_prefix(name) {
            return Some((*field, rest));
        }
        let small = !matches!(*name, "Day" | "Dy" | "Month" | "Mon");
        let rest = format.strip_prefix(&name.to_lowercase()).filter(|_| small)?;
        Some((field.lower(), rest))
    })
}

/// The pieces of a format. `None` for one that is not made of these fields, ASCII punctuation, blanks,
/// and quoted text: PostgreSQL has further key words, prefixes and suffixes.
pub(super) fn pieces(format: &str) -> Option<Vec<Piece<'_>>> {
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
        let bare = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm"));
        let (found, after) = field(bare.unwrap_or(rest))?;
        out.push(Piece::Field(found, bare.is_some()));
        rest = after;
        // Suffixes.
        if ["TH", "th", "SP"].iter().any(|suffix| rest.starts_with(suffix)) {
            return None;
        }
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
    let days = micros.div_euclid(DAY);
    let time = micros.rem_euclid(DAY);
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Field(field, bare) => put(field, bare, days, time, &mut out)?,
        }
    }
    Ok(Value::text(out))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn cased(name: &str, case: Case) -> String {
    match case {
        Case::Upper => name.to_ascii_uppercase(),
        Case::Title => name.to_owned(),
        Case::Lower => name.to_ascii_lowercase(),
    }
}

/// Appends a field of a day since 2000-01-01 and a time of day in microseconds.
fn put(field: Field, bare: bool, days: i64, time: i64, out: &mut String) -> Result<(), Fail> {
    let (year, month, day) = civil_from_days(days + EPOCH);
    let of_day = |unit| day_field(unit, days).ok_or(Fail::Doubt);
    let name = |list: &'static [&'static str], at: i64| {
        usize::try_from(at - 1).ok().and_then(|i| list.get(i).copied()).ok_or(Fail::Doubt)
    };
    let (seconds, fraction) = (time / 1_000_000, time % 1_000_000);
    let hour = seconds / 3600;
    // Years before 1 are counted from 1 BC.
    let shown = if year > 0 { year } else { 1 - year };
    let (value, width) = match field {
        Field::Year(4) => (shown, 4),
        Field::Year(digits) => (shown % 10_i64.pow(digits), digits),
        Field::YearComma => {
            write!(out, "{},{:03}", shown / 1000, shown % 1000).map_err(|_| Fail::Doubt)?;
            return Ok(());
        }
        Field::IsoYear(digits) => {
            let year = of_day(Unit::Isoyear)?.abs();
            (if digits == 4 { year } else { year % 10_i64.pow(digits) }, digits)
        }
        Field::Century => {
            let century = if year > 0 { (year - 1) / 100 + 1 } else { year / 100 - 1 };
            (century, if century < 0 { 3 } else { 2 })
        }
        Field::Quarter => ((month - 1) / 3 + 1, 1),
        Field::Month => (month, 2),
        Field::Week => ((of_day(Unit::Doy)? - 1) / 7 + 1, 2),
        Field::WeekOfMonth => ((day - 1) / 7 + 1, 1),
        Field::IsoWeek => (of_day(Unit::Week)?, 2),
        Field::DayOfYear => (of_day(Unit::Doy)?, 3),
        Field::Day => (day, 2),
        Field::Weekday => (of_day(Unit::Dow)? + 1, 1),
        Field::IsoWeekday => (of_day(Unit::Isodow)?, 1),
        Field::Julian => (days + 2_451_545, 1),
        Field::Hour24 => (hour, 2),
        Field::Hour12 => ((hour + 11) % 12 + 1, 2),
        Field::Minute => (seconds / 60 % 60, 2),
        Field::Second => (seconds % 60, 2),
        Field::SecondOfDay => (seconds, 1),
        Field::Fraction(digits) => {
            let width = usize::try_from(digits).unwrap_or(6);
            let value = fraction / 10_i64.pow(6 - digits);
            write!(out, "{value:0width$}").map_err(|_| Fail::Doubt)?;
            return Ok(());
        }
        Field::MonthName(case) => return name_to(out, cased(name(&MONTHS, month)?, case), bare),
        Field::DayName(case) => {
            return name_to(out, cased(name(&DAYS, of_day(Unit::Isodow)?)?, case), bare);
        }
        Field::MonthShort(case) => {
            return name_to(out, cased(&name(&MONTHS, month)?[..3], case), true);
        }
        Field::DayShort(case) => {
            return name_to(out, cased(&name(&DAYS, of_day(Unit::Isodow)?)?[..3], case), true);
        }
        Field::Noon(case, points) => {
            let name = match (hour >= 12, points) {
                (false, false) => "AM",
                (false, true) => "A.M.",
                (true, false) => "PM",
                (true, true) => "P.M.",
            };
            return name_to(out, cased(name, case), true);
        }
        Field::Era(case, points) => {
            let name = match (year > 0, points) {
                (true, false) => "AD",
                (true, true) => "A.D.",
                (false, false) => "BC",
                (false, true) => "B.C.",
            };
            return name_to(out, cased(name, case), true);
        }
    };
    let width = if bare { 0 } else { usize::try_from(width).unwrap_or(0) };
    write!(out, "{value:0width$}").map_err(|_| Fail::Doubt)
}

/// Appends a name, padded unless it is bare.
fn name_to(out: &mut String, name: String, bare: bool) -> Result<(), Fail> {
    let width = if bare { 0 } else { 9 };
    write!(out, "{name:width$}").map_err(|_| Fail::Doubt)
}
