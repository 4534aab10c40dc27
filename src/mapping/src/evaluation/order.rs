//! How two values of one type are ordered, or told to be equal.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use crate::values::array::Array;
use crate::values::jsonb;
use crate::values::types::Type;
use crate::values::value::{Evaluated, Fail, Value};

/// What a comparison asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Less,
    LessEqual,
    Equal,
    NotEqual,
    GreaterEqual,
    Greater,
}

impl Compare {
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Compare::Less => order.is_lt(),
            Compare::LessEqual => order.is_le(),
            Compare::Equal => order.is_eq(),
            Compare::NotEqual => order.is_ne(),
            Compare::GreaterEqual => order.is_ge(),
            Compare::Greater => order.is_gt(),
        }
    }
}

/// How two values of one type are ordered.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// By the value itself; text by bytes.
    Plain,
    /// As `character`: trailing blanks do not count.
    Blank,
    /// By the place of the label.
    Labels(Arc<[String]>),
    /// jsonb, for equality only.
    Json,
    /// Arrays, for equality only.
    Array(Arc<Element>),
}

/// The elements of an array, and how they are compared.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) kind: Type,
    pub(crate) order: Order,
}

/// One of them as it is sent; `None` for NULL.
pub(crate) type Item<'a> = Option<Cow<'a, [u8]>>;

impl Element {
    pub(crate) fn wire(&self, value: &Value<'_>) -> Item<'static> {
        if value.is_null() {
            return None;
        }
        let mut cell = Vec::new();
        value.encode(self.kind, &mut cell);
        Some(Cow::Owned(cell.split_off(4.min(cell.len()))))
    }

    pub(crate) fn value<'a>(&self, item: &'a Item<'_>) -> Evaluated<'a> {
        match item {
            None => Ok(Value::Null),
            Some(bytes) => Value::from_binary(self.kind, bytes),
        }
    }

    pub(crate) fn done<'v>(&self, array: &Array<'_>) -> Value<'v> {
        Value::Bytes(Cow::Owned(array.encode(self.kind.oid())))
    }

    /// True when both are NULL, or equal.
    pub(crate) fn same(&self, item: &Item<'_>, wanted: &Value<'_>) -> Result<bool, Fail> {
        match (item, wanted) {
            (None, Value::Null) => Ok(true),
            (None, _) | (_, Value::Null) => Ok(false),
            _ => Ok(compare(&self.order, &self.value(item)?, wanted)?.is_eq()),
        }
    }
}

/// Order of two values of one type that are not NULL.
pub(crate) fn compare(
    order: &Order,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Result<Ordering, Fail> {
    Ok(match (left, right) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => match (a.is_nan(), b.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        },
        (Value::Numeric(a), Value::Numeric(b)) => a.compare(b),
        (Value::Interval(a), Value::Interval(b)) => a.compare(*b),
        (Value::Bytes(a), Value::Bytes(b)) => match order {
            Order::Array(element) if equal(element, a, b)? => Ordering::Equal,
            Order::Array(_) => Ordering::Less,
            _ => a.cmp(b),
        },
        (Value::Text(a), Value::Text(b)) => match order {
            Order::Plain | Order::Array(_) => a.as_bytes().cmp(b.as_bytes()),
            Order::Blank => {
                a.trim_end_matches(' ').as_bytes().cmp(b.trim_end_matches(' ').as_bytes())
            }
            Order::Labels(labels) => {
                let place = |text: &str| labels.iter().position(|label| label == text);
                match (place(a), place(b)) {
                    (Some(a), Some(b)) => a.cmp(&b),
                    _ if a == b => Ordering::Equal,
                    // A label that was added after the mapping was compiled.
                    _ => return Err(Fail::Doubt),
                }
            }
            Order::Json => jsonb::equality(a, b),
        },
        _ => return Err(Fail::Wire("two values of different types are compared")),
    })
}

/// Equality of two arrays: bounds and elements.
fn equal(element: &Element, a: &[u8], b: &[u8]) -> Result<bool, Fail> {
    let (a, b) = (Array::decode(a)?, Array::decode(b)?);
    if a.dimensions != b.dimensions {
        return Ok(false);
    }
    for (left, right) in a.items.iter().zip(&b.items) {
        let right = element.value(right)?;
        if !element.same(left, &right)? {
            return Ok(false);
        }
    }
    Ok(true)
}
