//! Text functions. Positions and lengths count characters.

use std::borrow::Cow;

use super::bytes::overlaid;
use super::digest::md5;
use super::{Entry, REFUSED, entry};
use crate::values::types::Type::{Bool, Bpchar, Bytea, Int4, Text};
use crate::values::value::{Evaluated, Fail, Value};

pub(crate) const ENTRIES: &[Entry] = &[
    entry("length", &[Text], Int4, |a| Ok(count(one(a)?.chars().count()))),
    entry("length", &[Bpchar], Int4, |a| Ok(count(unpadded(one(a)?).chars().count()))),
    entry("length", &[Bytea], Int4, byte_count),
    entry("char_length", &[Text], Int4, |a| Ok(count(one(a)?.chars().count()))),
    entry("char_length", &[Bpchar], Int4, |a| Ok(count(unpadded(one(a)?).chars().count()))),
    entry("character_length", &[Text], Int4, |a| Ok(count(one(a)?.chars().count()))),
    entry("character_length", &[Bpchar], Int4, |a| Ok(count(unpadded(one(a)?).chars().count()))),
    entry("octet_length", &[Text], Int4, |a| Ok(count(one(a)?.len()))),
    entry("octet_length", &[Bpchar], Int4, |a| Ok(count(one(a)?.len()))),
    entry("octet_length", &[Bytea], Int4, byte_count),
    entry("lower", &[Text], Text, |a| Ok(Value::text(one(a)?.to_ascii_lowercase()))).by_locale(),
    entry("upper", &[Text], Text, |a| Ok(Value::text(one(a)?.to_ascii_uppercase()))).by_locale(),
    entry("btrim", &[Text], Text, |a| trim(a, true, true)),
    entry("btrim", &[Text, Text], Text, |a| trim(a, true, true)),
    entry("ltrim", &[Text], Text, |a| trim(a, true, false)),
    entry("ltrim", &[Text, Text], Text, |a| trim(a, true, false)),
    entry("rtrim", &[Text], Text, |a| trim(a, false, true)),
    entry("rtrim", &[Text, Text], Text, |a| trim(a, false, true)),
    entry("substring", &[Text, Int4], Text, substring),
    entry("substring", &[Text, Int4, Int4], Text, substring),
    entry("substr", &[Text, Int4], Text, substring),
    entry("substr", &[Text, Int4, Int4], Text, substring),
    entry("left", &[Text, Int4], Text, |a| side(a, true)),
    entry("right", &[Text, Int4], Text, |a| side(a, false)),
    entry("replace", &[Text, Text, Text], Text, replace),
    entry("split_part", &[Text, Text, Int4], Text, split_part),
    entry("strpos", &[Text, Text], Int4, position),
    entry("repeat", &[Text, Int4], Text, repeat),
    entry("reverse", &[Text], Text, |a| Ok(Value::text(one(a)?.chars().rev().collect::<String>()))),
    entry("md5", &[Text], Text, |a| Ok(Value::text(md5(one(a)?.as_bytes())))),
    entry("starts_with", &[Text, Text], Bool, starts_with),
    entry("lpad", &[Text, Int4], Text, |a| pad(a, true)),
    entry("lpad", &[Text, Int4, Text], Text, |a| pad(a, true)),
    entry("rpad", &[Text, Int4], Text, |a| pad(a, false)),
    entry("rpad", &[Text, Int4, Text], Text, |a| pad(a, false)),
    // By a regular expression.
    entry("substring", &[Text, Text], REFUSED, |_| Err(Fail::Doubt)),
    entry("substring", &[Text, Text, Text], REFUSED, |_| Err(Fail::Doubt)),
    entry("position", &[Text, Text], Int4, position),
    entry("bit_length", &[Text], Int4, |a| Ok(count(one(a)?.len() * 8))),
    entry("overlay", &[Text, Text, Int4], Text, overlay),
    entry("overlay", &[Text, Text, Int4, Int4], Text, overlay),
    entry("translate", &[Text, Text, Text], Text, translate),
    entry("initcap", &[Text], Text, initcap).by_locale(),
    entry("ascii", &[Text], Int4, |a| {
        Ok(Value::Int(one(a)?.chars().next().map_or(0, u32::from).into()))
    }),
    entry("chr", &[Int4], Text, chr),
];

