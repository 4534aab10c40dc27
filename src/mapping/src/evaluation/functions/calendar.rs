//! Making dates and times, and arithmetic with them.

use super::to_char::{is_known, to_char};
use super::{Entry, Run, entry};
use crate::values::datetime::{
    DATE_HIGH, DATE_LOW, END, EPOCH, FIRST, civil_from_days, days_from_civil, days_in_month,
};
use crate::values::interval::{DAY, Interval};
use crate::values::types::Type;
use crate::values::value::{Evaluated, Fail, Value};

use Type::{Bool, Date, Float8, Int4, Text, Time, Timestamp, Timestamptz};

const SPAN: Type = Type::Interval;

pub(crate) const ENTRIES: &[Entry] = &[
    entry("make_date", &[Int4, Int4, Int4], Date, |a| make_date(a)),
    entry("make_time", &[Int4, Int4, Float8], Time, |a| make_time(a)),
    entry("make_timestamp", &[Int4, Int4, Int4, Int4, Int4, Float8], Timestamp, |a| {
        make_timestamp(a)
    }),
    entry("make_timestamptz", &[Int4, Int4, Int4, Int4, Int4, Float8], Timestamptz, |a| {
        make_timestamp(a)
    }),
    entry("make_interval", &[], SPAN, |a| make_interval(a)),
    entry("make_interval", &[Int4], SPAN, |a| make_interval(a)),
    entry("make_interval", &[Int4, Int4], SPAN, |a| make_interval(a)),
    entry("make_interval", &[Int4, Int4, Int4], SPAN, |a| make_interval(a)),
    entry("make_interval", &[Int4, Int4, Int4, Int4], SPAN, |a| make_interval(a)),
    entry("make_interval", &[Int4, Int4, Int4, Int4, Int4], SPAN, |a| make_interval(a)),
    entry("make_interval", &[Int4, Int4, Int4, Int4, Int4, Int4], SPAN, |a| make_interval(a)),
    entry("make_interval", &[Int4, Int4, Int4, Int4, Int4, Int4, Float8], SPAN, |a| {
        make_interval(a)
    }),
    entry("age", &[Timestamp, Timestamp], SPAN, |a| age(a)),
    entry("age", &[Timestamptz, Timestamptz], SPAN, |a| age(a)),
    entry("justify_hours", &[SPAN], SPAN, |a| justify(a, Interval::justify_hours)),
    entry("justify_days", &[SPAN], SPAN, |a| justify(a, Interval::justify_days)),
    entry("justify_interval", &[SPAN], SPAN, |a| justify(a, Interval::justify)),
    entry("isfinite", &[Date], Bool, |a| isfinite(a, DATE_LOW, DATE_HIGH)),
    entry("isfinite", &[Timestamp], Bool, |a| isfinite(a, i64::MIN, i64::MAX)),
    entry("isfinite", &[Timestamptz], Bool, |a| isfinite(a, i64::MIN, i64::MAX)),
    entry("isfinite", &[SPAN], Bool, |a| match a {
        [Value::Interval(value)] if !value.is_extreme() => Ok(Value::Bool(true)),
        _ => Err(Fail::Doubt),
    }),
    entry("to_timestamp", &[Float8], Timestamptz, |a| to_timestamp(a)),
    entry("to_char", &[Timestamp, Text], Text, to_char).stable().literal(1, is_known),
    entry("to_char", &[Timestamptz, Text], Text, to_char).stable().literal(1, is_known),
    entry("timezone", &[SPAN, Timestamp], Timestamptz, |a| shift_zone(a, -1)),
    entry("timezone", &[SPAN, Timestamptz], Timestamp, |a| shift_zone(a, 1)),
];

fn wrong() -> Fail {
    Fail::Wire("a function over dates got other types than it was compiled for")
}

fn range(what: &'static str) -> Fail {
    Fail::error("22008", format!("{what} out of range"))
}

fn infinite(micros: i64) -> bool {
    micros == i64::MIN || micros == i64::MAX
}

