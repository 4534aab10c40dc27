//! jsonb operators and functions.

use std::borrow::Cow;

use super::{Entry, entry};
use crate::values::jsonb::{Kind, as_text, kind, parts, string_content, unescape};
use crate::values::types::Type;
use crate::values::value::{Evaluated, Fail, Value};

pub(crate) const ENTRIES: &[Entry] = &[
    entry("jsonb_typeof", &[Type::Jsonb], Type::Text, type_of),
    entry("jsonb_array_length", &[Type::Jsonb], Type::Int4, array_length),
];

fn wrong() -> Fail {
    Fail::Wire("a jsonb operator got other types than it was compiled for")
}

/// Cuts a part out of a document, without copying when the document is borrowed.
fn pick<'v>(
    document: Cow<'v, str>,
    find: impl for<'t> Fn(&'t str) -> Option<&'t str>,
) -> Option<Cow<'v, str>> {
    match document {
        Cow::Borrowed(text) => find(text).map(Cow::Borrowed),
        Cow::Owned(text) => find(&text).map(|part| Cow::Owned(part.to_owned())),
    }
}

fn member<'t>(document: &'t str, key: &str) -> Option<&'t str> {
    if kind(document) != Kind::Object {
        return None;
    }
    parts(document).find(|(own, _)| *own == key || unescape(own) == key).map(|(_, value)| value)
}

fn item(document: &str, index: i64) -> Option<&str> {
    match kind(document) {
        Kind::Object => None,
        Kind::Array => {
            let index = if index < 0 {
                i64::try_from(parts(document).count()).ok()? + index
            } else {
                index
            };
            usize::try_from(index).ok().and_then(|i| parts(document).nth(i)).map(|(_, value)| value)
        }
        // A scalar document is an array of one to PostgreSQL.
        _ => matches!(index, 0 | -1).then_some(document),
    }
}

fn json<'v>(found: Option<Cow<'v, str>>) -> Evaluated<'v> {
    Ok(found.map_or(Value::Null, Value::Text))
}

fn text<'v>(found: Option<Cow<'v, str>>) -> Evaluated<'v> {
    Ok(match found {
        None => Value::Null,
        Some(Cow::Borrowed(part)) => as_text(part).map_or(Value::Null, Value::Text),
        Some(Cow::Owned(part)) => {
            as_text(&part).map_or(Value::Null, |text| Value::text(text.into_owned()))
        }
    })
}

fn by_key<'v>(arguments: &mut [Value<'v>]) -> Result<Option<Cow<'v, str>>, Fail> {
    match arguments {
        [Value::Text(document), Value::Text(key)] => {
            Ok(pick(std::mem::take(document), |text| member(text, key)))
        }
        _ => Err(wrong()),
    }
}

fn by_index<'v>(arguments: &mut [Value<'v>]) -> Result<Option<Cow<'v, str>>, Fail> {
    match arguments {
        [Value::Text(document), Value::Int(index)] => {
            let index = *index;
            Ok(pick(std::mem::take(document), |text| item(text, index)))
        }
        _ => Err(wrong()),
    }
}

/// `jsonb -> text`
pub(crate) fn field<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    json(by_key(arguments)?)
}

/// `jsonb ->> text`
pub(crate) fn field_text<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    text(by_key(arguments)?)
}

/// `jsonb -> integer`
pub(crate) fn element<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    json(by_index(arguments)?)
}

/// `jsonb ->> integer`
pub(crate) fn element_text<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    text(by_index(arguments)?)
}

/// As `strtol` over the whole text, within an `int`.
pub(crate) fn index_of(text: &str) -> Option<i64> {
    let trimmed = text.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    trimmed.parse::<i32>().ok().map(i64::from)
}

fn by_path<'v>(arguments: &mut [Value<'v>]) -> Result<Option<Cow<'v, str>>, Fail> {
    let [Value::Text(document), Value::Bytes(path)] = arguments else { return Err(wrong()) };
    let steps = elements(path).ok_or_else(wrong)?;
    Ok(pick(std::mem::take(document), |text| follow(text, &steps)))
}

/// The part that a path leads to.
fn follow<'t>(document: &'t str, steps: &[Option<&str>]) -> Option<&'t str> {
    let mut found = document;
    for step in steps {
        let step = (*step)?;
        found = match kind(found) {
            Kind::Object => member(found, step)?,
            Kind::Array => item(found, index_of(step)?)?,
            _ => return None,
        };
    }
    Some(found)
}

