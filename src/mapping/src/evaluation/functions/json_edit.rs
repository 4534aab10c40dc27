//! jsonb made from other jsonb: operators and functions that change, join and compare documents.
//! What is not touched is copied as it stands, so that it keeps its canonical form.

use std::borrow::Cow;

use super::json::{elements, index_of};
use super::json_build::{Writer, object, raw_key};
use super::{Entry, entry};
use crate::values::jsonb::{Kind, equality, kind, parts, string_content, unescape};
use crate::values::types::Type;
use crate::values::types::Type::{Bool, Jsonb, Text};
use crate::values::value::{Evaluated, Fail, Value};

/// text[]
const PATH: Type = Type::Other(1009);

pub(crate) const ENTRIES: &[Entry] = &[
    entry("jsonb_strip_nulls", &[Jsonb], Jsonb, strip_nulls),
    entry("jsonb_pretty", &[Jsonb], Text, pretty),
    entry("jsonb_set", &[Jsonb, PATH, Jsonb], Jsonb, |a| set(a, Edit::Create, Edit::Create)),
    entry("jsonb_set", &[Jsonb, PATH, Jsonb, Bool], Jsonb, |a| set(a, Edit::Create, Edit::Replace)),
    entry("jsonb_insert", &[Jsonb, PATH, Jsonb], Jsonb, |a| set(a, Edit::Before, Edit::Before)),
    entry("jsonb_insert", &[Jsonb, PATH, Jsonb, Bool], Jsonb, |a| {
        set(a, Edit::After, Edit::Before)
    }),
];

/// Nesting beyond which documents are left to PostgreSQL, whose limit is its stack.
const DEPTH_MAX: usize = 200;

fn wrong() -> Fail {
    Fail::Wire("a jsonb operator got other types than it was compiled for")
}

fn is_container(text: &str) -> bool {
    matches!(kind(text), Kind::Object | Kind::Array)
}

fn deeper(depth: usize) -> Result<usize, Fail> {
    if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(Fail::Doubt) }
}

/// `jsonb || jsonb`
pub(crate) fn concatenate<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(a), Value::Text(b)] = arguments else { return Err(wrong()) };
    if kind(a) == Kind::Object && kind(b) == Kind::Object {
        let members = parts(a).chain(parts(b)).map(|(key, value)| (Cow::Borrowed(key), value));
        return Ok(Value::text(object(members.collect())));
    }
    // Whatever is no array counts as an array of one.
    let mut writer = Writer::new(false, a.len() + b.len() + 2);
    for side in [a, b] {
        if kind(side) == Kind::Array {
            parts(side).for_each(|(_, value)| writer.put("", value));
        } else {
            writer.put("", side);
        }
    }
    Ok(Value::text(writer.finish()))
}

fn no_scalar(document: &str) -> Result<(), Fail> {
    if is_container(document) {
        Ok(())
    } else {
        Err(Fail::error("22023", "a part of a jsonb scalar cannot be changed"))
    }
}

/// The document without members, or string elements, that are called so.
fn without(document: &str, doomed: impl Fn(&str) -> bool) -> String {
    let mut writer = Writer::like(document);
    let object = kind(document) == Kind::Object;
    for (key, value) in parts(document) {
        let gone = match object {
            true => doomed(&unescape(key)),
            false => kind(value) == Kind::String && doomed(&string_content(value)),
        };
        if !gone {
            writer.put(key, value);
        }
    }
    writer.finish()
}

/// `jsonb - text`
pub(crate) fn delete_key<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(document), Value::Text(key)] = arguments else { return Err(wrong()) };
    no_scalar(document)?;
    Ok(Value::text(without(document, |own| own == key.as_ref())))
}

/// `jsonb - text[]`
pub(crate) fn delete_keys<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(document), Value::Bytes(keys)] = arguments else { return Err(wrong()) };
    let keys = flat(keys)?;
    no_scalar(document)?;
    Ok(Value::text(without(document, |own| keys.contains(&Some(own)))))
}

