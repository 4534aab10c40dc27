//! Functions over regular expressions.

use std::borrow::Cow;
use std::sync::Arc;

use super::Prepared;
use crate::evaluation::order::{Element, Order};
use crate::evaluation::regex::{Pattern, Span};
use crate::values::array::Array;
use crate::values::types::Type;
use crate::values::value::{Evaluated, Fail, Value};

/// What is done with the matches of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// `~`, `SIMILAR TO` and regexp_like; with `true` the operators with `!`.
    Test(bool),
    /// regexp_replace; with `true` of all matches.
    Replace(bool),
    /// substring: the first group, or the match.
    Substring,
    /// regexp_match
    Match,
    /// regexp_split_to_array
    Split,
    /// regexp_count
    Count,
    /// regexp_substr
    Found,
    /// regexp_instr
    Place,
}

/// A function over a text and a pattern.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) usage: Use,
    pub(crate) result: Type,
    /// Number of arguments before flags.
    pub(crate) plain: usize,
    /// There may be flags.
    pub(crate) flags: bool,
    /// The first version of PostgreSQL that has it, as `server_version_num`; 0 for any.
    pub(crate) since: u32,
}

/// text[]
const TEXTS: Type = Type::Other(1009);

const fn function(name: &'static str, usage: Use, result: Type, plain: usize) -> Function {
    Function { name, usage, result, plain, flags: false, since: 0 }
}

impl Function {
    const fn flags(self) -> Function {
        Function { flags: true, ..self }
    }

    const fn since(self, version: u32) -> Function {
        Function { since: version, ..self }
    }
}

const FUNCTIONS: &[Function] = &[
    function("regexp_replace", Use::Replace(false), Type::Text, 3).flags(),
    function("regexp_match", Use::Match, TEXTS, 2).flags(),
    function("regexp_split_to_array", Use::Split, TEXTS, 2).flags(),
    function("substring", Use::Substring, Type::Text, 2),
    function("regexp_like", Use::Test(false), Type::Bool, 2).flags().since(150_000),
    function("regexp_count", Use::Count, Type::Int4, 2).since(150_000),
    function("regexp_substr", Use::Found, Type::Text, 2).since(150_000),
    function("regexp_instr", Use::Place, Type::Int4, 2).since(150_000),
];

/// The function of this name that a server of this version has.
pub(crate) fn named(name: &str, server_version: u32) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|known| known.name == name && known.since <= server_version)
}

/// A function with its pattern.
#[derive(Clone, Debug)]
pub(crate) struct Matching {
    pub(crate) usage: Use,
    pub(crate) pattern: Arc<Pattern>,
}

impl Prepared for Matching {
    fn run<'v>(&self, arguments: &mut [Value<'v>]) -> Evaluated<'v> {
        let Some((Value::Text(text), rest)) = arguments.split_first() else {
            return Err(Fail::Wire("a regular expression got another type than text"));
        };
        let pattern = &self.pattern;
        let part = |span: Option<Span>| match span {
            Some((start, end)) => Value::text(text[start..end].to_owned()),
            None => Value::Null,
        };
        Ok(match self.usage {
            Use::Test(negated) => Value::Bool(pattern.matches(text)? != negated),
            Use::Replace(all) => {
                let [Value::Text(replacement)] = rest else {
                    return Err(Fail::Wire("regexp_replace got another type than text"));
                };
                Value::text(replaced(pattern, text, replacement, all)?)
            }
            Use::Substring => match pattern.find(text, 0)? {
                None => Value::Null,
                Some(whole) if pattern.groups == 0 => part(Some(whole)),
                Some(whole) => part(pattern.divide(text, whole)?.first().copied().flatten()),
            },
            Use::Match => match pattern.find(text, 0)? {
                None => Value::Null,
                Some(whole) => groups(pattern, text, whole)?,
            },
            Use::Split => {
                let mut parts = Vec::new();
                split(pattern, text, &mut |part| {
                    parts.push(part);
                    Ok(())
                })?;
                list(parts.into_iter().map(Some).collect())
            }
            Use::Count => {
                let mut count = 0;
                every(pattern, text, &mut |_| {
                    count += 1;
                    Ok(())
                })?;
                Value::Int(count)
            }
            Use::Found => part(pattern.find(text, 0)?),
            Use::Place => {
                let found = pattern.find(text, 0)?;
                Value::Int(found.map_or(0, |(start, _)| text[..start].chars().count() as i64 + 1))
            }
        })
    }
}

