//! Set-returning functions of FROM.

use crate::jsonb::{Kind, as_text, kind, parts, unescape};
use crate::resolve::Resolved;
use crate::syntax::Stop;
use crate::syntax::parser::later;
use crate::types::{SourceTable, Type};
use crate::value::{Fail, Value};

/// A function that gives a row for each part of its argument.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SetFunction {
    Each,
    EachText,
    Elements,
    ElementsText,
    Keys,
    Unnest(Type),
}

/// Names and types of a function's columns. A column without a name is called like the function's
/// alias.
pub(crate) type Columns = Vec<(String, Type)>;

/// The function of this name over these arguments, with its input and its columns.
pub(crate) fn resolve(
    name: &str,
    mut arguments: Vec<Resolved>,
    at: usize,
    table: &SourceTable,
) -> Result<(SetFunction, Resolved, Columns), Stop> {
    let columns = |list: &[(&str, Type)]| -> Columns {
        list.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    };
    let (Some(input), true) = (arguments.pop(), arguments.is_empty()) else {
        return Err(later(at, &format!("{name}() with these arguments")));
    };
    let (function, columns) = match name {
        "jsonb_each" => {
            (SetFunction::Each, columns(&[("key", Type::Text), ("value", Type::Jsonb)]))
        }
        "jsonb_each_text" => {
            (SetFunction::EachText, columns(&[("key", Type::Text), ("value", Type::Text)]))
        }
        "jsonb_array_elements" => (SetFunction::Elements, columns(&[("value", Type::Jsonb)])),
        "jsonb_array_elements_text" => {
            (SetFunction::ElementsText, columns(&[("value", Type::Text)]))
        }
        "jsonb_object_keys" => (SetFunction::Keys, columns(&[("", Type::Text)])),
        "unnest" => {
            let element = input.kind.and_then(|kind| kind.element(&table.types));
            let Some(element) = element else {
                return Err(later(at, "unnest() of something other than an array column"));
            };
            (SetFunction::Unnest(element), columns(&[("", element)]))
        }
        _ => return Err(later(at, &format!("the function {name}() in FROM"))),
    };
    if !matches!(function, SetFunction::Unnest(_)) && input.kind != Some(Type::Jsonb) {
        return Err(Stop::new(at, format!("{name}() needs a value of type jsonb"))
            .remedy("cast its argument to jsonb"));
    }
    Ok((function, input, columns))
}

type Visit<'f> = dyn FnMut(&[Value<'_>]) -> Result<(), Fail> + 'f;

impl SetFunction {
    /// Calls `visit` with the columns of each row in order.
    pub(crate) fn each(self, input: &Value<'_>, visit: &mut Visit<'_>) -> Result<(), Fail> {
        match (self, input) {
            (_, Value::Null) => Ok(()),
            (SetFunction::Unnest(element), Value::Bytes(bytes)) => unnest(element, bytes, visit),
            (_, Value::Text(document)) => self.each_part(document, visit),
            _ => Err(Fail::Wire(
                "a set-returning function got another type than it was compiled for",
            )),
        }
    }

    fn each_part(self, document: &str, visit: &mut Visit<'_>) -> Result<(), Fail> {
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

    fn misfit(self, found: Kind) -> &'static str {
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
