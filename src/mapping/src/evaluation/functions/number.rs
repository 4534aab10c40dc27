//! Arithmetic.

use super::cast::integer;
use super::{Entry, REFUSED, Run, entry};
use crate::values::numeric::{Numeric, Overflow};
use crate::values::types::Type;
use crate::values::value::{Evaluated, Fail, Value};

const fn refused(name: &'static str, arguments: &'static [Type]) -> Entry {
    entry(name, arguments, REFUSED, |_| Err(Fail::Doubt))
}

use Type::{Float4, Float8, Int2, Int4, Int8};

pub(crate) const ENTRIES: &[Entry] = &[
    entry("abs", &[Int2], Int2, |a| absolute(a, Int2)),
    entry("abs", &[Int4], Int4, |a| absolute(a, Int4)),
    entry("abs", &[Int8], Int8, |a| absolute(a, Int8)),
    entry("abs", &[Float4], Float4, |a| Ok(Value::Float(float(a)?.abs()))),
    entry("abs", &[Float8], Float8, |a| Ok(Value::Float(float(a)?.abs()))),
    entry("abs", &[Type::Numeric], Type::Numeric, |a| Ok(Value::Numeric(numeric(a)?.abs()))),
    entry("ceil", &[Type::Numeric], Type::Numeric, |a| {
        Ok(Value::Numeric(numeric(a)?.whole(false)))
    }),
    entry("ceil", &[Float8], Float8, |a| Ok(Value::Float(float(a)?.ceil()))),
    entry("ceiling", &[Type::Numeric], Type::Numeric, |a| {
        Ok(Value::Numeric(numeric(a)?.whole(false)))
    }),
    entry("ceiling", &[Float8], Float8, |a| Ok(Value::Float(float(a)?.ceil()))),
    entry("floor", &[Type::Numeric], Type::Numeric, |a| {
        Ok(Value::Numeric(numeric(a)?.whole(true)))
    }),
    entry("floor", &[Float8], Float8, |a| Ok(Value::Float(float(a)?.floor()))),
    entry("round", &[Type::Numeric], Type::Numeric, |a| Ok(Value::Numeric(numeric(a)?.round(0)))),
    entry("round", &[Float8], Float8, |a| Ok(Value::Float(float(a)?.round_ties_even()))),
    entry("round", &[Type::Numeric, Int4], Type::Numeric, |a| rounded(a, true)),
    entry("trunc", &[Type::Numeric], Type::Numeric, |a| {
        Ok(Value::Numeric(numeric(a)?.truncate(0)))
    }),
    entry("trunc", &[Float8], Float8, |a| Ok(Value::Float(float(a)?.trunc()))),
    entry("trunc", &[Type::Numeric, Int4], Type::Numeric, |a| rounded(a, false)),
    entry("mod", &[Int2, Int2], Int2, |a| integers(a, Int2, remainder)),
    entry("mod", &[Int4, Int4], Int4, |a| integers(a, Int4, remainder)),
    entry("mod", &[Int8, Int8], Int8, |a| integers(a, Int8, remainder)),
    entry("mod", &[Type::Numeric, Type::Numeric], Type::Numeric, |a| numerics(a, Numeric::modulo)),
    entry("div", &[Type::Numeric, Type::Numeric], Type::Numeric, |a| {
        numerics(a, Numeric::whole_quotient)
    }),
    entry("sign", &[Float8], Float8, |a| float(a).map(|value| Value::Float(sign(value)))),
    entry("sign", &[Type::Numeric], Type::Numeric, |a| Ok(Value::Numeric(numeric(a)?.signum()))),
    entry("sqrt", &[Float8], Float8, |a| square_root(float(a)?)),
    refused("sqrt", &[Type::Numeric]),
    entry("gcd", &[Int4, Int4], Int4, |a| integers(a, Int4, |a, b| Ok(divisor(a, b)))),
    entry("gcd", &[Int8, Int8], Int8, |a| integers(a, Int8, |a, b| Ok(divisor(a, b)))),
    refused("gcd", &[Type::Numeric, Type::Numeric]),
    entry("lcm", &[Int4, Int4], Int4, |a| integers(a, Int4, |a, b| Ok(multiple(a, b)))),
    entry("lcm", &[Int8, Int8], Int8, |a| integers(a, Int8, |a, b| Ok(multiple(a, b)))),
    refused("lcm", &[Type::Numeric, Type::Numeric]),
    entry("to_hex", &[Int4], Type::Text, |a| hexadecimal(a, u64::from(u32::MAX))),
    entry("to_hex", &[Int8], Type::Text, |a| hexadecimal(a, u64::MAX)),
];

