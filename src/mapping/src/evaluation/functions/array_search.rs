//! Looking for elements in arrays.

use std::borrow::Cow;

use super::array::{array, wrong};
use crate::evaluation::order::{Element, Item};
use crate::values::array::Array;
use crate::values::types::Type;
use crate::values::value::{Evaluated, Fail, Value};

fn one_dimension(array: &Array<'_>) -> Result<(), Fail> {
    if array.dimensions.len() > 1 {
        let what = "searching for elements in multidimensional arrays is not supported";
        return Err(Fail::error("0A000", what));
    }
    Ok(())
}

pub(super) fn position<'v>(
    element: &Element,
    every: bool,
    value: &Value<'_>,
    wanted: &Value<'_>,
) -> Evaluated<'v> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let array = array(value)?;
    one_dimension(&array)?;
    let low = array.dimensions.first().map_or(1, |dimension| dimension.low);
    let mut found = Vec::new();
    for (place, item) in (low..).zip(&array.items) {
        if !element.same(item, wanted)? {
            continue;
        }
        if !every {
            return Ok(Value::Int(i64::from(place)));
        }
        found.push(Some(Cow::Owned(place.to_be_bytes().to_vec())));
    }
    if !every {
        return Ok(Value::Null);
    }
    Ok(Value::Bytes(Cow::Owned(Array::list(found).encode(Type::Int4.oid()))))
}

pub(super) fn remove<'v>(element: &Element, values: &mut [Value<'v>]) -> Evaluated<'v> {
    let [value, wanted] = values else { return Err(wrong()) };
    if value.is_null() {
        return Ok(Value::Null);
    }
    let changed = {
        let mut array = array(value)?;
        if array.dimensions.len() > 1 {
            let what = "removing elements from multidimensional arrays is not supported";
            return Err(Fail::error("0A000", what));
        }
        let before = array.items.len();
        let mut kept = Vec::with_capacity(before);
        for item in array.items {
            if !element.same(&item, wanted)? {
                kept.push(item);
            }
        }
        array.items = kept;
        if array.items.is_empty() {
            array.dimensions.clear();
        }
        for dimension in &mut array.dimensions {
            dimension.length = i32::try_from(array.items.len()).map_err(|_| Fail::Doubt)?;
        }
        array.flag = array.items.iter().any(Option::is_none);
        (array.items.len() < before).then(|| element.done(&array))
    };
    Ok(changed.unwrap_or_else(|| std::mem::replace(value, Value::Null)))
}

pub(super) fn replace<'v>(element: &Element, values: &mut [Value<'v>]) -> Evaluated<'v> {
    let [value, wanted, other] = values else { return Err(wrong()) };
    if value.is_null() {
        return Ok(Value::Null);
    }
    let changed = {
        let mut array = array(value)?;
        let mut changed = false;
        for item in &mut array.items {
            if element.same(item, wanted)? {
                *item = element.wire(other);
                changed = true;
            }
        }
        array.count_nulls();
        changed.then(|| element.done(&array))
    };
    Ok(changed.unwrap_or_else(|| std::mem::replace(value, Value::Null)))
}

/// True when some element equals this one, which is not NULL.
pub(super) fn holds(element: &Element, array: &Array<'_>, wanted: &Item<'_>) -> Result<bool, Fail> {
    if wanted.is_none() {
        return Ok(false);
    }
    let wanted = element.value(wanted)?;
    for item in &array.items {
        if element.same(item, &wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}