/// Results above this size are left to PostgreSQL and its own limits.
const SIZE_MAX: usize = 64 << 20;

fn wrong() -> Fail {
    Fail::Wire("a text function got other types than it was compiled for")
}

fn one<'a>(arguments: &'a [Value<'_>]) -> Result<&'a str, Fail> {
    match arguments {
        [Value::Text(text)] => Ok(text),
        _ => Err(wrong()),
    }
}

fn unpadded(text: &str) -> &str {
    text.trim_end_matches(' ')
}

fn count<'v>(number: usize) -> Value<'v> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn byte_count<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Bytes(bytes)] => Ok(count(bytes.len())),
        _ => Err(wrong()),
    }
}

/// A part of a text, without copying when the text is borrowed.
fn part<'v>(text: Cow<'v, str>, range: impl FnOnce(&str) -> (usize, usize)) -> Value<'v> {
    let (start, end) = range(&text);
    Value::Text(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(start..end).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(start..end).unwrap_or_default().to_owned()),
    })
}

/// `text || text`
pub(crate) fn concatenate<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Text(a), Value::Text(b)] => {
            let mut text = String::with_capacity(a.len() + b.len());
            text.push_str(a);
            text.push_str(b);
            Ok(Value::text(text))
        }
        _ => Err(wrong()),
    }
}

/// A boolean as its type prints it.
pub(crate) fn print_bool<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Bool(value)] => Ok(Value::text(if *value { "t" } else { "f" })),
        _ => Err(wrong()),
    }
}

pub(crate) fn concat<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    join(arguments, "")
}

pub(crate) fn concat_ws<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments.split_first() {
        Some((Value::Text(separator), list)) => join(list, separator),
        Some((Value::Null, _)) => Ok(Value::Null),
        _ => Err(wrong()),
    }
}

fn join<'v>(list: &[Value<'_>], separator: &str) -> Evaluated<'v> {
    let mut text = String::new();
    let mut first = true;
    for item in list {
        match item {
            Value::Null => {}
            Value::Text(item) => {
                if !first {
                    text.push_str(separator);
                }
                first = false;
                text.push_str(item);
            }
            _ => return Err(wrong()),
        }
    }
    Ok(Value::text(text))
}

fn trim<'v>(arguments: &mut [Value<'v>], start: bool, end: bool) -> Evaluated<'v> {
    let (text, set) = match arguments {
        [Value::Text(text)] => (std::mem::take(text), Cow::Borrowed(" ")),
        [Value::Text(text), Value::Text(set)] => (std::mem::take(text), std::mem::take(set)),
        _ => return Err(wrong()),
    };
    let inside = |c: char| set.contains(c);
    Ok(part(text, |text| {
        let cut = if start { text.trim_start_matches(inside) } else { text };
        let from = text.len() - cut.len();
        let cut = if end { cut.trim_end_matches(inside) } else { cut };
        (from, from + cut.len())
    }))
}

/// Byte offset of character `index`, or the end.
fn offset(text: &str, index: i64) -> usize {
    let Ok(index) = usize::try_from(index) else { return 0 };
    if text.is_ascii() {
        return index.min(text.len());
    }
    text.char_indices().nth(index).map_or(text.len(), |(at, _)| at)
}

fn substring<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let (text, start, length) = match arguments {
        [Value::Text(text), Value::Int(start)] => (std::mem::take(text), *start, None),
        [Value::Text(text), Value::Int(start), Value::Int(length)] => {
            (std::mem::take(text), *start, Some(*length))
        }
        _ => return Err(wrong()),
    };
    if length.is_some_and(|length| length < 0) {
        return Err(Fail::error("22011", "negative substring length not allowed"));
    }
    // Positions count from 1 and may lie before the text.
    let from = (start - 1).max(0);
    let to = length.map_or(i64::MAX, |length| (start - 1 + length).max(from));
    Ok(part(text, |text| {
        let begin = offset(text, from);
        (begin, begin + offset(&text[begin..], to - from))
    }))
}