/// `jsonb - integer`
pub(crate) fn delete_index<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(document), Value::Int(index)] = arguments else { return Err(wrong()) };
    no_scalar(document)?;
    if kind(document) == Kind::Object {
        return Err(Fail::error("22023", "cannot delete from object using integer index"));
    }
    let count = i64::try_from(parts(document).count()).unwrap_or(i64::MAX);
    let index = if *index < 0 { *index + count } else { *index };
    let mut writer = Writer::like(document);
    for (at, (_, value)) in (0_i64..).zip(parts(document)) {
        if at != index {
            writer.put("", value);
        }
    }
    Ok(Value::text(writer.finish()))
}

/// Elements of an array of one dimension.
fn flat(array: &[u8]) -> Result<Vec<Option<&str>>, Fail> {
    match array.first_chunk().map(|bytes| i32::from_be_bytes(*bytes)) {
        Some(0 | 1) => elements(array).ok_or_else(wrong),
        Some(_) => Err(Fail::error("2202E", "wrong number of array subscripts")),
        None => Err(wrong()),
    }
}

/// What happens at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    Delete,
    Replace,
    Create,
    Before,
    After,
}

impl Edit {
    fn adds(self) -> bool {
        matches!(self, Edit::Create | Edit::Before | Edit::After)
    }
}

/// jsonb_set and jsonb_insert; the fourth argument chooses, and is true when left out.
fn set<'v>(arguments: &mut [Value<'v>], yes: Edit, no: Edit) -> Evaluated<'v> {
    let (document, path, new, edit) = match arguments {
        [Value::Text(document), Value::Bytes(path), Value::Text(new)] => (document, path, new, yes),
        [Value::Text(document), Value::Bytes(path), Value::Text(new), Value::Bool(choice)] => {
            (document, path, new, if *choice { yes } else { no })
        }
        _ => return Err(wrong()),
    };
    let path = flat(path)?;
    no_scalar(document)?;
    // An empty document is not looked at when nothing can be added.
    if path.is_empty() || (edit == Edit::Replace && parts(document).next().is_none()) {
        return Ok(Value::Text(std::mem::take(document)));
    }
    edit_path(document, &path, 0, new, edit).map(Value::text)
}

/// `jsonb #- text[]`
pub(crate) fn delete_path<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(document), Value::Bytes(path)] = arguments else { return Err(wrong()) };
    let path = flat(path)?;
    no_scalar(document)?;
    if path.is_empty() || parts(document).next().is_none() {
        return Ok(Value::Text(std::mem::take(document)));
    }
    edit_path(document, &path, 0, "", Edit::Delete).map(Value::text)
}

/// `setPath` of `jsonfuncs.c`; `level` is below the length of the path.
fn edit_path(
    document: &str,
    path: &[Option<&str>],
    level: usize,
    new: &str,
    edit: Edit,
) -> Result<String, Fail> {
    if level > DEPTH_MAX {
        return Err(Fail::Doubt);
    }
    let Some(step) = path.get(level).copied().flatten() else {
        return Err(Fail::error("22004", "a path element is null"));
    };
    match kind(document) {
        Kind::Object => edit_object(document, step, path, level, new, edit),
        Kind::Array => edit_array(document, step, path, level, new, edit),
        _ => Ok(document.to_owned()),
    }
}

fn edit_object(
    document: &str,
    step: &str,
    path: &[Option<&str>],
    level: usize,
    new: &str,
    edit: Edit,
) -> Result<String, Fail> {
    let last = level + 1 == path.len();
    let mut members: Vec<(Cow<'_, str>, &str)> = Vec::new();
    let mut inner = None;
    for (key, value) in parts(document) {
        if unescape(key) != step {
            members.push((Cow::Borrowed(key), value));
        } else if !last {
            inner = Some((key, edit_path(value, path, level + 1, new, edit)?));
        } else if matches!(edit, Edit::Before | Edit::After) {
            return Err(Fail::error("22023", "cannot replace existing key"));
        } else if edit == Edit::Replace {
            members.push((Cow::Borrowed(key), new));
        }
    }
    if let Some((key, value)) = &inner {
        members.push((Cow::Borrowed(key), value));
    }
    if last && edit.adds() {
        members.push((Cow::Owned(raw_key(step)), new));
    }
    Ok(object(members))
}

fn edit_array(
    document: &str,
    step: &str,
    path: &[Option<&str>],
    level: usize,
    new: &str,
    edit: Edit,
) -> Result<String, Fail> {
    let last = level + 1 == path.len();
    let index =
        index_of(step).ok_or_else(|| Fail::error("22P02", "a path element is not an integer"))?;
    let count = i64::try_from(parts(document).count()).unwrap_or(i64::MAX);
    let index = if index < 0 { index + count } else { index };
    let mut writer = Writer::like(document);
    // Before the first element, or into nothing.
    let mut done = false;
    if last && edit.adds() && (index < 0 || count == 0) {
        writer.put("", new);
        done = true;
    }
    for (at, (_, value)) in (0_i64..).zip(parts(document)) {
        if at != index {
            writer.put("", value);
            continue;
        }
        done = true;
        if !last {
            writer.put("", &edit_path(value, path, level + 1, new, edit)?);
            continue;
        }
        match edit {
            Edit::Delete => {}
            Edit::Create | Edit::Replace => writer.put("", new),
            Edit::Before => {
                writer.put("", new);
                writer.put("", value);
            }
            Edit::After => {
                writer.put("", value);
                writer.put("", new);
            }
        }
    }
    if last && edit.adds() && !done {
        writer.put("", new);
    }
    Ok(writer.finish())
}

/// `jsonb @> jsonb`
pub(crate) fn contains<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Text(a), Value::Text(b)] => holds(a, b).map(Value::Bool),
        _ => Err(wrong()),
    }
}

