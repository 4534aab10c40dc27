//! `generate_series`

use super::calendar;
use super::set::Visit;
use crate::values::interval::Interval;
use crate::values::types::Type;
use crate::values::value::{Fail, Value};

/// Rows of one series; longer ones are left to PostgreSQL.
const ROWS_MAX: usize = 100_000;

/// The types of first, last and step.
pub(crate) const SIGNATURES: &[&[Type]] = &[
    &[Type::Int4, Type::Int4],
    &[Type::Int4, Type::Int4, Type::Int4],
    &[Type::Int8, Type::Int8],
    &[Type::Int8, Type::Int8, Type::Int8],
    &[Type::Numeric, Type::Numeric],
    &[Type::Numeric, Type::Numeric, Type::Numeric],
    &[Type::Timestamp, Type::Timestamp, Type::Interval],
    &[Type::Timestamptz, Type::Timestamptz, Type::Interval],
];

fn no_step() -> Fail {
    Fail::error("22023", "step size cannot equal zero")
}

/// Visits the members of a series of this type; none of `inputs` is NULL.
pub(crate) fn each(kind: Type, inputs: &[Value<'_>], visit: &mut Visit<'_>) -> Result<(), Fail> {
    let mut count = 0;
    let mut visit = |value: Value<'_>| {
        count += 1;
        if count > ROWS_MAX { Err(Fail::Doubt) } else { visit(&[value]) }
    };
    match inputs {
        [Value::Int(first), Value::Int(last), Value::Interval(step)] => {
            stamps(*first, *last, *step, &mut visit)
        }
        [Value::Int(first), Value::Int(last), rest @ ..] => {
            let step = match rest {
                [Value::Int(step)] => *step,
                _ => 1,
            };
            let top = if kind == Type::Int4 { i64::from(i32::MAX) } else { i64::MAX };
            integers((*first, *last, step), top, &mut visit)
        }
        [Value::Numeric(first), Value::Numeric(last), rest @ ..] => {
            let one = crate::values::numeric::Numeric::from_i64(1);
            let step = match rest {
                [Value::Numeric(step)] => step,
                _ => &one,
            };
            let zero = crate::values::numeric::Numeric::zero();
            if ![first, last, step].iter().all(|value| value.is_finite()) {
                return Err(Fail::Doubt);
            }
            let up = step.compare(&zero);
            if up.is_eq() {
                return Err(no_step());
            }
            let mut current = first.clone();
            // Until it has passed the last one in the step's direction.
            while current.compare(last) != up {
                visit(Value::Numeric(current.clone()))?;
                current = current.add(step).map_err(|_| Fail::Doubt)?;
            }
            Ok(())
        }
        _ => Err(Fail::Wire("generate_series got other types than it was compiled for")),
    }
}

fn integers(
    (first, last, step): (i64, i64, i64),
    top: i64,
    visit: &mut dyn FnMut(Value<'_>) -> Result<(), Fail>,
) -> Result<(), Fail> {
    if step == 0 {
        return Err(no_step());
    }
    let mut current = first;
    while if step > 0 { current <= last } else { current >= last } {
        visit(Value::Int(current))?;
        // A member beyond the type ends the series.
        current = match current.checked_add(step) {
            Some(next) if (-top - 1..=top).contains(&next) => next,
            _ => break,
        };
    }
    Ok(())
}

fn stamps(
    first: i64,
    last: i64,
    step: Interval,
    visit: &mut dyn FnMut(Value<'_>) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let infinite = |micros: i64| micros == i64::MIN || micros == i64::MAX;
    let plus = calendar::operator("+", Type::Timestamp, Type::Interval);
    let Some((_, _, plus, _)) = plus.filter(|_| !infinite(first) && !infinite(last)) else {
        return Err(Fail::Doubt);
    };
    if step.is_extreme() {
        return Err(Fail::Doubt);
    }
    let up = step.compare(Interval::default());
    if up.is_eq() {
        return Err(no_step());
    }
    let mut current = first;
    while current.cmp(&last) != up {
        visit(Value::Int(current))?;
        let Value::Int(next) = plus(&mut [Value::Int(current), Value::Interval(step)])? else {
            return Err(Fail::Doubt);
        };
        current = next;
    }
    Ok(())
}