fn side<'v>(arguments: &mut [Value<'v>], left: bool) -> Evaluated<'v> {
    let [Value::Text(text), Value::Int(number)] = arguments else { return Err(wrong()) };
    let number = *number;
    if !left && number == i64::from(i32::MIN) {
        // PostgreSQL negates it, which overflows.
        return Err(Fail::Doubt);
    }
    Ok(part(std::mem::take(text), |text| {
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        // A negative number counts the characters left out at the other side.
        let kept = if number < 0 { (length + number).max(0) } else { number.min(length) };
        if left { (0, offset(text, kept)) } else { (offset(text, length - kept), text.len()) }
    }))
}

fn replace<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text), Value::Text(from), Value::Text(to)] = arguments else {
        return Err(wrong());
    };
    if from.is_empty() || !text.contains(from.as_ref()) {
        return Ok(Value::Text(std::mem::take(text)));
    }
    let found = text.matches(from.as_ref()).count();
    if text.len() + found.saturating_mul(to.len()) > SIZE_MAX {
        return Err(Fail::Doubt);
    }
    Ok(Value::text(text.replace(from.as_ref(), to)))
}

fn split_part<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text), Value::Text(separator), Value::Int(number)] = arguments else {
        return Err(wrong());
    };
    if *number == 0 {
        return Err(Fail::error("22023", "field position must not be zero"));
    }
    let separator = std::mem::take(separator);
    let number = *number;
    Ok(part(std::mem::take(text), |text| {
        if separator.is_empty() {
            return if matches!(number, 1 | -1) { (0, text.len()) } else { (0, 0) };
        }
        let index = usize::try_from(number.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let found = if number > 0 {
            text.split(separator.as_ref()).nth(index)
        } else {
            let fields: Vec<&str> = text.split(separator.as_ref()).collect();
            fields.len().checked_sub(index + 1).and_then(|i| fields.get(i)).copied()
        };
        found.map_or((0, 0), |field| {
            let start = field.as_ptr() as usize - text.as_ptr() as usize;
            (start, start + field.len())
        })
    }))
}

fn position<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text), Value::Text(needle)] = arguments else { return Err(wrong()) };
    let found = text.find(needle.as_ref()).map_or(0, |at| text[..at].chars().count() + 1);
    Ok(count(found))
}

fn overlay<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let (text, new, start, count) = match arguments {
        [Value::Text(text), Value::Text(new), Value::Int(start)] => {
            (text, &*new, *start, i64::try_from(new.chars().count()).unwrap_or(i64::MAX))
        }
        [Value::Text(text), Value::Text(new), Value::Int(start), Value::Int(count)] => {
            (text, &*new, *start, *count)
        }
        _ => return Err(wrong()),
    };
    let (before, behind) = overlaid(start, count)?;
    let first = text.get(..offset(text, before)).unwrap_or_default();
    let last = text.get(offset(text, (behind - 1).max(0))..).unwrap_or_default();
    Ok(Value::text([first, new.as_ref(), last].concat()))
}

fn translate<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text), Value::Text(from), Value::Text(to)] = arguments else {
        return Err(wrong());
    };
    // Characters without a counterpart go.
    let replaced = |c: char| match from.chars().position(|own| own == c) {
        Some(place) => to.chars().nth(place),
        None => Some(c),
    };
    Ok(Value::text(text.chars().filter_map(replaced).collect::<String>()))
}

/// Words are runs of letters and digits of ASCII: this is for databases of the character class C.
fn initcap<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let mut inside = false;
    let mut cased = |c: char| {
        let out = if inside { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
        inside = c.is_ascii_alphanumeric();
        out
    };
    Ok(Value::text(one(arguments)?.chars().map(&mut cased).collect::<String>()))
}

