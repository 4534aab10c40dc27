//! Functions of bytea.

use std::borrow::Cow;

use sha2::Digest as _;

use super::digest::md5;
use super::encoding::Form;
use super::{Entry, entry};
use crate::values::types::Type::{Bytea, Int4, Text};
use crate::values::value::{Evaluated, Fail, Value};

pub(crate) const ENTRIES: &[Entry] = &[
    entry("bit_length", &[Bytea], Int4, |a| Ok(count(one(a)?.len() * 8))),
    entry("md5", &[Bytea], Text, |a| Ok(Value::text(md5(one(a)?)))),
    entry("sha224", &[Bytea], Bytea, |a| Ok(bytes(sha2::Sha224::digest(one(a)?).to_vec()))),
    entry("sha256", &[Bytea], Bytea, |a| Ok(bytes(sha2::Sha256::digest(one(a)?).to_vec()))),
    entry("sha384", &[Bytea], Bytea, |a| Ok(bytes(sha2::Sha384::digest(one(a)?).to_vec()))),
    entry("sha512", &[Bytea], Bytea, |a| Ok(bytes(sha2::Sha512::digest(one(a)?).to_vec()))),
    entry("encode", &[Bytea, Text], Text, encode),
    entry("decode", &[Text, Text], Bytea, decode),
    entry("get_byte", &[Bytea, Int4], Int4, get_byte),
    entry("set_byte", &[Bytea, Int4, Int4], Bytea, set_byte),
    entry("substring", &[Bytea, Int4], Bytea, substring),
    entry("substring", &[Bytea, Int4, Int4], Bytea, substring),
    entry("substr", &[Bytea, Int4], Bytea, substring),
    entry("substr", &[Bytea, Int4, Int4], Bytea, substring),
    entry("overlay", &[Bytea, Bytea, Int4], Bytea, overlay),
    entry("overlay", &[Bytea, Bytea, Int4, Int4], Bytea, overlay),
    entry("position", &[Bytea, Bytea], Int4, position),
    entry("btrim", &[Bytea, Bytea], Bytea, |a| trim(a, true, true)),
    entry("ltrim", &[Bytea, Bytea], Bytea, |a| trim(a, true, false)),
    entry("rtrim", &[Bytea, Bytea], Bytea, |a| trim(a, false, true)),
];

fn wrong() -> Fail {
    Fail::Wire("a bytea function got other types than it was compiled for")
}

fn one<'a>(arguments: &'a [Value<'_>]) -> Result<&'a [u8], Fail> {
    match arguments {
        [Value::Bytes(bytes)] => Ok(bytes),
        _ => Err(wrong()),
    }
}

fn count<'v>(number: usize) -> Value<'v> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn bytes<'v>(bytes: Vec<u8>) -> Value<'v> {
    Value::Bytes(Cow::Owned(bytes))
}

/// A part, without copying when the bytes are borrowed.
fn part<'v>(bytes: Cow<'v, [u8]>, start: usize, end: usize) -> Value<'v> {
    Value::Bytes(match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(start..end).unwrap_or_default()),
        Cow::Owned(bytes) => Cow::Owned(bytes.get(start..end).unwrap_or_default().to_vec()),
    })
}

/// `bytea || bytea`
pub(crate) fn concatenate<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Bytes(a), Value::Bytes(b)] => Ok(bytes([a.as_ref(), b.as_ref()].concat())),
        _ => Err(wrong()),
    }
}

fn encode<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Bytes(bytes), Value::Text(form)] => {
            Ok(Value::text(Form::named(form)?.encode(bytes)))
        }
        _ => Err(wrong()),
    }
}

fn decode<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Text(text), Value::Text(form)] => Form::named(form)?.decode(text).map(bytes),
        _ => Err(wrong()),
    }
}

fn index_of(bytes: &[u8], index: i64) -> Result<usize, Fail> {
    let index = usize::try_from(index).ok().filter(|index| *index < bytes.len());
    index.ok_or_else(|| Fail::error("2202E", "index out of valid range"))
}

fn get_byte<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Bytes(bytes), Value::Int(index)] => {
            let byte = bytes.get(index_of(bytes, *index)?).ok_or_else(wrong)?;
            Ok(Value::Int((*byte).into()))
        }
        _ => Err(wrong()),
    }
}

fn set_byte<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Bytes(found), Value::Int(index), Value::Int(byte)] = arguments else {
        return Err(wrong());
    };
    let index = index_of(found, *index)?;
    let mut changed = found.to_vec();
    if let Some(place) = changed.get_mut(index) {
        // As C cuts it.
        *place = *byte as u8;
    }
    Ok(bytes(changed))
}

/// Where positions that count from 1 and may lie outside begin and end.
fn bounds(length: usize, start: i64, count: Option<i64>) -> (usize, usize) {
    let clamp = |at: i64| usize::try_from(at.max(0)).unwrap_or(usize::MAX).min(length);
    let from = clamp(start - 1);
    (from, count.map_or(length, |count| clamp(start - 1 + count)).max(from))
}

fn substring<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let (found, start, number) = match arguments {
        [Value::Bytes(found), Value::Int(start)] => (found, *start, None),
        [Value::Bytes(found), Value::Int(start), Value::Int(number)] => {
            (found, *start, Some(*number))
        }
        _ => return Err(wrong()),
    };
    if number.is_some_and(|number| number < 0) {
        return Err(Fail::error("22011", "negative substring length not allowed"));
    }
    let (from, to) = bounds(found.len(), start, number);
    Ok(part(std::mem::take(found), from, to))
}

/// What is replaced in `overlay`: the end of what stays before it and the start of what stays
/// behind it, both as positions from 1.
pub(crate) fn overlaid(start: i64, count: i64) -> Result<(i64, i64), Fail> {
    if start <= 0 {
        return Err(Fail::error("22011", "negative substring length not allowed"));
    }
    let behind = i32::try_from(start + count).map_err(|_| Fail::range("integer"))?;
    Ok((start - 1, behind.into()))
}

fn overlay<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let (found, new, start, count) = match arguments {
        [Value::Bytes(found), Value::Bytes(new), Value::Int(start)] => {
            (found, &*new, *start, i64::try_from(new.len()).unwrap_or(i64::MAX))
        }
        [Value::Bytes(found), Value::Bytes(new), Value::Int(start), Value::Int(count)] => {
            (found, &*new, *start, *count)
        }
        _ => return Err(wrong()),
    };
    let (before, behind) = overlaid(start, count)?;
    let (_, end) = bounds(found.len(), 1, Some(before));
    let (rest, _) = bounds(found.len(), behind, None);
    let first = found.get(..end).unwrap_or_default();
    let last = found.get(rest..).unwrap_or_default();
    Ok(bytes([first, new.as_ref(), last].concat()))
}

fn position<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Bytes(found), Value::Bytes(needle)] = arguments else { return Err(wrong()) };
    if needle.is_empty() {
        return Ok(Value::Int(1));
    }
    let at = found.windows(needle.len()).position(|window| window == needle.as_ref());
    Ok(count(at.map_or(0, |at| at + 1)))
}

fn trim<'v>(arguments: &mut [Value<'v>], start: bool, end: bool) -> Evaluated<'v> {
    let [Value::Bytes(found), Value::Bytes(set)] = arguments else { return Err(wrong()) };
    let outside = |byte: &u8| !set.contains(byte);
    let from = if start { found.iter().position(outside).unwrap_or(found.len()) } else { 0 };
    let to = if end { found.iter().rposition(outside).map_or(0, |at| at + 1) } else { found.len() };
    Ok(part(std::mem::take(found), from, to.max(from)))
}
