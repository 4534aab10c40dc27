//! jsonb made from values of other types.

use std::borrow::Cow;

use crate::values::jsonb::{Kind, kind, unescape, write_string};
use crate::values::numeric::Numeric;
use crate::values::value::{Evaluated, Fail, Value};

fn wrong() -> Fail {
    Fail::Wire("a jsonb function got other types than it was compiled for")
}

/// A document that is written part by part, in canonical form.
pub(super) struct Writer {
    out: String,
    close: char,
}

impl Writer {
    pub(super) fn new(object: bool, capacity: usize) -> Self {
        let mut out = String::with_capacity(capacity + 2);
        out.push(if object { '{' } else { '[' });
        Self { out, close: if object { '}' } else { ']' } }
    }

    pub(super) fn like(text: &str) -> Self {
        Self::new(kind(text) == Kind::Object, text.len())
    }

    /// A value with its key as it is written, without quotes. Arrays have no keys.
    pub(super) fn put(&mut self, key: &str, value: &str) {
        if self.out.len() > 1 {
            self.out.push_str(", ");
        }
        if self.close == '}' {
            self.out.push('"');
            self.out.push_str(key);
            self.out.push_str("\": ");
        }
        self.out.push_str(value);
    }

    pub(super) fn finish(mut self) -> String {
        self.out.push(self.close);
        self.out
    }
}

/// A key with its escapes, without quotes.
pub(super) fn raw_key(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 2);
    write_string(key, &mut out);
    out.get(1..out.len() - 1).unwrap_or_default().to_owned()
}

/// An object of members in any order; of equal keys the last one counts.
pub(super) fn object(members: Vec<(Cow<'_, str>, &str)>) -> String {
    let mut members: Vec<_> =
        members.into_iter().map(|(key, value)| (unescape(&key).into_owned(), key, value)).collect();
    members.sort_by(|a, b| a.0.len().cmp(&b.0.len()).then_with(|| a.0.cmp(&b.0)));
    let mut writer = Writer::new(true, members.iter().map(|m| m.1.len() + m.2.len() + 6).sum());
    let mut rest = members.iter().peekable();
    while let Some(member) = rest.next() {
        if rest.peek().is_none_or(|next| next.0 != member.0) {
            writer.put(&member.1, member.2);
        }
    }
    writer.finish()
}

/// The printed form of a number as jsonb: what is no number in JSON is a string.
pub(crate) fn from_number<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text)] = arguments else { return Err(wrong()) };
    if text.contains(['N', 'n']) {
        return from_string(arguments);
    }
    let number = Numeric::parse(text).map_err(|_| Fail::Doubt)?;
    Ok(Value::text(number.to_string()))
}

/// A text as a string of jsonb.
pub(crate) fn from_string<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text)] = arguments else { return Err(wrong()) };
    let mut out = String::with_capacity(text.len() + 2);
    write_string(text, &mut out);
    Ok(Value::text(out))
}

/// The printed form of a date or time as jsonb: a `T` before the time, and minutes in the offset.
pub(crate) fn from_moment<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text)] = arguments else { return Err(wrong()) };
    let (moment, era) = match text.strip_suffix(" BC") {
        Some(moment) => (moment, " BC"),
        None => (text.as_ref(), ""),
    };
    let (moment, minutes) = (moment.replacen(' ', "T", 1), moment.ends_with("+00"));
    Ok(Value::text(format!("\"{moment}{}{era}\"", if minutes { ":00" } else { "" })))
}

fn part_of<'a>(value: &'a Value<'_>) -> Result<&'a str, Fail> {
    match value {
        Value::Null => Ok("null"),
        Value::Text(text) => Ok(text),
        _ => Err(wrong()),
    }
}

/// `jsonb_build_array`, over documents.
pub(crate) fn build_array<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let mut writer = Writer::new(false, 0);
    for value in arguments.iter() {
        writer.put("", part_of(value)?);
    }
    Ok(Value::text(writer.finish()))
}

/// `jsonb_build_object`, over texts and documents in turn.
pub(crate) fn build_object<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let mut members = Vec::with_capacity(arguments.len() / 2);
    for pair in arguments.chunks_exact(2) {
        match pair {
            [Value::Text(key), value] => {
                members.push((Cow::Owned(raw_key(key)), part_of(value)?));
            }
            [Value::Null, _] => return Err(Fail::error("22023", "a key must not be null")),
            _ => return Err(wrong()),
        }
    }
    Ok(Value::text(object(members)))
}