/// `NUMERIC_MAX_RESULT_SCALE`
const SCALE_MAX: u32 = 2000;

fn wrong() -> Fail {
    Fail::Wire("an arithmetic function got other types than it was compiled for")
}

fn float(arguments: &[Value<'_>]) -> Result<f64, Fail> {
    match arguments {
        [Value::Float(value)] => Ok(*value),
        _ => Err(wrong()),
    }
}

fn numeric(arguments: &mut [Value<'_>]) -> Result<Numeric, Fail> {
    match arguments {
        [Value::Numeric(value)] => Ok(std::mem::replace(value, Numeric::zero())),
        _ => Err(wrong()),
    }
}

fn absolute<'v>(arguments: &[Value<'v>], kind: Type) -> Evaluated<'v> {
    match arguments {
        [Value::Int(value)] => in_range(value.checked_abs(), kind),
        _ => Err(wrong()),
    }
}

fn rounded<'v>(arguments: &[Value<'v>], nearest: bool) -> Evaluated<'v> {
    match arguments {
        [Value::Numeric(value), Value::Int(scale)] => {
            let scale = i32::try_from(*scale).map_err(|_| wrong())?;
            // What a larger one is cut to depends on the minor version.
            if scale.abs_diff(0) > SCALE_MAX {
                return Err(Fail::Doubt);
            }
            value.round_to(scale, nearest).map(Value::Numeric).map_err(overflow)
        }
        _ => Err(wrong()),
    }
}

fn overflow(overflow: Overflow) -> Fail {
    match overflow {
        Overflow::Range => Fail::error("22003", "value overflows numeric format"),
        Overflow::DivisionByZero => Fail::division(),
    }
}

fn in_range<'v>(value: Option<i64>, kind: Type) -> Evaluated<'v> {
    value.map_or_else(|| Err(Fail::range("bigint")), |value| integer(value, kind))
}

fn integers<'v>(
    arguments: &[Value<'v>],
    kind: Type,
    operate: fn(i64, i64) -> Result<Option<i64>, Fail>,
) -> Evaluated<'v> {
    match arguments {
        [Value::Int(a), Value::Int(b)] => in_range(operate(*a, *b)?, kind),
        _ => Err(wrong()),
    }
}

fn numerics<'v>(
    arguments: &[Value<'v>],
    operate: fn(&Numeric, &Numeric) -> Result<Numeric, Overflow>,
) -> Evaluated<'v> {
    match arguments {
        [Value::Numeric(a), Value::Numeric(b)] => {
            operate(a, b).map(Value::Numeric).map_err(overflow)
        }
        _ => Err(wrong()),
    }
}

fn quotient(a: i64, b: i64) -> Result<Option<i64>, Fail> {
    if b == 0 { Err(Fail::division()) } else { Ok(a.checked_div(b)) }
}

fn remainder(a: i64, b: i64) -> Result<Option<i64>, Fail> {
    // The smallest number by -1 has no quotient, but the remainder 0.
    if b == 0 { Err(Fail::division()) } else { Ok(Some(a.checked_rem(b).unwrap_or(0))) }
}

fn sign(value: f64) -> f64 {
    // NaN has the sign 0.
    f64::from(i8::from(value > 0.0) - i8::from(value < 0.0))
}

fn square_root<'v>(value: f64) -> Evaluated<'v> {
    if value.is_nan() {
        // Which NaN it gives depends on the processor.
        return Err(Fail::Doubt);
    }
    if value < 0.0 {
        return Err(Fail::error("2201F", "cannot take square root of a negative number"));
    }
    Ok(Value::Float(value.sqrt()))
}

/// Greatest common divisor, `None` when it has no place in the type.
fn divisor(a: i64, b: i64) -> Option<i64> {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b > 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).ok()
}

/// Least common multiple.
fn multiple(a: i64, b: i64) -> Option<i64> {
    if a == 0 || b == 0 {
        return Some(0);
    }
    let divisor = divisor(a, b)?.unsigned_abs();
    let product = (a.unsigned_abs() / divisor).checked_mul(b.unsigned_abs())?;
    i64::try_from(product).ok()
}

