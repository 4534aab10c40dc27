//! Casts.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::encoding::bytea_in;
use crate::values::datetime;
use crate::values::interval::{DAY, Interval};
use crate::values::jsonb::{self, Kind};
use crate::values::numeric::{Malformed, Numeric};
use crate::values::types::{Settings, Type};
use crate::values::value::{Evaluated, Fail, Value};

/// Version from which the cast of a jsonb null to a number or boolean gives NULL.
const JSON_NULL_IS_NULL: u32 = 180_000;

/// A conversion of values that are not NULL.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cast {
    Between {
        from: Type,
        to: Type,
        version: u32,
    },
    /// The length or precision of a type, as an explicit cast applies it.
    Modifier {
        kind: Type,
        modifier: i32,
    },
}

/// True when PostgreSQL converts by itself, as in an argument or an operand.
pub(crate) fn implicit(from: Type, to: Type) -> bool {
    use Type::{
        Bpchar, Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Text, Time, Timestamp,
        Timestamptz, Varchar,
    };
    from == to
        || matches!(
            (from, to),
            (Int2, Int4 | Int8 | Numeric | Float4 | Float8)
                | (Int4, Int8 | Numeric | Float4 | Float8)
                | (Int8, Numeric | Float4 | Float8)
                | (Numeric, Float4 | Float8)
                | (Float4, Float8)
                | (Varchar, Text | Bpchar)
                | (Text, Varchar | Bpchar)
                | (Bpchar, Text | Varchar)
                | (Date, Timestamp | Timestamptz)
                | (Timestamp, Timestamptz)
                | (Time, Interval)
        )
}

fn is_string(kind: Type) -> bool {
    matches!(kind, Type::Text | Type::Varchar | Type::Bpchar)
}

fn is_number(kind: Type) -> bool {
    kind.is_integer() || matches!(kind, Type::Numeric | Type::Float4 | Type::Float8)
}

impl Cast {
    /// The cast, `None` when it does not exist, or what it gives is not certain with these settings.
    pub(crate) fn between(from: Type, to: Type, settings: &Settings) -> Option<Cast> {
        use Type::{
            Bool, Date, Enum, Int4, Interval, Json, Jsonb, Time, Timestamp, Timestamptz, Uuid,
        };
        let dated = |kind| matches!(kind, Date | Time | Timestamp | Timestamptz | Interval);
        let known = match (from, to) {
            _ if from == to => true,
            _ if is_string(from) && is_string(to) => true,
            (Enum(_) | Json | Jsonb | Bool | Uuid, _) if is_string(to) => to != Type::Bpchar,
            _ if is_number(from) && is_string(to) => to != Type::Bpchar,
            _ if dated(from) && is_string(to) => settings.utc_iso && to != Type::Bpchar,
            _ if is_number(from) && is_number(to) => true,
            (Int4, Bool) | (Bool, Int4) | (Json, Jsonb) | (Jsonb, Json) => true,
            (Jsonb, Bool) => true,
            (Jsonb, _) if is_number(to) => true,
            (Date, Timestamp) | (Timestamp, Date) => true,
            (Timestamp | Interval, Time) | (Time, Interval) => true,
            (Timestamptz, Time) => settings.utc_iso,
            (Date | Timestamp, Timestamptz) | (Timestamptz, Date | Timestamp) => settings.utc_iso,
            (_, Bool | Uuid | Json | Jsonb) if is_string(from) => true,
            (Type::Text | Type::Varchar, Type::Bytea) => true,
            _ if is_string(from) && dated(to) => settings.utc_iso,
            _ => is_string(from) && is_number(to),
        };
        known.then_some(Cast::Between { from, to, version: settings.server_version })
    }

    /// The cast to a type's own length or precision.
    pub(crate) fn modifier(kind: Type, modifier: i32) -> Cast {
        Cast::Modifier { kind, modifier }
    }