fn timestamp<'v>(micros: i128) -> Evaluated<'v> {
    Ok(Value::Int(checked(micros)?))
}

fn checked(micros: i128) -> Result<i64, Fail> {
    i64::try_from(micros)
        .ok()
        .filter(|micros| (FIRST..END).contains(micros))
        .ok_or_else(|| range("timestamp"))
}

fn spans<'v>(value: Option<Interval>) -> Evaluated<'v> {
    value.map(Value::Interval).ok_or_else(|| range("interval"))
}

fn isfinite<'v>(arguments: &[Value<'v>], low: i64, high: i64) -> Evaluated<'v> {
    let [Value::Int(value)] = arguments else { return Err(wrong()) };
    Ok(Value::Bool(*value != low && *value != high))
}

fn justify<'v>(arguments: &[Value<'v>], how: fn(Interval) -> Option<Interval>) -> Evaluated<'v> {
    let [Value::Interval(value)] = arguments else { return Err(wrong()) };
    if value.is_extreme() {
        return Err(Fail::Doubt);
    }
    how(*value).map(Value::Interval).ok_or(Fail::Doubt)
}

/// Days since 2000-01-01 of a day that exists.
fn day(year: i64, month: i64, day: i64) -> Result<i64, Fail> {
    let wrong = || Fail::error("22008", "date field value out of range");
    let exists = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !exists {
        return Err(wrong());
    }
    let days = days_from_civil(year, month, day) - EPOCH;
    // 4714-11-24 BC to 5874897 AD.
    if (-2_451_545..2_145_031_949).contains(&days) { Ok(days) } else { Err(wrong()) }
}

fn make_date<'v>(arguments: &[Value<'v>]) -> Evaluated<'v> {
    let [Value::Int(year), Value::Int(month), Value::Int(number)] = arguments else {
        return Err(wrong());
    };
    // There is no year 0; the one before 1 is -1, and is 0 in computations.
    let year = match *year {
        0 => return Err(Fail::error("22008", "date field value out of range")),
        year if year < 0 => year + 1,
        year => year,
    };
    day(year, *month, *number).map(Value::Int)
}

/// Microseconds of a time of day, 24:00:00 included.
fn clock(hour: i64, minute: i64, second: f64) -> Result<i64, Fail> {
    let wrong = || Fail::error("22008", "time field value out of range");
    let micros = (second * 1e6).round_ties_even();
    if !(0..=24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..=6e7).contains(&micros) {
        return Err(wrong());
    }
    let total = (hour * 60 + minute) * 60_000_000 + micros as i64;
    if total > DAY { Err(wrong()) } else { Ok(total) }
}

fn make_time<'v>(arguments: &[Value<'v>]) -> Evaluated<'v> {
    let [Value::Int(hour), Value::Int(minute), Value::Float(second)] = arguments else {
        return Err(wrong());
    };
    clock(*hour, *minute, *second).map(Value::Int)
}

fn make_timestamp<'v>(arguments: &[Value<'v>]) -> Evaluated<'v> {
    let [
        Value::Int(year),
        Value::Int(month),
        Value::Int(number),
        Value::Int(hour),
        Value::Int(minute),
        Value::Float(second),
    ] = arguments
    else {
        return Err(wrong());
    };
    // Versions differ about years before 1.
    if *year <= 0 {
        return Err(Fail::Doubt);
    }
    let days = day(*year, *month, *number)?;
    let time = clock(*hour, *minute, *second)?;
    timestamp(i128::from(days) * i128::from(DAY) + i128::from(time))
}

