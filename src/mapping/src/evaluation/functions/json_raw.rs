//! Operators and functions of the type json, whose values keep their text: a part of a document is
//! the very piece of it, with its white space, and of equal keys the last one counts.

use std::borrow::Cow;

use super::json::{elements, index_of};
use super::{Entry, entry};
use crate::values::jsonb::{code_unit, pair, string_end, unescape};
use crate::values::types::Type::{Int4, Json, Text};
use crate::values::value::{Evaluated, Fail, Value};

pub(crate) const ENTRIES: &[Entry] = &[
    entry("json_typeof", &[Json], Text, type_of),
    entry("json_array_length", &[Json], Int4, array_length),
];

/// Paths longer than this are left to PostgreSQL.
const STEPS_MAX: usize = 200;

fn wrong() -> Fail {
    Fail::Wire("a json operator got other types than it was compiled for")
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn after_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| is_space(*byte)) {
        at += 1;
    }
    at
}

/// End of the value that starts at `at`. The text is valid: the type json took it.
fn value_end(bytes: &[u8], at: usize) -> usize {
    let mut i = at;
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(i) {
        match byte {
            b'"' => {
                i = string_end(bytes, i);
                if depth == 0 {
                    return i;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                if depth == 0 {
                    return i;
                }
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            b',' if depth == 0 => return i,
            space if depth == 0 && is_space(*space) => return i,
            _ => {}
        }
        i += 1;
    }
    bytes.len()
}

/// A document without the white space around it.
pub(super) fn document(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// Members or elements of a value that has no white space around it.
pub(super) struct Parts<'a> {
    text: &'a str,
    at: usize,
}

pub(super) fn parts(text: &str) -> Parts<'_> {
    let container = text.starts_with(['{', '[']);
    Parts { text, at: if container { 1 } else { text.len() } }
}

impl<'a> Iterator for Parts<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let mut start = after_space(bytes, self.at);
        if bytes.get(start) == Some(&b',') {
            start = after_space(bytes, start + 1);
        }
        if start + 1 >= bytes.len() {
            return None;
        }
        let mut key = "";
        if bytes.first() == Some(&b'{') {
            let end = string_end(bytes, start);
            key = self.text.get(start + 1..end.saturating_sub(1))?;
            // Behind the colon.
            start = after_space(bytes, after_space(bytes, end) + 1);
        }
        let end = value_end(bytes, start);
        self.at = end;
        Some((key, self.text.get(start..end)?))
    }
}

/// PostgreSQL resolves the escapes of the whole document, and fails for those that have no
/// character: zero, and halves of pairs. Documents with such escapes are left to it.
pub(super) fn checked(text: &str) -> Result<(), Fail> {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        let Some(unit) = code_unit(text, at) else {
            at += 2;
            continue;
        };
        let paired = code_unit(text, at + 6).and_then(|low| pair(unit, low)).is_some();
        if unit == 0 || (!paired && char::from_u32(unit).is_none()) {
            return Err(Fail::Doubt);
        }
        at += if paired { 12 } else { 6 };
    }
    Ok(())
}

/// One step into a document.
#[derive(Clone, Copy)]
enum Step<'s> {
    Key(&'s str),
    Index(i64),
    /// A key of an object or an index of an array.
    Either(&'s str),
}

impl Step<'_> {
    fn index(self) -> Option<i64> {
        match self {
            Step::Key(_) => None,
            Step::Index(index) => Some(index),
            Step::Either(text) => index_of(text),
        }
    }
}

