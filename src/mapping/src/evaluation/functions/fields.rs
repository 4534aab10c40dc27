//! date_trunc, date_part and extract.

use super::{Entry, Run};
use crate::values::datetime::{
    DATE_HIGH, DATE_LOW, END, EPOCH, FIRST, civil_from_days, days_from_civil,
};
use crate::values::interval::{DAY, Interval};
use crate::values::numeric::Numeric;
use crate::values::types::Type;
use crate::values::value::{Evaluated, Fail, Value};

use Type::{Date, Float8, Text, Time, Timestamp, Timestamptz};

/// All of them take the field by its name.
const fn entry(name: &'static str, arguments: &'static [Type], result: Type, run: Run) -> Entry {
    super::entry(name, arguments, result, run).literal(0, is_known)
}

pub(crate) const ENTRIES: &[Entry] = &[
    entry("date_trunc", &[Text, Timestamp], Timestamp, truncate),
    entry("date_trunc", &[Text, Timestamptz], Timestamptz, truncate),
    entry("date_trunc", &[Text, Type::Interval], Type::Interval, truncate_interval),
    entry("extract", &[Text, Date], Type::Numeric, date_field),
    entry("extract", &[Text, Time], Type::Numeric, |a| time_field(a, true)),
    entry("extract", &[Text, Timestamp], Type::Numeric, |a| timestamp_field(a, Timestamp, true)),
    entry("extract", &[Text, Timestamptz], Type::Numeric, |a| {
        timestamp_field(a, Timestamptz, true)
    }),
    entry("extract", &[Text, Type::Interval], Type::Numeric, |a| interval_field(a, true)),
    // An SQL function in PostgreSQL: the date becomes a timestamp, or fails to, also for a unit of NULL.
    entry("date_part", &[Text, Date], Float8, date_part_of_date).inlined(),
    entry("date_part", &[Text, Time], Float8, |a| time_field(a, false)),
    entry("date_part", &[Text, Timestamp], Float8, |a| timestamp_field(a, Timestamp, false)),
    entry("date_part", &[Text, Timestamptz], Float8, |a| timestamp_field(a, Timestamptz, false)),
    entry("date_part", &[Text, Type::Interval], Float8, |a| interval_field(a, false)),
];

fn date_part_of_date<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    if let [_, Value::Int(day)] = arguments {
        *day = match *day {
            DATE_LOW => i64::MIN,
            DATE_HIGH => i64::MAX,
            day => day.checked_mul(DAY).filter(|m| in_range(*m)).ok_or_else(range)?,
        };
    }
    if arguments.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    timestamp_field(arguments, Timestamp, false)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Epoch,
    Dow,
    Isodow,
    Doy,
    Isoyear,
    Julian,
    Zone,
}

/// The units that are known here; PostgreSQL takes further spellings.
fn unit(name: &str) -> Option<Unit> {
    Some(match name.to_ascii_lowercase().as_str() {
        "microseconds" | "microsecond" => Unit::Microseconds,
        "milliseconds" | "millisecond" => Unit::Milliseconds,
        "second" | "seconds" | "sec" => Unit::Second,
        "minute" | "minutes" | "min" => Unit::Minute,
        "hour" | "hours" => Unit::Hour,
        "day" | "days" => Unit::Day,
        "week" | "weeks" => Unit::Week,
        "month" | "months" | "mon" => Unit::Month,
        "quarter" => Unit::Quarter,
        "year" | "years" => Unit::Year,
        "decade" | "decades" => Unit::Decade,
        "century" | "centuries" => Unit::Century,
        "millennium" | "millennia" => Unit::Millennium,
        "epoch" => Unit::Epoch,
        "dow" => Unit::Dow,
        "isodow" => Unit::Isodow,
        "doy" => Unit::Doy,
        "isoyear" => Unit::Isoyear,
        "julian" => Unit::Julian,
        "timezone" | "timezone_hour" | "timezone_minute" => Unit::Zone,
        _ => return None,
    })
}