/// Years, months, weeks, days, hours, minutes, seconds: any number of them from the left.
fn make_interval<'v>(arguments: &[Value<'v>]) -> Evaluated<'v> {
    let part = |i: usize| match arguments.get(i) {
        Some(Value::Int(value)) => *value,
        _ => 0,
    };
    let seconds = match arguments.get(6) {
        Some(Value::Float(seconds)) => *seconds,
        _ => 0.0,
    };
    if !seconds.is_finite() {
        return Err(range("interval"));
    }
    let micros = (seconds * 1e6).round_ties_even();
    // What overflows, versions treat differently.
    let narrow = |value: i64| i32::try_from(value).map_err(|_| Fail::Doubt);
    if micros.abs() > 1e18 {
        return Err(Fail::Doubt);
    }
    let time = part(4)
        .checked_mul(3_600_000_000)
        .and_then(|hours| hours.checked_add(part(5).checked_mul(60_000_000)?))
        .and_then(|time| time.checked_add(micros as i64))
        .ok_or(Fail::Doubt)?;
    Ok(Value::Interval(Interval {
        micros: time,
        days: narrow(part(2) * 7 + part(3))?,
        months: narrow(part(0) * 12 + part(1))?,
    }))
}

/// `timestamp_age`: the difference in years, months, days and time.
fn age<'v>(arguments: &[Value<'v>]) -> Evaluated<'v> {
    let [Value::Int(a), Value::Int(b)] = arguments else { return Err(wrong()) };
    if infinite(*a) || infinite(*b) {
        return Err(Fail::Doubt);
    }
    let earlier = a < b;
    let parts = |micros: i64| {
        let (year, month, day) = civil_from_days(micros.div_euclid(DAY) + EPOCH);
        (year, month, day, micros.rem_euclid(DAY))
    };
    let (one, two) = (parts(*a), parts(*b));
    let sign = if earlier { -1 } else { 1 };
    let mut years = sign * (one.0 - two.0);
    let mut months = sign * (one.1 - two.1);
    let mut days = sign * (one.2 - two.2);
    let mut time = sign * (one.3 - two.3);
    if time < 0 {
        time += DAY;
        days -= 1;
    }
    // The months that are lent are those of the earlier of the two.
    let lender = if earlier { one } else { two };
    while days < 0 {
        days += days_in_month(lender.0, lender.1);
        months -= 1;
    }
    if months < 0 {
        months += 12;
        years -= 1;
    }
    let narrow = |value: i64| i32::try_from(sign * value).map_err(|_| Fail::Doubt);
    Ok(Value::Interval(Interval {
        micros: sign * time,
        days: narrow(days)?,
        months: narrow(years * 12 + months)?,
    }))
}

fn to_timestamp<'v>(arguments: &[Value<'v>]) -> Evaluated<'v> {
    let [Value::Float(seconds)] = arguments else { return Err(wrong()) };
    if seconds.is_nan() {
        return Err(Fail::error("22008", "timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        return Ok(Value::Int(if *seconds > 0.0 { i64::MAX } else { i64::MIN }));
    }
    let micros = ((seconds - (EPOCH * 86_400) as f64) * 1e6).round_ties_even();
    if micros.abs() >= 9.3e18 {
        return Err(range("timestamp"));
    }
    timestamp(micros as i128)
}

/// AT TIME ZONE with a fixed offset from UTC.
fn shift_zone<'v>(arguments: &[Value<'v>], sign: i64) -> Evaluated<'v> {
    let [Value::Interval(zone), Value::Int(micros)] = arguments else { return Err(wrong()) };
    if zone.is_extreme() {
        return Err(Fail::Doubt);
    }
    if infinite(*micros) {
        return Ok(Value::Int(*micros));
    }
    if zone.months != 0 || zone.days != 0 {
        return Err(Fail::error("22023", "interval time zone must not include months or days"));
    }
    // Whole seconds count, in 32 bits.
    if i32::try_from(zone.micros / 1_000_000).is_err() {
        return Err(Fail::Doubt);
    }
    let offset = i128::from(zone.micros / 1_000_000 * 1_000_000);
    timestamp(i128::from(*micros) + i128::from(sign) * offset)
}