fn hexadecimal<'v>(arguments: &[Value<'v>], mask: u64) -> Evaluated<'v> {
    match arguments {
        [Value::Int(value)] => Ok(Value::text(format!("{:x}", value.cast_unsigned() & mask))),
        _ => Err(wrong()),
    }
}

fn shifted<'v>(arguments: &[Value<'v>], kind: Type, left: bool) -> Evaluated<'v> {
    let [Value::Int(value), Value::Int(count)] = arguments else { return Err(wrong()) };
    // What C does beyond the width depends on the processor and the compiler.
    let width = if kind == Int8 { 64 } else { 32 };
    let count = u32::try_from(*count).ok().filter(|count| *count < width).ok_or(Fail::Doubt)?;
    let shifted = if left { value << count } else { value >> count };
    Ok(Value::Int(match kind {
        Int2 => (shifted as i16).into(),
        Int4 => (shifted as i32).into(),
        _ => shifted,
    }))
}

/// The bit operator over values of `kind`; shifts count in integers.
pub(crate) fn bits(operator: &str, kind: Type) -> Option<Run> {
    let run: Run = match (operator, kind) {
        ("&", _) => |a| integers(a, Int8, |a, b| Ok(Some(a & b))),
        ("|", _) => |a| integers(a, Int8, |a, b| Ok(Some(a | b))),
        ("#", _) => |a| integers(a, Int8, |a, b| Ok(Some(a ^ b))),
        ("<<", Int2) => |a| shifted(a, Int2, true),
        ("<<", Int4) => |a| shifted(a, Int4, true),
        ("<<", Int8) => |a| shifted(a, Int8, true),
        (">>", Int2) => |a| shifted(a, Int2, false),
        (">>", Int4) => |a| shifted(a, Int4, false),
        (">>", Int8) => |a| shifted(a, Int8, false),
        _ => return None,
    };
    Some(run)
}

/// `~` of an integer.
pub(crate) fn inverted<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Int(value)] => Ok(Value::Int(!*value)),
        _ => Err(wrong()),
    }
}

/// Float arithmetic with PostgreSQL's checks for overflow and underflow.
fn floats<'v>(arguments: &[Value<'v>], operator: u8, single: bool) -> Evaluated<'v> {
    let [Value::Float(a), Value::Float(b)] = arguments else { return Err(wrong()) };
    let (a, b) = (*a, *b);
    if operator == b'/' && b == 0.0 && !a.is_nan() {
        return Err(Fail::division());
    }
    match (a.is_nan(), b.is_nan()) {
        (true, false) => return Ok(Value::Float(a)),
        (false, true) => return Ok(Value::Float(b)),
        // Which of two NaNs wins depends on the processor and the compiler.
        (true, true) => return Err(Fail::Doubt),
        (false, false) => {}
    }
    let exact = match operator {
        b'+' => a + b,
        b'-' => a - b,
        b'*' => a * b,
        _ => a / b,
    };
    // A single operation on two singles, rounded twice, is the same as rounded once.
    let result = if single { f64::from(exact as f32) } else { exact };
    if result.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(Fail::error("22003", "value out of range: overflow"));
    }
    if result.is_nan() {
        // The sign of a NaN that comes to be depends on the processor.
        return Err(Fail::Doubt);
    }
    let vanished = match operator {
        b'*' => a != 0.0 && b != 0.0,
        b'/' => a != 0.0 && b.is_finite(),
        _ => false,
    };
    if result == 0.0 && vanished {
        return Err(Fail::error("22003", "value out of range: underflow"));
    }
    Ok(Value::Float(result))
}

/// A day some days later or earlier. Infinite days stay.
fn shift_date<'v>(arguments: &[Value<'v>], back: bool) -> Evaluated<'v> {
    let [Value::Int(date), Value::Int(days)] = arguments else { return Err(wrong()) };
    if *date == i64::from(i32::MIN) || *date == i64::from(i32::MAX) {
        return Ok(Value::Int(*date));
    }
    let shifted = if back { date - days } else { date + days };
    // 4714-11-24 BC, the first day of Julian dates, to 5874897-12-31.
    if (-2_451_545..2_145_031_949).contains(&shifted) {
        Ok(Value::Int(shifted))
    } else {
        Err(Fail::error("22008", "date out of range"))
    }
}