/// True when a unit, given as a constant, can be evaluated here.
pub(crate) fn is_known(name: &str) -> bool {
    unit(name).is_some()
}

fn wrong() -> Fail {
    Fail::Wire("a function over dates got other types than it was compiled for")
}

fn range() -> Fail {
    Fail::error("22008", "timestamp out of range")
}

fn in_range(micros: i64) -> bool {
    (FIRST..END).contains(&micros)
}

fn arguments<'v>(arguments: &mut [Value<'v>]) -> Result<(Unit, Value<'v>), Fail> {
    let [Value::Text(name), value] = arguments else { return Err(wrong()) };
    let unit = unit(name).ok_or(Fail::Doubt)?;
    Ok((unit, std::mem::replace(value, Value::Null)))
}

/// Monday is 0.
fn weekday(days: i64) -> i64 {
    // 2000-01-01 was a Saturday.
    (days + 5).rem_euclid(7)
}

/// Year and number of the ISO week of a day since 2000-01-01.
fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - weekday(days) + 3;
    let (year, _, _) = civil_from_days(thursday + EPOCH);
    let first = days_from_civil(year, 1, 1) - EPOCH;
    (year, (thursday - first) / 7 + 1)
}

fn truncate<'v>(list: &mut [Value<'v>]) -> Evaluated<'v> {
    let (unit, Value::Int(micros)) = arguments(list)? else { return Err(wrong()) };
    if micros == i64::MIN || micros == i64::MAX {
        return Ok(Value::Int(micros));
    }
    let floor = |size: i64| Ok(micros - micros.rem_euclid(size));
    let days = micros.div_euclid(DAY);
    let (year, month, _) = civil_from_days(days + EPOCH);
    // Years are counted as in C, with division towards zero; year 0 is 1 BC.
    let start = |year: i64, month: i64| Ok((days_from_civil(year, month, 1) - EPOCH) * DAY);
    let block = |size: i64| {
        if year > 0 {
            (year + size - 1) / size * size - (size - 1)
        } else {
            -((size - 1 - (year - 1)) / size) * size + 1
        }
    };
    let found: Result<i64, Fail> = match unit {
        Unit::Microseconds => Ok(micros),
        Unit::Milliseconds => floor(1000),
        Unit::Second => floor(1_000_000),
        Unit::Minute => floor(60_000_000),
        Unit::Hour => floor(3_600_000_000),
        Unit::Day => floor(DAY),
        Unit::Week => Ok((days - weekday(days)) * DAY),
        Unit::Month => start(year, month),
        Unit::Quarter => start(year, (month - 1) / 3 * 3 + 1),
        Unit::Year => start(year, 1),
        Unit::Decade => start(decade(year) * 10, 1),
        Unit::Century => start(block(100), 1),
        Unit::Millennium => start(block(1000), 1),
        _ => Err(Fail::Doubt),
    };
    found.and_then(|micros| if in_range(micros) { Ok(Value::Int(micros)) } else { Err(range()) })
}

fn decade(year: i64) -> i64 {
    if year >= 0 { year / 10 } else { -((8 - (year - 1)) / 10) }
}

fn truncate_interval<'v>(list: &mut [Value<'v>]) -> Evaluated<'v> {
    let (unit, Value::Interval(value)) = arguments(list)? else { return Err(wrong()) };
    if value.is_extreme() {
        return Err(Fail::Doubt);
    }
    let months = |size: i32| Interval { months: value.months / size * size, days: 0, micros: 0 };
    let time = |size: i64| Interval { micros: value.micros / size * size, ..value };
    Ok(Value::Interval(match unit {
        Unit::Microseconds => value,
        Unit::Milliseconds => time(1000),
        Unit::Second => time(1_000_000),
        Unit::Minute => time(60_000_000),
        Unit::Hour => time(3_600_000_000),
        Unit::Day => Interval { micros: 0, ..value },
        Unit::Month => months(1),
        // Of the months within the year.
        Unit::Quarter => months(3),
        Unit::Year => months(12),
        Unit::Decade => months(120),
        Unit::Century => months(1200),
        Unit::Millennium => months(12_000),
        _ => return Err(Fail::Doubt),
    }))
}