fn extracted<'v>(arguments: &mut [Value<'v>]) -> Result<Option<Cow<'v, str>>, Fail> {
    let (first, rest) = arguments.split_first_mut().ok_or_else(wrong)?;
    let Value::Text(document) = first else { return Err(wrong()) };
    let mut steps = Vec::with_capacity(rest.len());
    for step in rest.iter() {
        let Value::Text(step) = step else { return Err(wrong()) };
        steps.push(Some(step.as_ref()));
    }
    Ok(pick(std::mem::take(document), |text| follow(text, &steps)))
}

/// `jsonb_extract_path`
pub(crate) fn extract<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    json(extracted(arguments)?)
}

/// `jsonb_extract_path_text`
pub(crate) fn extract_text<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    text(extracted(arguments)?)
}

/// `jsonb #> text[]`
pub(crate) fn path<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    json(by_path(arguments)?)
}

/// `jsonb #>> text[]`
pub(crate) fn path_text<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    text(by_path(arguments)?)
}

fn has(document: &str, key: &str) -> bool {
    match kind(document) {
        Kind::Object => member(document, key).is_some(),
        Kind::Array => parts(document)
            .any(|(_, value)| kind(value) == Kind::String && string_content(value) == key),
        Kind::String => string_content(document) == key,
        _ => false,
    }
}

/// `jsonb ? text`
pub(crate) fn exists<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Text(document), Value::Text(key)] => Ok(Value::Bool(has(document, key))),
        _ => Err(wrong()),
    }
}

/// `jsonb ?| text[]`
pub(crate) fn exists_any<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(document), Value::Bytes(keys)] = arguments else { return Err(wrong()) };
    let keys = elements(keys).ok_or_else(wrong)?;
    Ok(Value::Bool(keys.iter().flatten().any(|key| has(document, key))))
}

/// `jsonb ?& text[]`
pub(crate) fn exists_all<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(document), Value::Bytes(keys)] = arguments else { return Err(wrong()) };
    let keys = elements(keys).ok_or_else(wrong)?;
    Ok(Value::Bool(keys.iter().flatten().all(|key| has(document, key))))
}

fn type_of<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(document)] = arguments else { return Err(wrong()) };
    Ok(Value::text(match kind(document) {
        Kind::Object => "object",
        Kind::Array => "array",
        Kind::String => "string",
        Kind::Number => "number",
        Kind::Bool => "boolean",
        Kind::Null => "null",
    }))
}

fn array_length<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(document)] = arguments else { return Err(wrong()) };
    match kind(document) {
        Kind::Array => Ok(Value::Int(i64::try_from(parts(document).count()).unwrap_or(i64::MAX))),
        Kind::Object => Err(Fail::error("22023", "cannot get array length of a non-array")),
        _ => Err(Fail::error("22023", "cannot get array length of a scalar")),
    }
}

/// The elements of a one-dimensional text array in its binary form.
pub(crate) fn elements(bytes: &[u8]) -> Option<Vec<Option<&str>>> {
    let mut found = Vec::new();
    for element in super::set::Elements::new(bytes)? {
        found.push(match element? {
            None => None,
            Some(text) => Some(std::str::from_utf8(text).ok()?),
        });
    }
    Some(found)
}

/// The binary form of a text array written as `{a,"b c"}`; `None` for forms that need more care.
pub(crate) fn text_array(literal: &str) -> Option<Vec<u8>> {
    let inner = literal.strip_prefix('{')?.strip_suffix('}')?;
    let mut items: Vec<String> = Vec::new();
    let mut rest = inner;
    while !rest.is_empty() {
        let after;
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find(['"', '\\'])?;
            if quoted.as_bytes().get(end) == Some(&b'\\') {
                return None;
            }
            items.push(quoted[..end].to_owned());
            after = &quoted[end + 1..];
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let item = &rest[..end];
            let plain = !item.is_empty()
                && !item.eq_ignore_ascii_case("null")
                && !item.contains(|c: char| {
                    "{}\"\\".contains(c) || c.is_ascii_whitespace() || c == '\u{b}'
                });
            if !plain {
                return None;
            }
            items.push(item.to_owned());
            after = &rest[end..];
        }
        rest = match after.strip_prefix(',') {
            Some("") => return None,
            Some(more) => more,
            None if after.is_empty() => after,
            None => return None,
        };
    }
    let mut out = Vec::new();
    let dimensions = i32::from(!items.is_empty());
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&25_u32.to_be_bytes());
    if dimensions == 1 {
        out.extend_from_slice(&i32::try_from(items.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
    }
    for item in items {
        out.extend_from_slice(&i32::try_from(item.len()).ok()?.to_be_bytes());
        out.extend_from_slice(item.as_bytes());
    }
    Some(out)
}
