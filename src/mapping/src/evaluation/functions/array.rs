//! Functions and operators over arrays.

use std::borrow::Cow;
use std::sync::Arc;

use super::array_search::{holds, position, remove, replace};
use super::cast::Cast;
use crate::evaluation::order::{Compare, Element, Item, Order, compare};
use crate::values::array::{Array, DIMENSIONS_MAX, Dimension, bounds, print};
use crate::values::types::Type;
use crate::values::value::{Evaluated, Fail, Value};

/// What is done with arrays.
#[derive(Clone, Debug)]
pub(crate) enum ArrayOp {
    /// ARRAY[…] of elements.
    Build,
    /// ARRAY[…] of arrays.
    Nest,
    Subscript,
    /// For each dimension, whether the lower and the upper bound are given.
    Slice(Arc<[(bool, bool)]>),
    /// `= ANY` and its kind, or `ALL`.
    Quantified {
        compare: Compare,
        all: bool,
    },
    Length,
    Lower,
    Upper,
    Dimensions,
    Bounds,
    Cardinality,
    Append,
    Prepend,
    Concatenate,
    Position,
    Positions,
    Remove,
    Replace,
    Contains,
    Contained,
    Overlaps,
    /// array_to_string, or the cast to text; elements are printed by this cast.
    Join(Option<Cast>),
    Print(Option<Cast>),
    /// The cast of each element, from the type before.
    Convert {
        from: Type,
        cast: Cast,
    },
    /// string_to_array.
    Split,
}

impl ArrayOp {
    /// NULL when any argument is NULL.
    pub(crate) fn is_strict(&self) -> bool {
        matches!(
            self,
            ArrayOp::Length
                | ArrayOp::Lower
                | ArrayOp::Upper
                | ArrayOp::Dimensions
                | ArrayOp::Bounds
                | ArrayOp::Cardinality
                | ArrayOp::Contains
                | ArrayOp::Contained
                | ArrayOp::Overlaps
                | ArrayOp::Print(_)
                | ArrayOp::Convert { .. }
        )
    }
}

pub(super) fn wrong() -> Fail {
    Fail::Wire("an array function got other types than it was compiled for")
}

pub(super) fn array<'a>(value: &'a Value<'_>) -> Result<Array<'a>, Fail> {
    match value {
        Value::Bytes(bytes) => Array::decode(bytes),
        _ => Err(wrong()),
    }
}

/// An array that may be NULL, for functions that take that as an empty one.
fn maybe<'a>(value: &'a Value<'_>) -> Result<Array<'a>, Fail> {
    if value.is_null() { Ok(Array::empty()) } else { array(value) }
}

fn int(value: &Value<'_>) -> Result<i64, Fail> {
    match value {
        Value::Int(value) => Ok(*value),
        _ => Err(wrong()),
    }
}

impl Element {
    fn text<'a>(
        &self,
        item: &'a Item<'_>,
        cast: Option<Cast>,
    ) -> Result<Option<Cow<'a, str>>, Fail> {
        let value = match self.value(item)? {
            Value::Null => return Ok(None),
            Value::Bool(truth) => return Ok(Some(if truth { "t" } else { "f" }.into())),
            value => value,
        };
        let value = match cast {
            Some(cast) => cast.apply(value)?,
            None => value,
        };
        match value {
            Value::Text(text) => Ok(Some(text)),
            _ => Err(wrong()),
        }
    }
}