/// A count of `10^-decimals` as numeric or double precision.
fn scaled<'v>(count: i128, decimals: u32, exact: bool) -> Evaluated<'v> {
    if !exact {
        // As PostgreSQL does it: one division of a 64-bit integer.
        let count = i64::try_from(count).map_err(|_| Fail::Doubt)?;
        return Ok(Value::Float(count as f64 / 10_f64.powi(decimals.cast_signed())));
    }
    let text = if decimals == 0 {
        count.to_string()
    } else {
        let unit = 10_u128.pow(decimals);
        let size = count.unsigned_abs();
        let sign = if count < 0 { "-" } else { "" };
        let width = usize::try_from(decimals).unwrap_or(0);
        format!("{sign}{}.{:0width$}", size / unit, size % unit)
    };
    Numeric::parse(&text).map(Value::Numeric).map_err(|_| Fail::Doubt)
}

fn whole<'v>(value: i64, exact: bool) -> Evaluated<'v> {
    scaled(i128::from(value), 0, exact)
}

/// The fields of an infinite time: those that grow with time are infinite, the others NULL.
fn infinite<'v>(unit: Unit, high: bool, exact: bool) -> Evaluated<'v> {
    let grows = matches!(
        unit,
        Unit::Year
            | Unit::Decade
            | Unit::Century
            | Unit::Millennium
            | Unit::Julian
            | Unit::Isoyear
            | Unit::Epoch
    );
    if !grows {
        return Ok(Value::Null);
    }
    let name = if high { "Infinity" } else { "-Infinity" };
    if exact {
        return Numeric::parse(name).map(Value::Numeric).map_err(|_| Fail::Doubt);
    }
    Ok(Value::Float(if high { f64::INFINITY } else { f64::NEG_INFINITY }))
}

/// Fields of a day since 2000-01-01.
pub(super) fn day_field(unit: Unit, days: i64) -> Option<i64> {
    let (year, month, day) = civil_from_days(days + EPOCH);
    let block = |size: i64| {
        if year > 0 { (year + size - 1) / size } else { -((size - 1 - (year - 1)) / size) }
    };
    Some(match unit {
        Unit::Day => day,
        Unit::Month => month,
        Unit::Quarter => (month - 1) / 3 + 1,
        Unit::Week => iso_week(days).1,
        Unit::Year => year - i64::from(year <= 0),
        Unit::Decade => decade(year),
        Unit::Century => block(100),
        Unit::Millennium => block(1000),
        Unit::Isoyear => {
            let (year, _) = iso_week(days);
            year - i64::from(year <= 0)
        }
        Unit::Dow => (weekday(days) + 1) % 7,
        Unit::Isodow => weekday(days) + 1,
        Unit::Doy => days + EPOCH - days_from_civil(year, 1, 1) + 1,
        _ => return None,
    })
}

fn date_field<'v>(list: &mut [Value<'v>]) -> Evaluated<'v> {
    let (unit, Value::Int(days)) = arguments(list)? else { return Err(wrong()) };
    let clock = matches!(
        unit,
        Unit::Microseconds
            | Unit::Milliseconds
            | Unit::Second
            | Unit::Minute
            | Unit::Hour
            | Unit::Zone
    );
    if clock {
        return Err(Fail::Doubt);
    }
    if days == DATE_LOW || days == DATE_HIGH {
        return infinite(unit, days == DATE_HIGH, true);
    }
    match unit {
        Unit::Epoch => whole((days + EPOCH) * 86_400, true),
        Unit::Julian => whole(days + 2_451_545, true),
        _ => whole(day_field(unit, days).ok_or(Fail::Doubt)?, true),
    }
}

