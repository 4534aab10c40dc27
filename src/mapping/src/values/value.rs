//! Values while a row is evaluated, and their wire forms.

use std::borrow::Cow;

use regraft_core::Cell;
use regraft_core::row::{put_null, put_value};

use crate::values::interval::Interval;
use crate::values::numeric::Numeric;
use crate::values::types::Type;

/// A value. Its type is known from the expression: integers, dates and times are all `Int`, text,
/// json, jsonb (without version byte) and enum labels are all `Text`.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Numeric(Numeric),
    Interval(Interval),
    Text(Cow<'a, str>),
    /// The binary send format of a type that is only copied or compared for equality.
    Bytes(Cow<'a, [u8]>),
}

/// Why an expression has no value.
#[derive(Debug)]
pub(crate) enum Fail {
    /// It needs a value that the stream did not carry.
    Unchanged,
    /// PostgreSQL would take it, but what it would give is not certain here.
    Doubt,
    /// PostgreSQL would raise this error.
    Error { state: &'static str, what: Cow<'static, str> },
    /// A cell is not in the format of its type.
    Wire(&'static str),
}

impl Fail {
    pub(crate) fn error(state: &'static str, what: impl Into<Cow<'static, str>>) -> Self {
        Fail::Error { state, what: what.into() }
    }

    pub(crate) fn range(type_name: &str) -> Self {
        Fail::error("22003", format!("{type_name} out of range"))
    }

    pub(crate) fn syntax(type_name: &str) -> Self {
        Fail::error("22P02", format!("invalid input syntax for type {type_name}"))
    }

    pub(crate) fn division() -> Self {
        Fail::error("22012", "division by zero")
    }
}

pub(crate) type Evaluated<'a> = Result<Value<'a>, Fail>;

impl<'a> Value<'a> {
    /// The same value, borrowed.
    pub(crate) fn share(&'a self) -> Value<'a> {
        match self {
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            Value::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
            other => other.clone(),
        }
    }

    /// The same value, in memory of its own.
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Int(value) => Value::Int(value),
            Value::Float(value) => Value::Float(value),
            Value::Numeric(value) => Value::Numeric(value),
            Value::Interval(value) => Value::Interval(value),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Value::Text(text.into())
    }

    /// A value of a type, from a cell of the stream.
    pub(crate) fn decode(kind: Type, cell: Cell<'a>) -> Evaluated<'a> {
        match cell {
            Cell::Null => Ok(Value::Null),
            Cell::Unchanged => Err(Fail::Unchanged),
            Cell::Binary(bytes) => Self::from_binary(kind, bytes),
            Cell::Text(bytes) if kind.comes_as_text() => Self::from_binary(kind, bytes),
            Cell::Text(_) => Err(Fail::Wire("a value came in text format")),
        }
    }

    /// A value of a type, from its binary send format.
    pub(crate) fn from_binary(kind: Type, bytes: &'a [u8]) -> Evaluated<'a> {
        let wrong = Fail::Wire("a value has the wrong length for its type");
        let found = match kind {
            Type::Bool => match bytes {
                [value] => Some(Value::Bool(*value != 0)),
                _ => None,
            },
            Type::Int2 => bytes.try_into().ok().map(|b| Value::Int(i16::from_be_bytes(b).into())),
            Type::Int4 | Type::Date => {
                bytes.try_into().ok().map(|b| Value::Int(i32::from_be_bytes(b).into()))
            }
            Type::Int8 | Type::Time | Type::Timestamp | Type::Timestamptz => {
                bytes.try_into().ok().map(|b| Value::Int(i64::from_be_bytes(b)))
            }
            Type::Float4 => {
                bytes.try_into().ok().map(|b| Value::Float(f32::from_be_bytes(b).into()))
            }
            Type::Float8 => bytes.try_into().ok().map(|b| Value::Float(f64::from_be_bytes(b))),
            Type::Interval => Interval::from_binary(bytes).map(Value::Interval),
            Type::Numeric => Numeric::from_binary(bytes).map(Value::Numeric),
            Type::Text | Type::Varchar | Type::Bpchar | Type::Json | Type::Enum(_) => {
                return utf8(bytes);
            }
            Type::Jsonb => match bytes.split_first() {
                Some((1, text)) => return utf8(text),
                _ => return Err(Fail::Wire("a jsonb value has an unknown version")),
            },
            Type::Uuid => (bytes.len() == 16).then(|| Value::Bytes(Cow::Borrowed(bytes))),
            Type::Bytea | Type::Other(_) => Some(Value::Bytes(Cow::Borrowed(bytes))),
        };
        found.ok_or(wrong)
    }

    /// Appends the cell of a value of this type.
    pub(crate) fn encode(&self, kind: Type, out: &mut Vec<u8>) {
        match (self, kind) {
            (Value::Null, _) => put_null(out),
            (Value::Bool(value), _) => put_value(out, &[u8::from(*value)]),
            (Value::Int(value), Type::Int2) => put_value(out, &(*value as i16).to_be_bytes()),
            (Value::Int(value), Type::Int4 | Type::Date) => {
                put_value(out, &(*value as i32).to_be_bytes());
            }
            (Value::Int(value), _) => put_value(out, &value.to_be_bytes()),
            (Value::Float(value), Type::Float4) => put_value(out, &(*value as f32).to_be_bytes()),
            (Value::Float(value), _) => put_value(out, &value.to_be_bytes()),
            (Value::Numeric(value), _) => put_numeric(value, out),
            (Value::Interval(value), _) => put_value(out, &value.to_binary()),
            (Value::Text(text), Type::Jsonb) => {
                let length = text.len() as i32 + 1;
                out.extend_from_slice(&length.to_be_bytes());
                out.push(1);
                out.extend_from_slice(text.as_bytes());
            }
            (Value::Text(text), _) => put_value(out, text.as_bytes()),
            (Value::Bytes(bytes), _) => put_value(out, bytes),
        }
    }
}

fn put_numeric(value: &Numeric, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    value.write_binary(out);
    let length = (out.len() - start - 4) as i32;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

fn utf8(bytes: &[u8]) -> Evaluated<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Value::Text(Cow::Borrowed(text))),
        Err(_) => Err(Fail::Wire("a text is not UTF-8")),
    }
}