/// The operation over its arguments.
pub(crate) fn run<'v>(op: &ArrayOp, element: &Element, values: &mut [Value<'v>]) -> Evaluated<'v> {
    if op.is_strict() && values.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    match (op, &*values) {
        (ArrayOp::Build, items) => {
            let items = items.iter().map(|value| element.wire(value)).collect();
            Ok(element.done(&Array::list(items)))
        }
        (ArrayOp::Nest, items) => nest(element, items),
        (ArrayOp::Subscript, [_, ..]) => subscript(element, values),
        (ArrayOp::Slice(given), [value, indexes @ ..]) => slice(element, given, value, indexes),
        (ArrayOp::Quantified { compare, all }, [left, right]) => {
            quantified(element, *compare, *all, left, right)
        }
        (ArrayOp::Length | ArrayOp::Lower | ArrayOp::Upper, [value, number]) => {
            let (array, number) = (array(value)?, int(number)?);
            let found = usize::try_from(number - 1).ok().and_then(|i| array.dimensions.get(i));
            let Some(found) = found else { return Ok(Value::Null) };
            let (length, low) = (i64::from(found.length), i64::from(found.low));
            Ok(Value::Int(match op {
                ArrayOp::Length => length,
                ArrayOp::Lower => low,
                _ => low + length - 1,
            }))
        }
        (ArrayOp::Dimensions, [value]) => Ok(match array(value)?.dimensions.len() {
            0 => Value::Null,
            count => Value::Int(count as i64),
        }),
        (ArrayOp::Bounds, [value]) => Ok(match array(value)?.dimensions.as_slice() {
            [] => Value::Null,
            dimensions => Value::text(bounds(dimensions)),
        }),
        (ArrayOp::Cardinality, [value]) => Ok(Value::Int(array(value)?.items.len() as i64)),
        (ArrayOp::Append, [value, item]) => extend(element, value, item, true),
        (ArrayOp::Prepend, [item, value]) => extend(element, value, item, false),
        (ArrayOp::Concatenate, [..]) => concatenate(element, values),
        (ArrayOp::Position | ArrayOp::Positions, [value, wanted]) => {
            position(element, matches!(op, ArrayOp::Positions), value, wanted)
        }
        (ArrayOp::Remove, [_, _]) => remove(element, values),
        (ArrayOp::Replace, [_, _, _]) => replace(element, values),
        (ArrayOp::Contains, [a, b]) | (ArrayOp::Contained, [b, a]) => {
            let (a, b) = (array(a)?, array(b)?);
            for item in &b.items {
                if !holds(element, &a, item)? {
                    return Ok(Value::Bool(false));
                }
            }
            Ok(Value::Bool(true))
        }
        (ArrayOp::Overlaps, [a, b]) => {
            let (a, b) = (array(a)?, array(b)?);
            for item in &b.items {
                if holds(element, &a, item)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        (ArrayOp::Join(cast), [value, separator, ..]) => {
            join(element, *cast, value, separator, values.get(2))
        }
        (ArrayOp::Print(cast), [value]) => {
            let array = array(value)?;
            let mut texts = Vec::with_capacity(array.items.len());
            for item in &array.items {
                texts.push(element.text(item, *cast)?);
            }
            Ok(Value::text(print(&array.dimensions, &texts)))
        }
        (ArrayOp::Convert { from, cast }, [value]) => {
            let mut array = array(value)?;
            // A cast between types of one form keeps the flag.
            if !array.is_exact() {
                return Err(Fail::Doubt);
            }
            let source = Element { kind: *from, order: Order::Plain };
            for item in &mut array.items {
                let converted = match source.value(item)? {
                    Value::Null => None,
                    value => element.wire(&cast.apply(value)?),
                };
                *item = converted;
            }
            array.count_nulls();
            Ok(element.done(&array))
        }
        (ArrayOp::Split, [text, separator, ..]) => split(element, text, separator, values.get(2)),
        _ => Err(wrong()),
    }
}

fn nest<'v>(element: &Element, values: &[Value<'_>]) -> Evaluated<'v> {
    let mismatch =
        || Fail::error("2202E", "multidimensional arrays must have array expressions of one size");
    let mut out: Option<Array<'_>> = None;
    let mut empty = false;
    let mut count = 0;
    for value in values {
        let array = maybe(value)?;
        if array.dimensions.is_empty() {
            empty = true;
            continue;
        }
        count += 1;
        match &mut out {
            None => out = Some(array),
            Some(out) if out.dimensions == array.dimensions => {
                out.flag |= array.flag;
                out.items.extend(array.items);
            }
            Some(_) => return Err(mismatch()),
        }
    }
    let Some(mut out) = out else { return Ok(element.done(&Array::empty())) };
    if empty || out.dimensions.len() >= DIMENSIONS_MAX {
        // Too many dimensions are another error.
        return Err(if empty { mismatch() } else { Fail::Doubt });
    }
    if !out.is_exact() {
        return Err(Fail::Doubt);
    }
    out.dimensions.insert(0, Dimension { length: count, low: 1 });
    Ok(element.done(&out))
}

fn subscript<'v>(element: &Element, values: &mut [Value<'v>]) -> Evaluated<'v> {
    if values.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    let mut places: smallvec::SmallVec<[i64; 2]> = smallvec::SmallVec::new();
    for value in &values[1..] {
        places.push(int(value)?);
    }
    let found = {
        let array = array(&values[0])?;
        let item = array.place(&places).and_then(|place| array.items.get(place).cloned());
        match item.flatten() {
            None => Value::Null,
            Some(bytes) => Value::from_binary(element.kind, &bytes)?.into_owned(),
        }
    };
    Ok(found)
}

fn slice<'v>(
    element: &Element,
    given: &[(bool, bool)],
    value: &Value<'_>,
    indexes: &[Value<'_>],
) -> Evaluated<'v> {
    if value.is_null() || indexes.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    let mut indexes = indexes.iter();
    let mut bound = |given: bool| -> Result<Option<i64>, Fail> {
        if given { indexes.next().map(int).transpose() } else { Ok(None) }
    };
    let mut list = Vec::with_capacity(given.len());
    for (low, high) in given {
        list.push((bound(*low)?, bound(*high)?));
    }
    Ok(element.done(&array(value)?.slice(&list)))
}