    /// The value stays as it is.
    pub(crate) fn is_relabel(self) -> bool {
        match self {
            Cast::Modifier { .. } => false,
            Cast::Between { from, to, .. } => {
                let wider = |kind| match kind {
                    Type::Int2 => 1,
                    Type::Int4 => 2,
                    Type::Int8 => 3,
                    _ => 0,
                };
                from == to
                    || (from.is_integer() && to.is_integer() && wider(from) < wider(to))
                    || (from == Type::Float4 && to == Type::Float8)
                    || (is_string(to) && matches!(from, Type::Text | Type::Varchar))
                    || (is_string(to) && matches!(from, Type::Enum(_) | Type::Json | Type::Jsonb))
                    || (from == Type::Jsonb && to == Type::Json)
            }
        }
    }

    /// The value converted.
    pub(crate) fn apply(self, value: Value<'_>) -> Evaluated<'_> {
        match self {
            Cast::Modifier { kind, modifier } => apply_modifier(kind, modifier, value),
            Cast::Between { to, .. } if self.is_relabel() && !matches!(to, Type::Jsonb) => {
                Ok(value)
            }
            Cast::Between { from, to, version } => match value {
                Value::Text(text) if from == Type::Jsonb => from_json(&text, to, version),
                Value::Text(text) => from_text(text, from, to),
                Value::Int(number) => from_int(number, from, to),
                Value::Float(number) => from_float(number, from, to),
                Value::Numeric(number) => from_numeric(number, to),
                Value::Bool(truth) => Ok(match to {
                    Type::Int4 => Value::Int(i64::from(truth)),
                    _ => Value::text(if truth { "true" } else { "false" }),
                }),
                Value::Interval(value) => Ok(match to {
                    _ if value.is_extreme() => return Err(Fail::Doubt),
                    Type::Time => Value::Int(value.micros.rem_euclid(DAY)),
                    _ => Value::text(value.text()),
                }),
                Value::Bytes(bytes) => Ok(Value::text(uuid_text(&bytes))),
                Value::Null => Ok(Value::Null),
            },
        }
    }
}

fn apply_modifier(kind: Type, modifier: i32, value: Value<'_>) -> Evaluated<'_> {
    match value {
        Value::Numeric(number) => {
            let bits = modifier - 4;
            let (precision, scale) = (bits >> 16 & 0xffff, bits & 0x7ff);
            let fitted = number.fit(precision, scale);
            fitted.map(Value::Numeric).ok_or_else(|| Fail::error("22003", "numeric field overflow"))
        }
        Value::Text(text) => {
            let length = usize::try_from(modifier - 4).unwrap_or(0);
            Ok(Value::Text(cut_chars(text, length, kind == Type::Bpchar)))
        }
        Value::Int(micros) if matches!(kind, Type::Timestamp | Type::Timestamptz) => {
            Ok(Value::Int(datetime::round(micros, modifier).ok_or(Fail::Doubt)?))
        }
        Value::Int(micros) if kind == Type::Time => {
            Ok(Value::Int(datetime::round(micros, modifier).ok_or(Fail::Doubt)?))
        }
        _ => Err(Fail::Doubt),
    }
}

/// The first `length` characters, filled up with blanks when `pad` is set.
fn cut_chars(text: Cow<'_, str>, length: usize, pad: bool) -> Cow<'_, str> {
    match text.char_indices().nth(length) {
        Some((end, _)) => match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
            Cow::Owned(mut text) => {
                text.truncate(end);
                Cow::Owned(text)
            }
        },
        None if pad => {
            let missing = length - text.chars().count();
            let mut text = text.into_owned();
            text.extend(std::iter::repeat_n(' ', missing));
            Cow::Owned(text)
        }
        None => text,
    }
}

/// An integer in the range of its type.
pub(crate) fn integer<'v>(number: i64, kind: Type) -> Evaluated<'v> {
    let (fits, name) = match kind {
        Type::Int2 => (i16::try_from(number).is_ok(), "smallint"),
        Type::Int4 => (i32::try_from(number).is_ok(), "integer"),
        _ => (true, "bigint"),
    };
    if fits { Ok(Value::Int(number)) } else { Err(Fail::range(name)) }
}

fn integer_name(kind: Type) -> &'static str {
    match kind {
        Type::Int2 => "smallint",
        Type::Int4 => "integer",
        _ => "bigint",
    }
}

fn from_int<'v>(number: i64, from: Type, to: Type) -> Evaluated<'v> {
    match (from, to) {
        (Type::Time, Type::Interval) => {
            Ok(Value::Interval(Interval { micros: number, ..Interval::default() }))
        }
        (Type::Date | Type::Time | Type::Timestamp | Type::Timestamptz, _) => {
            datetime::convert(number, from, to).ok_or(Fail::Doubt)
        }
        (_, Type::Numeric) => Ok(Value::Numeric(Numeric::from_i64(number))),
        (_, Type::Float8) => Ok(Value::Float(number as f64)),
        (_, Type::Float4) => Ok(Value::Float(f64::from(number as f32))),
        (_, Type::Bool) => Ok(Value::Bool(number != 0)),
        (_, Type::Int2 | Type::Int4 | Type::Int8) => integer(number, to),
        _ => Ok(Value::text(number.to_string())),
    }
}

fn from_float<'v>(number: f64, from: Type, to: Type) -> Evaluated<'v> {
    match to {
        Type::Int2 | Type::Int4 | Type::Int8 => {
            let whole = number.round_ties_even();
            // The bounds are exact in binary; NaN is outside.
            let (low, high) = match to {
                Type::Int2 => (f64::from(i16::MIN), f64::from(i16::MAX) + 1.0),
                Type::Int4 => (f64::from(i32::MIN), f64::from(i32::MAX) + 1.0),
                _ => (i64::MIN as f64, -(i64::MIN as f64)),
            };
            if whole >= low && whole < high {
                Ok(Value::Int(whole as i64))
            } else {
                Err(Fail::range(integer_name(to)))
            }
        }
        Type::Numeric => {
            let digits = if from == Type::Float4 { 6 } else { 15 };
            Numeric::from_f64(number, digits).map(Value::Numeric).ok_or(Fail::Doubt)
        }
        Type::Float8 => Ok(Value::Float(number)),
        Type::Float4 => {
            let narrow = number as f32;
            if narrow.is_infinite() && number.is_finite() {
                return Err(Fail::error("22003", "value out of range: overflow"));
            }
            if narrow == 0.0 && number != 0.0 {
                return Err(Fail::error("22003", "value out of range: underflow"));
            }
            Ok(Value::Float(f64::from(narrow)))
        }
        _ => float_text(number, from).map(Value::text).ok_or(Fail::Doubt),
    }
}

/// The shortest decimal that reads back as the same number. `None` where PostgreSQL's algorithm,
/// which does not count the bounds of the interval in, might choose another.
fn float_text(number: f64, kind: Type) -> Option<String> {
    if number.is_nan() {
        return Some("NaN".into());
    }
    if number.is_infinite() {
        return Some(if number > 0.0 { "Infinity" } else { "-Infinity" }.into());
    }
    if number == 0.0 {
        return Some(if number.is_sign_negative() { "-0" } else { "0" }.into());
    }
    let single = kind == Type::Float4;
    let text = if single { format!("{:e}", number as f32) } else { format!("{number:e}") };
    let (mantissa, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    // With fewer digits, and below 2^53 (2^24), no shortest decimal lies on a bound.
    let (digits_max, limit, fixed_max) =
        if single { (6, 16_777_216.0, 6) } else { (15, 9_007_199_254_740_992.0, 15) };
    if digits.len() > digits_max || number.abs() >= limit {
        return None;
    }
    let sign = if number < 0.0 { "-" } else { "" };
    let count = i32::try_from(digits.len()).ok()?;
    Some(if !(-4..fixed_max).contains(&exponent) {
        let tail = if digits.len() > 1 { format!(".{}", &digits[1..]) } else { String::new() };
        let direction = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{}{tail}e{direction}{:02}", &digits[..1], exponent.abs())
    } else if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).ok()?);
        format!("{sign}0.{zeros}{digits}")
    } else if count <= exponent + 1 {
        let zeros = "0".repeat(usize::try_from(exponent + 1 - count).ok()?);
        format!("{sign}{digits}{zeros}")
    } else {
        let point = usize::try_from(exponent + 1).ok()?;
        format!("{sign}{}.{}", &digits[..point], &digits[point..])
    })
}