fn list<'v>(items: Vec<Option<&str>>) -> Value<'v> {
    let items = items.into_iter().map(|item| item.map(|item| Cow::Borrowed(item.as_bytes())));
    Element { kind: Type::Text, order: Order::Plain }.done(&Array::list(items.collect()))
}

/// The groups of a match as an array, or the match when there are none.
pub(super) fn groups<'v>(pattern: &Pattern, text: &str, whole: Span) -> Evaluated<'v> {
    if pattern.groups == 0 {
        return Ok(list(vec![Some(&text[whole.0..whole.1])]));
    }
    let found = pattern.divide(text, whole)?;
    Ok(list(found.into_iter().map(|span| span.map(|(start, end)| &text[start..end])).collect()))
}

/// Where the search goes on after a match; `None` when it does not.
fn next(text: &str, (start, end): Span) -> Option<usize> {
    if end > start { Some(end) } else { Some(end + text[end..].chars().next()?.len_utf8()) }
}

/// Visits all matches; one may be empty where the one before it ended.
pub(super) fn every(
    pattern: &Pattern,
    text: &str,
    visit: &mut dyn FnMut(Span) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let mut from = Some(0);
    while let Some(start) = from {
        let Some(span) = pattern.find(text, start)? else { break };
        visit(span)?;
        from = next(text, span);
    }
    Ok(())
}

/// Visits the parts between matches. Those that are empty at the ends or just after another one do
/// not divide.
pub(super) fn split<'t>(
    pattern: &Pattern,
    text: &'t str,
    visit: &mut dyn FnMut(&'t str) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let (mut before, mut last) = (0, 0);
    every(pattern, text, &mut |(start, end)| {
        if start < text.len() && end > before {
            visit(&text[last..start])?;
            last = end;
        }
        before = end;
        Ok(())
    })?;
    visit(&text[last..])
}

fn replaced(pattern: &Pattern, text: &str, replacement: &str, all: bool) -> Result<String, Fail> {
    let mut out = String::new();
    let (mut copied, mut from) = (0, Some(0));
    while let Some(start) = from {
        let Some(span) = pattern.find(text, start)? else { break };
        out.push_str(&text[copied..span.0]);
        let groups = pattern.divide(text, span)?;
        put(&mut out, replacement, |number| match number {
            0 => Some(&text[span.0..span.1]),
            number => {
                groups.get(number - 1).copied().flatten().map(|(start, end)| &text[start..end])
            }
        });
        copied = span.1;
        if !all {
            break;
        }
        from = next(text, span);
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

/// Appends a replacement: `\1` to `\9` are groups, `\&` is the match.
fn put<'t>(out: &mut String, replacement: &str, part: impl Fn(usize) -> Option<&'t str>) {
    let mut rest = replacement;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.bytes().next() {
            Some(digit @ b'1'..=b'9') => {
                out.push_str(part(usize::from(digit - b'0')).unwrap_or_default());
            }
            Some(b'&') => out.push_str(part(0).unwrap_or_default()),
            Some(b'\\') => out.push('\\'),
            // Not special: it stays, and so does what follows.
            _ => {
                out.push('\\');
                continue;
            }
        }
        rest = &rest[1..];
    }
    out.push_str(rest);
}

/// Whether the flags ask for all matches, and the flags without that.
pub(crate) fn is_flag_of_all(flags: &str) -> (bool, String) {
    (flags.contains('g'), flags.replace('g', ""))
}

/// True when a replacement shows groups.
pub(crate) fn shows_groups(replacement: &str) -> bool {
    let mut escaped = false;
    replacement.bytes().any(|byte| {
        let found = escaped && byte.is_ascii_digit();
        escaped = byte == b'\\' && !escaped;
        found
    })
}

/// The ARE that SIMILAR TO makes of its pattern (`similar_escape_internal`), `None` for what versions
/// take differently.
pub(crate) fn similar(pattern: &str, escape: Option<char>) -> Option<String> {
    let mut out = String::from("^(?:");
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            c if Some(c) == escape => {
                let next = rest.next().filter(|next| *next != '"')?;
                out.push('\\');
                out.push(next);
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '\\' | '.' | '^' | '$' => {
                out.push('\\');
                out.push(c);
            }
            '[' => {
                out.push('[');
                loop {
                    let c = rest.next()?;
                    if Some(c) == escape || c == '[' || c == '\\' {
                        return None;
                    }
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            c => out.push(c),
        }
    }
    out.push_str(")$");
    Some(out)
}