fn quantified<'v>(
    element: &Element,
    asked: Compare,
    all: bool,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Evaluated<'v> {
    if right.is_null() {
        return Ok(Value::Null);
    }
    let array = array(right)?;
    if array.items.is_empty() {
        return Ok(Value::Bool(all));
    }
    if left.is_null() {
        return Ok(Value::Null);
    }
    let mut null = false;
    for item in &array.items {
        let item = element.value(item)?;
        if item.is_null() {
            null = true;
        } else if asked.holds(compare(&element.order, left, &item)?) != all {
            return Ok(Value::Bool(!all));
        }
    }
    Ok(if null { Value::Null } else { Value::Bool(all) })
}

fn extend<'v>(element: &Element, value: &Value<'_>, item: &Value<'_>, end: bool) -> Evaluated<'v> {
    let mut array = maybe(value)?;
    let item = element.wire(item);
    match array.dimensions.as_mut_slice() {
        [] => return Ok(element.done(&Array::list(vec![item]))),
        [only] => only.length = only.length.checked_add(1).ok_or(Fail::Doubt)?,
        _ => {
            return Err(Fail::error("22000", "argument must be empty or one-dimensional array"));
        }
    }
    // The bounds are numbers of 32 bits; and what a flag without NULL becomes is not certain.
    let near = array.dimensions.iter().any(|d| d.low == i32::MIN || d.low > i32::MAX - d.length);
    if near || !array.is_exact() {
        return Err(Fail::Doubt);
    }
    let place = if end { array.items.len() } else { 0 };
    array.items.insert(place, item);
    array.count_nulls();
    Ok(element.done(&array))
}

fn concatenate<'v>(element: &Element, values: &mut [Value<'v>]) -> Evaluated<'v> {
    let [a, b] = values else { return Err(wrong()) };
    if a.is_null() || b.is_null() {
        let kept = if a.is_null() { b } else { a };
        return Ok(std::mem::replace(kept, Value::Null));
    }
    let (left, right) = (array(a)?, array(b)?);
    if right.dimensions.is_empty() && !left.dimensions.is_empty() {
        drop(left);
        return Ok(std::mem::replace(a, Value::Null));
    }
    if left.dimensions.is_empty() {
        drop(right);
        return Ok(std::mem::replace(b, Value::Null));
    }
    if !left.is_exact() || !right.is_exact() {
        return Err(Fail::Doubt);
    }
    Ok(element.done(&left.join(right)?))
}

fn join<'v>(
    element: &Element,
    cast: Option<Cast>,
    value: &Value<'_>,
    separator: &Value<'_>,
    null: Option<&Value<'_>>,
) -> Evaluated<'v> {
    let (Value::Bytes(_), Value::Text(separator)) = (value, separator) else {
        return Ok(Value::Null);
    };
    let array = array(value)?;
    let mut out = String::new();
    let mut first = true;
    for item in &array.items {
        let text = match (element.text(item, cast)?, null) {
            (Some(text), _) => text,
            (None, Some(Value::Text(null))) => Cow::Borrowed(null.as_ref()),
            _ => continue,
        };
        if !first {
            out.push_str(separator);
        }
        first = false;
        out.push_str(&text);
    }
    Ok(Value::text(out))
}

fn split<'v>(
    element: &Element,
    text: &Value<'_>,
    separator: &Value<'_>,
    null: Option<&Value<'_>>,
) -> Evaluated<'v> {
    if text.is_null() {
        return Ok(Value::Null);
    }
    let item = |part: Option<Cow<'_, str>>| part.map(|part| part.into_owned().into_bytes().into());
    let parts = split_parts(text, separator, null);
    Ok(element.done(&Array::list(parts.into_iter().map(item).collect())))
}

/// The parts of a text as `string_to_array` and `string_to_table` divide it; none of NULL.
pub(super) fn split_parts<'t>(
    text: &'t Value<'_>,
    separator: &Value<'_>,
    null: Option<&Value<'_>>,
) -> Vec<Option<Cow<'t, str>>> {
    let Value::Text(text) = text else { return Vec::new() };
    let parts: Vec<Cow<'t, str>> = match separator {
        _ if text.is_empty() => Vec::new(),
        Value::Text(separator) if separator.is_empty() => vec![Cow::Borrowed(text.as_ref())],
        Value::Text(separator) => text.split(separator.as_ref()).map(Cow::Borrowed).collect(),
        _ => text.chars().map(|c| Cow::Owned(c.to_string())).collect(),
    };
    let item = |part: Cow<'t, str>| match null {
        Some(Value::Text(null)) if *null == part => None,
        _ => Some(part),
    };
    parts.into_iter().map(item).collect()
}