/// Fields of a time of day, or of the time of an interval (then with its sign).
fn clock_field<'v>(unit: Unit, micros: i64, exact: bool) -> Option<Evaluated<'v>> {
    let seconds = micros % 60_000_000;
    Some(match unit {
        Unit::Microseconds => whole(seconds, exact),
        Unit::Milliseconds if exact => scaled(i128::from(seconds), 3, true),
        Unit::Milliseconds => {
            let (whole, rest) = (seconds / 1_000_000, seconds % 1_000_000);
            Ok(Value::Float(whole as f64 * 1000.0 + rest as f64 / 1000.0))
        }
        Unit::Second if exact => scaled(i128::from(seconds), 6, true),
        Unit::Second => {
            let (whole, rest) = (seconds / 1_000_000, seconds % 1_000_000);
            Ok(Value::Float(whole as f64 + rest as f64 / 1_000_000.0))
        }
        Unit::Minute => whole(micros / 60_000_000 % 60, exact),
        Unit::Hour => whole(micros / 3_600_000_000, exact),
        _ => return None,
    })
}

fn time_field<'v>(list: &mut [Value<'v>], exact: bool) -> Evaluated<'v> {
    let (unit, Value::Int(micros)) = arguments(list)? else { return Err(wrong()) };
    if unit == Unit::Epoch {
        return scaled(i128::from(micros), 6, exact);
    }
    clock_field(unit, micros, exact).unwrap_or(Err(Fail::Doubt))
}

fn timestamp_field<'v>(list: &mut [Value<'v>], kind: Type, exact: bool) -> Evaluated<'v> {
    let (unit, Value::Int(micros)) = arguments(list)? else { return Err(wrong()) };
    if unit == Unit::Zone && kind == Timestamp {
        return Err(Fail::Doubt);
    }
    if micros == i64::MIN || micros == i64::MAX {
        return infinite(unit, micros == i64::MAX, exact);
    }
    let (days, time) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    match unit {
        // In UTC.
        Unit::Zone => whole(0, exact),
        Unit::Epoch => {
            // Beyond 64 bits PostgreSQL computes it in another way, with another scale.
            let micros = micros.checked_add(EPOCH * DAY).ok_or(Fail::Doubt)?;
            scaled(i128::from(micros), 6, exact)
        }
        Unit::Julian if exact => {
            let day = Numeric::from_i64(days + 2_451_545);
            let part = Numeric::from_i64(time).divide(&Numeric::from_i64(DAY));
            let sum = part.and_then(|part| day.add(&part)).map_err(|_| Fail::Doubt)?;
            Ok(Value::Numeric(sum))
        }
        _ => match clock_field(unit, time, exact) {
            Some(found) => found,
            None => whole(day_field(unit, days).ok_or(Fail::Doubt)?, exact),
        },
    }
}

fn interval_field<'v>(list: &mut [Value<'v>], exact: bool) -> Evaluated<'v> {
    let (unit, Value::Interval(value)) = arguments(list)? else { return Err(wrong()) };
    if value.is_extreme() {
        return Err(Fail::Doubt);
    }
    let (years, months) = (i64::from(value.months / 12), i64::from(value.months % 12));
    let days = i64::from(value.days);
    match unit {
        Unit::Day => whole(days, exact),
        Unit::Month => whole(months, exact),
        // That of negative ones changed in version 18.
        Unit::Quarter if value.months >= 0 => whole(months / 3 + 1, exact),
        Unit::Year => whole(years, exact),
        Unit::Decade => whole(years / 10, exact),
        Unit::Century => whole(years / 100, exact),
        Unit::Millennium => whole(years / 1000, exact),
        Unit::Epoch => {
            // A year counts 365.25 days, a month 30.
            let seconds = (1461 * years + 120 * months + 4 * days) * 21_600;
            if exact {
                return scaled(i128::from(seconds) * 1_000_000 + i128::from(value.micros), 6, true);
            }
            let parts = [31_557_600 * years, 2_592_000 * months, 86_400 * days];
            let time = value.micros as f64 / 1_000_000.0;
            Ok(Value::Float(parts.iter().fold(time, |sum, part| sum + *part as f64)))
        }
        _ => clock_field(unit, value.micros, exact).unwrap_or(Err(Fail::Doubt)),
    }
}