fn from_numeric<'v>(number: Numeric, to: Type) -> Evaluated<'v> {
    match to {
        Type::Int2 | Type::Int4 | Type::Int8 => {
            if !number.is_finite() {
                let what = if number.is_nan() { "NaN" } else { "infinity" };
                let message = format!("cannot convert {what} to {}", integer_name(to));
                return Err(Fail::error("0A000", message));
            }
            let whole = number.to_i64().ok_or_else(|| Fail::range(integer_name(to)))?;
            integer(whole, to)
        }
        Type::Float8 => {
            let value = number.to_f64();
            if number.is_finite()
                && (value.is_infinite()
                    || (value == 0.0 && number.compare(&Numeric::zero()).is_ne()))
            {
                return Err(Fail::range("double precision"));
            }
            Ok(Value::Float(value))
        }
        Type::Float4 => {
            let value: f32 = match number.is_finite() {
                true => number.to_string().parse().map_err(|_| Fail::Doubt)?,
                false => number.to_f64() as f32,
            };
            if number.is_finite()
                && (value.is_infinite()
                    || (value == 0.0 && number.compare(&Numeric::zero()).is_ne()))
            {
                return Err(Fail::range("real"));
            }
            Ok(Value::Float(f64::from(value)))
        }
        _ => Ok(Value::text(number.to_string())),
    }
}