/// The last part that the whole path leads to: of equal keys, the last in which it does.
fn find<'t>(text: &'t str, steps: &[Step<'_>]) -> Option<&'t str> {
    let Some((step, rest)) = steps.split_first() else { return Some(text) };
    if text.starts_with('{') {
        let (Step::Key(wanted) | Step::Either(wanted)) = *step else { return None };
        let matching = parts(text).filter(|(key, _)| unescape(key) == wanted);
        return matching.filter_map(|(_, value)| find(value, rest)).last();
    }
    if !text.starts_with('[') {
        return None;
    }
    let index = step.index()?;
    let index = if index < 0 { index + i64::try_from(parts(text).count()).ok()? } else { index };
    find(parts(text).nth(usize::try_from(index).ok()?)?.1, rest)
}

fn part<'v>(text: Cow<'v, str>, steps: &[Step<'_>]) -> Result<Option<Cow<'v, str>>, Fail> {
    if steps.len() > STEPS_MAX {
        return Err(Fail::Doubt);
    }
    checked(&text)?;
    // What PostgreSQL does with the white space around a whole document depends on its kind.
    if steps.is_empty() && document(&text).len() != text.len() {
        return Err(Fail::Doubt);
    }
    // PostgreSQL counts from the end of the first array at that depth, on the path or not.
    if steps.iter().skip(1).any(|step| step.index().is_some_and(|index| index < 0)) {
        return Err(Fail::Doubt);
    }
    Ok(match text {
        Cow::Borrowed(text) => find(document(text), steps).map(Cow::Borrowed),
        Cow::Owned(text) => find(document(&text), steps).map(|part| Cow::Owned(part.to_owned())),
    })
}

fn picked<'v>(arguments: &mut [Value<'v>]) -> Result<Option<Cow<'v, str>>, Fail> {
    let (first, rest) = arguments.split_first_mut().ok_or_else(wrong)?;
    let Value::Text(text) = first else { return Err(wrong()) };
    let text = std::mem::take(text);
    match rest {
        [Value::Int(index)] => part(text, &[Step::Index(*index)]),
        [Value::Text(key)] => part(text, &[Step::Key(key)]),
        [Value::Bytes(path)] => {
            let path = elements(path).ok_or_else(wrong)?;
            match path.into_iter().collect::<Option<Vec<&str>>>() {
                Some(path) => part(text, &path.into_iter().map(Step::Either).collect::<Vec<_>>()),
                None => Ok(None),
            }
        }
        _ => Err(wrong()),
    }
}

fn json<'v>(found: Option<Cow<'v, str>>) -> Evaluated<'v> {
    Ok(found.map_or(Value::Null, Value::Text))
}

pub(super) fn text<'v>(found: Option<Cow<'v, str>>) -> Evaluated<'v> {
    let Some(found) = found else { return Ok(Value::Null) };
    if found.starts_with('n') {
        return Ok(Value::Null);
    }
    Ok(match found.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(content) => Value::text(unescape(content).into_owned()),
        None => Value::Text(found),
    })
}

/// `json -> text`, `json -> integer` and `json #> text[]`
pub(crate) fn pick<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    json(picked(arguments)?)
}

/// `json ->> text`, `json ->> integer` and `json #>> text[]`
pub(crate) fn pick_text<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    text(picked(arguments)?)
}

fn extracted<'v>(arguments: &mut [Value<'v>]) -> Result<Option<Cow<'v, str>>, Fail> {
    let (first, rest) = arguments.split_first_mut().ok_or_else(wrong)?;
    let Value::Text(text) = first else { return Err(wrong()) };
    let mut steps = Vec::with_capacity(rest.len());
    for step in rest.iter() {
        let Value::Text(step) = step else { return Err(wrong()) };
        steps.push(Step::Either(step));
    }
    part(std::mem::take(text), &steps)
}

/// `json_extract_path`
pub(crate) fn extract<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    json(extracted(arguments)?)
}

/// `json_extract_path_text`
pub(crate) fn extract_text<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    text(extracted(arguments)?)
}

fn type_of<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text)] = arguments else { return Err(wrong()) };
    Ok(Value::text(match document(text).as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }))
}

fn array_length<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text)] = arguments else { return Err(wrong()) };
    let text = document(text);
    if text.starts_with('[') {
        return Ok(Value::Int(i64::try_from(parts(text).count()).unwrap_or(i64::MAX)));
    }
    Err(Fail::error("22023", "cannot get array length of what is no array"))
}