fn date_difference<'v>(arguments: &[Value<'v>]) -> Evaluated<'v> {
    let [Value::Int(a), Value::Int(b)] = arguments else { return Err(wrong()) };
    let infinite = |day: &i64| *day == i64::from(i32::MIN) || *day == i64::from(i32::MAX);
    if infinite(a) || infinite(b) {
        return Err(Fail::error("22008", "cannot subtract infinite dates"));
    }
    integer(a - b, Int4)
}

/// The operator over operands of type `left` (both sides alike, integers apart) with this result.
pub(crate) fn operator(operator: &str, left: Type, result: Type) -> Option<Run> {
    let run: Run = match (operator, left, result) {
        ("+", Type::Date, Type::Date) => |a| shift_date(a, false),
        ("-", Type::Date, Type::Date) => |a| shift_date(a, true),
        ("-", Type::Date, Int4) => |a| date_difference(a),
        ("+", _, Int2) => |a| integers(a, Int2, |a, b| Ok(a.checked_add(b))),
        ("+", _, Int4) => |a| integers(a, Int4, |a, b| Ok(a.checked_add(b))),
        ("+", _, Int8) => |a| integers(a, Int8, |a, b| Ok(a.checked_add(b))),
        ("-", _, Int2) => |a| integers(a, Int2, |a, b| Ok(a.checked_sub(b))),
        ("-", _, Int4) => |a| integers(a, Int4, |a, b| Ok(a.checked_sub(b))),
        ("-", _, Int8) => |a| integers(a, Int8, |a, b| Ok(a.checked_sub(b))),
        ("*", _, Int2) => |a| integers(a, Int2, |a, b| Ok(a.checked_mul(b))),
        ("*", _, Int4) => |a| integers(a, Int4, |a, b| Ok(a.checked_mul(b))),
        ("*", _, Int8) => |a| integers(a, Int8, |a, b| Ok(a.checked_mul(b))),
        ("/", _, Int2) => |a| integers(a, Int2, quotient),
        ("/", _, Int4) => |a| integers(a, Int4, quotient),
        ("/", _, Int8) => |a| integers(a, Int8, quotient),
        ("%", _, Int2) => |a| integers(a, Int2, remainder),
        ("%", _, Int4) => |a| integers(a, Int4, remainder),
        ("%", _, Int8) => |a| integers(a, Int8, remainder),
        ("+", _, Type::Numeric) => |a| numerics(a, Numeric::add),
        ("-", _, Type::Numeric) => |a| numerics(a, Numeric::subtract),
        ("*", _, Type::Numeric) => |a| numerics(a, Numeric::multiply),
        ("/", _, Type::Numeric) => |a| numerics(a, Numeric::divide),
        ("%", _, Type::Numeric) => |a| numerics(a, Numeric::modulo),
        ("+", _, Float8) => |a| floats(a, b'+', false),
        ("-", _, Float8) => |a| floats(a, b'-', false),
        ("*", _, Float8) => |a| floats(a, b'*', false),
        ("/", _, Float8) => |a| floats(a, b'/', false),
        ("+", _, Float4) => |a| floats(a, b'+', true),
        ("-", _, Float4) => |a| floats(a, b'-', true),
        ("*", _, Float4) => |a| floats(a, b'*', true),
        ("/", _, Float4) => |a| floats(a, b'/', true),
        _ => return None,
    };
    Some(run)
}

/// The sign operator of a type.
pub(crate) fn negation(kind: Type) -> Option<Run> {
    let negate: Run = match kind {
        Int2 => |a| negated(a, Int2),
        Int4 => |a| negated(a, Int4),
        Int8 => |a| negated(a, Int8),
        Float4 | Float8 => |a| Ok(Value::Float(-float(a)?)),
        Type::Numeric => |a| Ok(Value::Numeric(numeric(a)?.negate())),
        _ => return None,
    };
    Some(negate)
}

fn negated<'v>(arguments: &[Value<'v>], kind: Type) -> Evaluated<'v> {
    match arguments {
        [Value::Int(value)] => in_range(value.checked_neg(), kind),
        _ => Err(wrong()),
    }
}