/// `timestamp_pl_interval`: first the months, then the days, then the time.
fn shift<'v>(micros: i64, span: Interval) -> Evaluated<'v> {
    if span.is_extreme() {
        return Err(Fail::Doubt);
    }
    if infinite(micros) {
        return Ok(Value::Int(micros));
    }
    // Rounding to fewer digits can carry a stored value past the end.
    if micros >= END {
        return Err(Fail::Doubt);
    }
    let mut micros = micros;
    if span.months != 0 {
        let (year, month, number) = civil_from_days(micros.div_euclid(DAY) + EPOCH);
        let months = year * 12 + month - 1 + i64::from(span.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        let days = days_from_civil(year, month, number.min(days_in_month(year, month))) - EPOCH;
        let time = micros.rem_euclid(DAY);
        micros = checked(i128::from(days) * i128::from(DAY) + i128::from(time))?;
    }
    micros = checked(i128::from(micros) + i128::from(span.days) * i128::from(DAY))?;
    timestamp(i128::from(micros) + i128::from(span.micros))
}

fn plus<'v>(arguments: &[Value<'v>], subtract: bool) -> Evaluated<'v> {
    let (micros, span) = match arguments {
        [Value::Int(micros), Value::Interval(span)]
        | [Value::Interval(span), Value::Int(micros)] => (*micros, *span),
        _ => return Err(wrong()),
    };
    let span = if subtract { span.negate().ok_or(Fail::Doubt)? } else { span };
    shift(micros, span)
}

/// `date ± interval`: the date at midnight.
fn plus_date<'v>(arguments: &mut [Value<'v>], subtract: bool) -> Evaluated<'v> {
    for argument in arguments.iter_mut() {
        if let Value::Int(days) = argument {
            *argument = Value::Int(midnight(*days)?);
        }
    }
    plus(arguments, subtract)
}

fn midnight(days: i64) -> Result<i64, Fail> {
    match days {
        DATE_LOW => Ok(i64::MIN),
        DATE_HIGH => Ok(i64::MAX),
        days => days
            .checked_mul(DAY)
            .filter(|micros| *micros < END)
            .ok_or_else(|| Fail::error("22008", "date out of range for timestamp")),
    }
}

fn date_and_time<'v>(date: i64, time: i64) -> Evaluated<'v> {
    let start = midnight(date)?;
    if infinite(start) {
        return Ok(Value::Int(start));
    }
    timestamp(i128::from(start) + i128::from(time))
}

fn difference<'v>(arguments: &[Value<'v>]) -> Evaluated<'v> {
    let [Value::Int(a), Value::Int(b)] = arguments else { return Err(wrong()) };
    // Infinite ones give an error, or an infinite interval since version 17.
    if infinite(*a) || infinite(*b) {
        return Err(Fail::Doubt);
    }
    let micros = a.checked_sub(*b).ok_or(Fail::Doubt)?;
    let span = Interval { micros, ..Interval::default() };
    span.justify_hours().map(Value::Interval).ok_or(Fail::Doubt)
}

fn two<'v>(
    arguments: &[Value<'v>],
    how: fn(Interval, Interval) -> Option<Interval>,
) -> Evaluated<'v> {
    let [Value::Interval(a), Value::Interval(b)] = arguments else { return Err(wrong()) };
    if a.is_extreme() || b.is_extreme() {
        return Err(Fail::Doubt);
    }
    spans(how(*a, *b))
}

fn scale<'v>(arguments: &[Value<'v>], divide: bool) -> Evaluated<'v> {
    let (span, factor) = match arguments {
        [Value::Interval(span), Value::Float(factor)]
        | [Value::Float(factor), Value::Interval(span)] => (*span, *factor),
        _ => return Err(wrong()),
    };
    if divide && factor == 0.0 {
        return Err(Fail::division());
    }
    span.scale(factor, divide).map(Value::Interval).ok_or(Fail::Doubt)
}