/// From jsonb, for scalars of the right kind.
fn from_json<'v>(text: &str, to: Type, version: u32) -> Evaluated<'v> {
    let found = jsonb::kind(text);
    if found == Kind::Null && version >= JSON_NULL_IS_NULL {
        return Ok(Value::Null);
    }
    let wanted = if to == Type::Bool { Kind::Bool } else { Kind::Number };
    if found != wanted {
        let found = match found {
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::String => "string",
            Kind::Number => "numeric",
            Kind::Bool => "boolean",
            Kind::Null => "null",
        };
        return Err(Fail::error("22023", format!("cannot cast jsonb {found} to another type")));
    }
    if to == Type::Bool {
        return Ok(Value::Bool(text == "true"));
    }
    let number = Numeric::parse(text).map_err(|_| Fail::Doubt)?;
    if to == Type::Numeric { Ok(Value::Numeric(number)) } else { from_numeric(number, to) }
}

fn from_text<'v>(text: Cow<'v, str>, from: Type, to: Type) -> Evaluated<'v> {
    match to {
        Type::Int2 | Type::Int4 | Type::Int8 => parse_integer(&text, to),
        Type::Numeric => match Numeric::parse(&text) {
            Ok(number) => Ok(Value::Numeric(number)),
            Err(Malformed::Syntax) => Err(Fail::syntax("numeric")),
            Err(Malformed::Range) => Err(Fail::error("22003", "value overflows numeric format")),
            Err(Malformed::ByVersion) => Err(Fail::Doubt),
        },
        Type::Float4 | Type::Float8 => parse_float(&text, to),
        Type::Bool => parse_bool(&text).map(Value::Bool).ok_or_else(|| Fail::syntax("boolean")),
        Type::Uuid => parse_uuid(&text)
            .map(|bytes| Value::Bytes(Cow::Owned(bytes)))
            .ok_or_else(|| Fail::syntax("uuid")),
        Type::Bytea => bytea_in(&text).map(|bytes| Value::Bytes(Cow::Owned(bytes))),
        Type::Jsonb => jsonb::canonical(&text).map(Value::text),
        Type::Json => {
            jsonb::validate(&text)?;
            Ok(Value::Text(text))
        }
        Type::Interval => Interval::parse(&text).map(Value::Interval).ok_or(Fail::Doubt),
        Type::Date | Type::Time | Type::Timestamp | Type::Timestamptz => {
            // What is not plainly ISO, PostgreSQL's date parser has to judge.
            datetime::parse(&text, to).map(Value::Int).ok_or(Fail::Doubt)
        }
        Type::Text | Type::Varchar if from == Type::Bpchar => Ok(Value::Text(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches(' ')),
            Cow::Owned(text) => Cow::Owned(text.trim_end_matches(' ').to_owned()),
        })),
        _ => Ok(Value::Text(text)),
    }
}

