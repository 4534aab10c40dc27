//! Set-returning functions of FROM.

use std::sync::Arc;

use super::{array, json_raw, regex, series};
use crate::evaluation::jsonpath::Path;
use crate::evaluation::regex::Pattern;
use crate::values::jsonb::{Kind, as_text, kind, parts, unescape};
use crate::values::types::Type;
use crate::values::value::{Fail, Value};

/// What gives rows of its own for a row of the table.
#[derive(Clone, Debug)]
pub(crate) enum SetFunction {
    Each,
    EachText,
    Elements,
    ElementsText,
    Keys,
    Unnest(Type),
    /// One of those above over json, whose values keep their text.
    Raw(Box<SetFunction>),
    /// generate_series of this type.
    Series(Type),
    /// string_to_table
    Split,
    /// regexp_matches; with `true` all of them.
    Matches(Arc<Pattern>, bool),
    /// regexp_split_to_table
    Parts(Arc<Pattern>),
    /// jsonb_path_query
    Path(Arc<Path>),
    /// VALUES with so many columns.
    Values(usize),
}

/// Names and types of a function's columns. A column without a name is called like the function's
/// alias.
pub(crate) type Columns = Vec<(String, Type)>;

pub(crate) type Visit<'f> = dyn FnMut(&[Value<'_>]) -> Result<(), Fail> + 'f;

impl SetFunction {
    /// Calls `visit` with the columns of each row in order.
    pub(crate) fn each(&self, inputs: &[Value<'_>], visit: &mut Visit<'_>) -> Result<(), Fail> {
        match (self, inputs) {
            (SetFunction::Values(width), _) => inputs.chunks(*width).try_for_each(visit),
            (SetFunction::Split, [text, separator, null @ ..]) => {
                for part in array::split_parts(text, separator, null.first()) {
                    visit(&[part.map_or(Value::Null, Value::Text)])?;
                }
                Ok(())
            }
            _ if inputs.iter().any(Value::is_null) => Ok(()),
            (SetFunction::Series(kind), _) => series::each(*kind, inputs, visit),
            (SetFunction::Unnest(element), [Value::Bytes(bytes)]) => unnest(*element, bytes, visit),
            (SetFunction::Raw(function), [Value::Text(document)]) => {
                function.each_raw(document, visit)
            }
            (SetFunction::Matches(pattern, true), [Value::Text(text)]) => {
                regex::every(pattern, text, &mut |span| {
                    visit(&[regex::groups(pattern, text, span)?])
                })
            }
            (SetFunction::Matches(pattern, false), [Value::Text(text)]) => {
                match pattern.find(text, 0)? {
                    Some(span) => visit(&[regex::groups(pattern, text, span)?]),
                    None => Ok(()),
                }
            }
            (SetFunction::Parts(pattern), [Value::Text(text)]) => {
                regex::split(pattern, text, &mut |part| visit(&[Value::text(part)]))
            }
            (SetFunction::Path(path), [Value::Text(document)]) => {
                path.items(document)?.into_iter().try_for_each(|item| visit(&[Value::Text(item)]))
            }
            (_, [Value::Text(document)]) => self.each_part(document, visit),
            _ => Err(Fail::Wire(
                "a set-returning function got another type than it was compiled for",
            )),
        }
    }

    /// Over json.
    fn each_raw(&self, document: &str, visit: &mut Visit<'_>) -> Result<(), Fail> {
        let document = json_raw::document(document);
        let object = matches!(self, SetFunction::Each | SetFunction::EachText | SetFunction::Keys);
        // Escapes are resolved while the document is read, before its kind is looked at.
        if !matches!(self, SetFunction::Elements) {
            json_raw::checked(document)?;
        }
        if !document.starts_with(if object { '{' } else { '[' }) {
            return Err(Fail::error("22023", "json of another kind than the function takes"));
        }
        for (key, value) in json_raw::parts(document) {
            match self {
                SetFunction::Each => visit(&[Value::Text(unescape(key)), Value::text(value)])?,
                SetFunction::EachText => {
                    visit(&[Value::Text(unescape(key)), json_raw::text(Some(value.into()))?])?;
                }
                SetFunction::Keys => visit(&[Value::Text(unescape(key))])?,
                SetFunction::Elements => visit(&[Value::text(value)])?,
                _ => visit(&[json_raw::text(Some(value.into()))?])?,
            }
        }
        Ok(())
    }

    fn each_part(&self, document: &str, visit: &mut Visit<'_>) -> Result<(), Fail> {
        let wanted = match self {
            SetFunction::Each | SetFunction::EachText | SetFunction::Keys => Kind::Object,
            _ => Kind::Array,
        };
        if kind(document) != wanted {
            return Err(Fail::error("22023", self.misfit(kind(document))));
        }
        for (key, value) in parts(document) {
            let text = || as_text(value).map_or(Value::Null, Value::Text);
            match self {
                SetFunction::Each => visit(&[Value::Text(unescape(key)), Value::text(value)])?,
                SetFunction::EachText => visit(&[Value::Text(unescape(key)), text()])?,
                SetFunction::Keys => visit(&[Value::Text(unescape(key))])?,
                SetFunction::Elements => visit(&[Value::text(value)])?,
                _ => visit(&[text()])?,
            }
        }
        Ok(())
    }

    fn misfit(&self, found: Kind) -> &'static str {
        match (self, found) {
            (SetFunction::Each, _) => "cannot call jsonb_each on a non-object",
            (SetFunction::EachText, _) => "cannot call jsonb_each_text on a non-object",
            (SetFunction::Keys, Kind::Array) => "cannot call jsonb_object_keys on an array",
            (SetFunction::Keys, _) => "cannot call jsonb_object_keys on a scalar",
            (_, Kind::Object) => "cannot extract elements from an object",
            _ => "cannot extract elements from a scalar",
        }
    }
}

fn unnest(element: Type, bytes: &[u8], visit: &mut Visit<'_>) -> Result<(), Fail> {
    let broken = || Fail::Wire("an array is not in PostgreSQL's binary format");
    for item in Elements::new(bytes).ok_or_else(broken)? {
        match item.ok_or_else(broken)? {
            None => visit(&[Value::Null])?,
            Some(bytes) => visit(&[Value::from_binary(element, bytes)?])?,
        }
    }
    Ok(())
}

/// The elements of an array in its binary send format (`array_send`), all dimensions flattened.
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_first_chunk::<12>()?;
        let dimensions = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let mut left = usize::from(dimensions > 0);
        if dimensions > 6 {
            return None;
        }
        for _ in 0..dimensions {
            let (bounds, after) = rest.split_first_chunk::<8>()?;
            let length = u32::from_be_bytes([bounds[0], bounds[1], bounds[2], bounds[3]]);
            left = left.checked_mul(usize::try_from(length).ok()?)?;
            rest = after;
        }
        Some(Self { rest, left })
    }

    fn element(&mut self) -> Option<Option<&'a [u8]>> {
        let (head, rest) = self.rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*head);
        let Ok(length) = usize::try_from(length) else {
            self.rest = rest;
            return Some(None);
        };
        let (element, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Some(element))
    }
}

impl<'a> Iterator for Elements<'a> {
    /// `None` inside for bytes that end too early; the iteration stops there.
    type Item = Option<Option<&'a [u8]>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let element = self.element();
        if element.is_none() {
            self.left = 0;
        }
        Some(element)
    }
}