/// `jsonb <@ jsonb`
pub(crate) fn contained<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    match arguments {
        [Value::Text(a), Value::Text(b)] => holds(b, a).map(Value::Bool),
        _ => Err(wrong()),
    }
}

fn holds(whole: &str, part: &str) -> Result<bool, Fail> {
    match (kind(whole), kind(part)) {
        // An array holds a scalar, but no scalar holds an array.
        (Kind::Array, _) if !is_container(part) => {
            Ok(parts(whole).any(|(_, value)| equality(value, part).is_eq()))
        }
        _ if is_container(whole) && is_container(part) => deep(whole, part, 0),
        _ if is_container(whole) || is_container(part) => Ok(false),
        _ => Ok(equality(whole, part).is_eq()),
    }
}

/// `JsonbDeepContains` of two containers.
fn deep(whole: &str, part: &str, depth: usize) -> Result<bool, Fail> {
    let depth = deeper(depth)?;
    if kind(whole) != kind(part) {
        return Ok(false);
    }
    let object = kind(whole) == Kind::Object;
    for (key, wanted) in parts(part) {
        let mut found = false;
        // Keys in canonical form are equal when their texts are.
        for (_, value) in parts(whole).filter(|(own, _)| !object || *own == key) {
            found = match (is_container(value), is_container(wanted)) {
                (true, true) => deep(value, wanted, depth)?,
                (false, false) => equality(value, wanted).is_eq(),
                _ => false,
            };
            if found {
                break;
            }
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

fn strip_nulls<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(document)] = arguments else { return Err(wrong()) };
    stripped(document, 0).map(Value::text)
}

fn stripped(document: &str, depth: usize) -> Result<String, Fail> {
    if !is_container(document) {
        return Ok(document.to_owned());
    }
    let depth = deeper(depth)?;
    let object = kind(document) == Kind::Object;
    let mut writer = Writer::like(document);
    for (key, value) in parts(document) {
        if !object || kind(value) != Kind::Null {
            writer.put(key, &stripped(value, depth)?);
        }
    }
    Ok(writer.finish())
}

fn pretty<'v>(arguments: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::Text(document)] = arguments else { return Err(wrong()) };
    let mut out = String::with_capacity(document.len() * 2);
    write_pretty(document, 0, &mut out)?;
    Ok(Value::text(out))
}

fn write_pretty(document: &str, depth: usize, out: &mut String) -> Result<(), Fail> {
    if !is_container(document) {
        out.push_str(document);
        return Ok(());
    }
    let inner = deeper(depth)?;
    let object = kind(document) == Kind::Object;
    out.push(if object { '{' } else { '[' });
    for (i, (key, value)) in parts(document).enumerate() {
        out.push_str(if i > 0 { ",\n" } else { "\n" });
        out.push_str(&"    ".repeat(inner));
        if object {
            out.push('"');
            out.push_str(key);
            out.push_str("\": ");
        }
        write_pretty(value, inner, out)?;
    }
    out.push('\n');
    out.push_str(&"    ".repeat(depth));
    out.push(if object { '}' } else { ']' });
    Ok(())
}