fn shift_time<'v>(arguments: &[Value<'v>], sign: i64) -> Evaluated<'v> {
    let (time, span) = match arguments {
        [Value::Int(time), Value::Interval(span)] | [Value::Interval(span), Value::Int(time)] => {
            (*time, *span)
        }
        _ => return Err(wrong()),
    };
    if span.is_extreme() {
        return Err(Fail::Doubt);
    }
    // The same as adding it all: a day more or less gives the same time.
    Ok(Value::Int((time + sign * (span.micros % DAY)).rem_euclid(DAY)))
}

/// These additions are SQL functions in PostgreSQL, `SELECT $2 + $1`: the right operand is evaluated,
/// and fails, before the left one.
pub(crate) fn commutes(operator: &str, left: Type, right: Type) -> bool {
    operator == "+" && (left == SPAN && right != SPAN || (left, right) == (Time, Date))
}

/// An operator over dates and times: what its operands are converted to, its function and result.
pub(crate) fn operator(operator: &str, left: Type, right: Type) -> Option<(Type, Type, Run, Type)> {
    let stamp = |kind| matches!(kind, Timestamp | Timestamptz);
    let number =
        |kind: Type| kind.is_integer() || matches!(kind, Type::Numeric | Type::Float4 | Float8);
    let found: (Type, Type, Run, Type) = match (operator, left, right) {
        ("+", kind, SPAN) if stamp(kind) => (left, right, |a| plus(a, false), kind),
        ("+", SPAN, kind) if stamp(kind) => (left, right, |a| plus(a, false), kind),
        ("-", kind, SPAN) if stamp(kind) => (left, right, |a| plus(a, true), kind),
        ("+", Date, SPAN) | ("+", SPAN, Date) => (left, right, |a| plus_date(a, false), Timestamp),
        ("-", Date, SPAN) => (left, right, |a| plus_date(a, true), Timestamp),
        ("+", Date, Time) => (left, right, |a| date_plus_time(a), Timestamp),
        // The operands come in the other order, see `commutes`.
        ("+", Time, Date) => (left, right, |a| date_plus_time(a), Timestamp),
        ("+", Time, SPAN) | ("+", SPAN, Time) => (left, right, |a| shift_time(a, 1), Time),
        ("-", Time, SPAN) => (left, right, |a| shift_time(a, -1), Time),
        ("-", Time, Time) => (left, right, |a| time_difference(a), SPAN),
        ("-", Timestamp, Timestamp | Date) | ("-", Date, Timestamp) => {
            (Timestamp, Timestamp, |a| difference(a), SPAN)
        }
        ("-", Timestamptz, Timestamptz | Timestamp | Date)
        | ("-", Timestamp | Date, Timestamptz) => {
            (Timestamptz, Timestamptz, |a| difference(a), SPAN)
        }
        ("+", SPAN, SPAN) => (left, right, |a| two(a, Interval::add), SPAN),
        ("-", SPAN, SPAN) => (left, right, |a| two(a, Interval::subtract), SPAN),
        ("*", SPAN, kind) if number(kind) => (left, Float8, |a| scale(a, false), SPAN),
        ("*", kind, SPAN) if number(kind) => (Float8, right, |a| scale(a, false), SPAN),
        ("/", SPAN, kind) if number(kind) => (left, Float8, |a| scale(a, true), SPAN),
        _ => return None,
    };
    Some(found)
}

fn date_plus_time<'v>(arguments: &[Value<'v>]) -> Evaluated<'v> {
    let [Value::Int(date), Value::Int(time)] = arguments else { return Err(wrong()) };
    date_and_time(*date, *time)
}

fn time_difference<'v>(arguments: &[Value<'v>]) -> Evaluated<'v> {
    let [Value::Int(a), Value::Int(b)] = arguments else { return Err(wrong()) };
    Ok(Value::Interval(Interval { micros: a - b, ..Interval::default() }))
}

/// The sign before an interval.
pub(crate) fn negated<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Interval(value)] = arguments else { return Err(wrong()) };
    if value.is_extreme() {
        return Err(Fail::Doubt);
    }
    spans(value.negate())
}