fn parse_integer<'v>(text: &str, kind: Type) -> Evaluated<'v> {
    let name = integer_name(kind);
    let trimmed = crate::values::numeric::trim(text);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        // 0x1F and 1_000 are numbers since version 16.
        let odd = digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && digits.starts_with(|c: char| c.is_ascii_digit());
        return Err(if odd { Fail::Doubt } else { after_digits(digits, kind) });
    }
    let range = || Fail::error("22003", format!("value out of range for type {name}"));
    let number = trimmed.parse::<i64>().map_err(|_| range())?;
    integer(number, kind).map_err(|_| range())
}

/// The failure of digits with something behind them: they are counted first, and the number may be
/// too large before the rest is looked at.
fn after_digits(text: &str, kind: Type) -> Fail {
    let name = integer_name(kind);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let limit = match kind {
        Type::Int2 => i64::from(i16::MAX),
        Type::Int4 => i64::from(i32::MAX),
        _ => i64::MAX,
    };
    let digits = digits.trim_start_matches('0');
    let range = || Fail::error("22003", format!("value out of range for type {name}"));
    let Ok(number) = format!("0{digits}").parse::<u128>() else { return range() };
    let limit = u128::from(limit.unsigned_abs());
    match number {
        // Underscores, and what follows a leading zero, are of version 16.
        _ if rest.starts_with('_') => Fail::Doubt,
        _ if number / 10 > limit / 10 => range(),
        // Version 15 and 16 differ in the last step.
        _ if number > limit + 1 => Fail::Doubt,
        _ => Fail::syntax(name),
    }
}

/// The longest start of a text that is a decimal number.
fn number_prefix(text: &str) -> &str {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(text.starts_with(['+', '-']));
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut some = whole;
    if bytes.get(end) == Some(&b'.') {
        some += digits(end + 1);
        end += 1 + digits(end + 1);
    }
    if some == 0 {
        return "";
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let start = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if digits(start) > 0 {
            end = start + digits(start);
        }
    }
    text.get(..end).unwrap_or_default()
}

fn parse_float<'v>(text: &str, kind: Type) -> Evaluated<'v> {
    let trimmed = crate::values::numeric::trim(text);
    let name = if kind == Type::Float4 { "real" } else { "double precision" };
    let parsed = match kind {
        Type::Float4 => trimmed.parse::<f32>().map(f64::from),
        _ => trimmed.parse::<f64>(),
    };
    let Ok(number) = parsed else {
        // strtod knows hexadecimal forms and NaN with a payload.
        let odd = trimmed.contains(['x', 'X', '(']);
        // It reads what begins like a number before it looks at the rest.
        let prefix = number_prefix(trimmed);
        if !odd && prefix.len() < trimmed.len() && !prefix.is_empty() {
            parse_float(prefix, kind)?;
        }
        return Err(if odd { Fail::Doubt } else { Fail::syntax(name) });
    };
    let letters =
        trimmed.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_alphabetic());
    let digits = trimmed.split(['e', 'E']).next().unwrap_or_default();
    let vanished = number == 0.0 && digits.bytes().any(|b| (b'1'..=b'9').contains(&b));
    if !letters && (number.is_infinite() || vanished) {
        return Err(Fail::error("22003", format!("value out of range for type {name}")));
    }
    if number.is_nan() && trimmed.starts_with(['+', '-']) {
        return Err(Fail::Doubt);
    }
    Ok(Value::Float(number))
}

fn parse_bool(text: &str) -> Option<bool> {
    let text = crate::values::numeric::trim(text).to_ascii_lowercase();
    let prefix = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if prefix("true", 1) || prefix("yes", 1) || text == "on" || text == "1" {
        Some(true)
    } else if prefix("false", 1) || prefix("no", 1) || prefix("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

/// Hexadecimal digits with a hyphen after any group of four, braces around or not.
fn parse_uuid(text: &str) -> Option<Vec<u8>> {
    let inner = match text.strip_prefix('{') {
        Some(inner) => inner.strip_suffix('}')?,
        None => text,
    };
    let mut bytes = inner.bytes().peekable();
    let mut out = Vec::with_capacity(16);
    for i in 0..16 {
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let high = digit()?;
        out.push((high * 16 + digit()?) as u8);
        if i % 2 == 1 && i < 15 && bytes.peek() == Some(&b'-') {
            bytes.next();
        }
    }
    bytes.next().is_none().then_some(out)
}

fn uuid_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}