fn chr<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Int(code)] = arguments else { return Err(wrong()) };
    // The error for negative numbers differs between versions.
    let code = u32::try_from(*code).map_err(|_| Fail::Doubt)?;
    match char::from_u32(code) {
        Some(c) if c != '\0' => Ok(Value::text(String::from(c))),
        _ => Err(Fail::error("54000", "this number stands for no character")),
    }
}

fn repeat<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text), Value::Int(times)] = arguments else { return Err(wrong()) };
    let times = usize::try_from(*times).unwrap_or(0);
    if text.len().saturating_mul(times) > SIZE_MAX {
        return Err(Fail::Doubt);
    }
    Ok(Value::text(text.repeat(times)))
}

fn starts_with<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Text(text), Value::Text(start)] => {
            Ok(Value::Bool(text.starts_with(start.as_ref())))
        }
        _ => Err(wrong()),
    }
}

fn pad<'v>(arguments: &mut [Value<'v>], left: bool) -> Evaluated<'v> {
    let (text, length, fill) = match arguments {
        [Value::Text(text), Value::Int(length)] => (text, *length, Cow::Borrowed(" ")),
        [Value::Text(text), Value::Int(length), Value::Text(fill)] => {
            (text, *length, std::mem::take(fill))
        }
        _ => return Err(wrong()),
    };
    let length = usize::try_from(length).unwrap_or(0);
    if length > SIZE_MAX / 4 {
        return Err(Fail::Doubt);
    }
    let kept = &text[..offset(text, i64::try_from(length).unwrap_or(i64::MAX))];
    let missing = if fill.is_empty() { 0 } else { length - kept.chars().count() };
    let filling: String = fill.chars().cycle().take(missing).collect();
    Ok(Value::text(if left { filling + kept } else { kept.to_owned() + &filling }))
}

/// `text LIKE pattern ESCAPE escape`; an empty escape means none.
pub(crate) fn like<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text), Value::Text(pattern), Value::Text(escape)] = arguments else {
        return Err(wrong());
    };
    let steps = steps(pattern, escape.chars().next())?;
    Ok(Value::Bool(matches(text, &steps)))
}

/// `text ILIKE pattern ESCAPE escape`, in a database of the character class C.
pub(crate) fn ilike<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(text), Value::Text(pattern), Value::Text(escape)] = arguments else {
        return Err(wrong());
    };
    let mut steps = steps(pattern, escape.chars().next())?;
    for step in &mut steps {
        if let Step::Char(c) = step {
            c.make_ascii_lowercase();
        }
    }
    Ok(Value::Bool(matches(&text.to_ascii_lowercase(), &steps)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Char(char),
    One,
    Any,
}

fn steps(pattern: &str, escape: Option<char>) -> Result<Vec<Step>, Fail> {
    let mut steps = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        steps.push(if Some(c) == escape {
            match chars.next() {
                Some(c) => Step::Char(c),
                // PostgreSQL raises this only when the match gets that far.
                None => return Err(Fail::Doubt),
            }
        } else {
            match c {
                '%' => Step::Any,
                '_' => Step::One,
                c => Step::Char(c),
            }
        });
    }
    Ok(steps)
}

/// Matches with one point to fall back to, the last `%`.
fn matches(text: &str, steps: &[Step]) -> bool {
    let mut rest = text.chars();
    let mut at = 0;
    let mut fallback: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        match steps.get(at) {
            Some(Step::Any) => {
                at += 1;
                fallback = Some((at, rest.clone()));
                continue;
            }
            None if rest.as_str().is_empty() => return true,
            Some(step) => {
                if let Some(c) = rest.next() {
                    if *step == Step::One || *step == Step::Char(c) {
                        at += 1;
                        continue;
                    }
                } else if fallback.is_none() {
                    return false;
                }
            }
            None => {}
        }
        let Some((after, from)) = &mut fallback else { return false };
        if from.next().is_none() {
            return false;
        }
        at = *after;
        rest = from.clone();
    }
}
