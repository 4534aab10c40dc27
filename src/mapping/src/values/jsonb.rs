//! jsonb as text: PostgreSQL sends the canonical form (keys by length, then bytes; `": "` and `", "`
//! between), in which every part of a document is a slice of it. Here that form is read, and made
//! from any JSON text.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::values::numeric::{Malformed, Numeric};
use crate::values::value::Fail;

/// Nesting beyond which a text is left to PostgreSQL, whose limit is its stack.
const DEPTH_MAX: usize = 200;

/// What a value is, from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// Kind of a value in canonical form.
pub(crate) fn kind(text: &str) -> Kind {
    match text.as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

/// End of the string that starts at `at`, behind its closing quote.
pub(crate) fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while let Some(byte) = bytes.get(i) {
        match byte {
            b'"' => return i + 1,
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// End of the value that starts at `at`.
fn value_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => string_end(bytes, at),
        Some(b'{' | b'[') => {
            let mut depth = 0_usize;
            let mut i = at;
            while let Some(byte) = bytes.get(i) {
                match byte {
                    b'"' => {
                        i = string_end(bytes, i);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return i + 1;
                        }
                    }
                    _ => {}
                }
                i += 1;
            }
            bytes.len()
        }
        _ => {
            let rest = bytes.get(at..).unwrap_or_default();
            at + rest.iter().take_while(|b| !matches!(b, b',' | b'}' | b']')).count()
        }
    }
}

/// The parts of a container in canonical form.
pub(crate) struct Parts<'a> {
    text: &'a str,
    at: usize,
    object: bool,
}

/// A part: the key with its escapes (empty in an array), and the value.
pub(crate) type Part<'a> = (&'a str, &'a str);

/// The members of an object or the elements of an array; nothing for a scalar.
pub(crate) fn parts(text: &str) -> Parts<'_> {
    let at = if matches!(kind(text), Kind::Object | Kind::Array) { 1 } else { text.len() };
    Parts { text, at, object: kind(text) == Kind::Object }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let bytes = self.text.as_bytes();
        if self.at + 1 >= bytes.len() {
            return None;
        }
        let mut key = "";
        if self.object {
            let end = string_end(bytes, self.at);
            key = self.text.get(self.at + 1..end.saturating_sub(1))?;
            self.at = end + 2;
        }
        let end = value_end(bytes, self.at);
        let value = self.text.get(self.at..end)?;
        self.at = end + 2;
        Some((key, value))
    }
}

/// The code unit of the escape `\uXXXX` at a place.
pub(crate) fn code_unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    u32::from_str_radix(digits, 16).ok()
}

/// The character of a surrogate pair.
pub(crate) fn pair(high: u32, low: u32) -> Option<char> {
    let halves = (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low);
    let code = halves.then(|| 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?;
    char::from_u32(code)
}

/// The content of a string without its quotes, escapes resolved.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escaped = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        let mut taken = at + 2;
        match escaped {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                // The canonical form writes only control characters this way.
                let first = code_unit(rest, at);
                let second = first.and_then(|first| pair(first, code_unit(rest, at + 6)?));
                taken = at + if second.is_some() { 12 } else { 6 };
                out.extend(second.or_else(|| char::from_u32(first?)));
            }
            other => out.push(char::from(other)),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Content of a string value.
pub(crate) fn string_content(value: &str) -> Cow<'_, str> {
    unescape(value.get(1..value.len().saturating_sub(1)).unwrap_or_default())
}

/// A value as `->>` gives it: strings without quotes, NULL for null.
pub(crate) fn as_text(value: &str) -> Option<Cow<'_, str>> {
    match kind(value) {
        Kind::Null => None,
        Kind::String => Some(string_content(value)),
        _ => Some(Cow::Borrowed(value)),
    }
}

/// Appends a string with quotes and escapes, as `escape_json` does.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let code = u32::from(c);
                // Writing to a String cannot fail.
                write!(out, "\\u{code:04x}").unwrap_or_default();
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Equal or not as jsonb compares: numbers by value. Of two that differ the order means nothing.
pub(crate) fn equality(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let different = Ordering::Less;
    if kind(a) != kind(b) {
        return different;
    }
    match kind(a) {
        Kind::Object | Kind::Array => {
            let (mut left, mut right) = (parts(a), parts(b));
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return Ordering::Equal,
                    (Some((k1, v1)), Some((k2, v2))) if k1 == k2 && equality(v1, v2).is_eq() => {}
                    _ => return different,
                }
            }
        }
        Kind::Number => match (Numeric::parse(a), Numeric::parse(b)) {
            (Ok(a), Ok(b)) => a.compare(&b),
            _ => different,
        },
        _ => different,
    }
}

/// The canonical form of a JSON text, as the cast to jsonb gives it.
pub(crate) fn canonical(text: &str) -> Result<String, Fail> {
    let mut parser = Parser { bytes: text.as_bytes(), text, at: 0, depth: 0, jsonb: true };
    let node = parser.document().map_err(|fail| {
        // A string in a wrong place is read before it is called unexpected, and may fail for a reason
        // of its own.
        let rest = text.get(parser.at..).unwrap_or_default();
        if rest.starts_with('"') && rest.contains("\\u") { Fail::Doubt } else { fail }
    })?;
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    write(&node, &mut out);
    Ok(out)
}

/// Fails unless the text is valid for the type json.
pub(crate) fn validate(text: &str) -> Result<(), Fail> {
    Parser { bytes: text.as_bytes(), text, at: 0, depth: 0, jsonb: false }.document().map(drop)
}

enum Node<'a> {
    Word(&'static str),
    Number(String),
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

fn write(node: &Node<'_>, out: &mut String) {
    match node {
        Node::Word(word) => out.push_str(word),
        Node::Number(number) => out.push_str(number),
        Node::String(text) => write_string(text, out),
        Node::Array(list) => {
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write(item, out);
            }
            out.push(']');
        }
        Node::Object(members) => {
            out.push('{');
            for (i, (key, value)) in members.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_string(key, out);
                out.push_str(": ");
                write(value, out);
            }
            out.push('}');
        }
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    depth: usize,
    jsonb: bool,
}

fn invalid() -> Fail {
    Fail::syntax("json")
}

impl<'a> Parser<'a> {
    fn document(&mut self) -> Result<Node<'a>, Fail> {
        let node = self.value()?;
        self.space();
        if self.at < self.bytes.len() { Err(invalid()) } else { Ok(node) }
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Result<Node<'a>, Fail> {
        self.space();
        match self.bytes.get(self.at) {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(Node::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                for word in ["true", "false", "null"] {
                    if self.bytes[self.at..].starts_with(word.as_bytes()) {
                        self.at += word.len();
                        self.boundary()?;
                        return Ok(Node::Word(word));
                    }
                }
                Err(invalid())
            }
        }
    }

    /// A word or number must not run into further letters.
    fn boundary(&self) -> Result<(), Fail> {
        match self.bytes.get(self.at) {
            Some(b) if b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80 => Err(invalid()),
            _ => Ok(()),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Node<'a>, Fail>) -> Result<Node<'a>, Fail> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Fail::Doubt);
        }
        let node = read(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn array(&mut self) -> Result<Node<'a>, Fail> {
        let mut list = Vec::new();
        if self.take(b']') {
            return Ok(Node::Array(list));
        }
        loop {
            list.push(self.value()?);
            if self.take(b']') {
                return Ok(Node::Array(list));
            }
            if !self.take(b',') {
                return Err(invalid());
            }
        }
    }

    fn object(&mut self) -> Result<Node<'a>, Fail> {
        let mut members: Vec<(Cow<'a, str>, Node<'a>)> = Vec::new();
        if self.take(b'}') {
            return Ok(Node::Object(members));
        }
        loop {
            self.space();
            if self.bytes.get(self.at) != Some(&b'"') {
                return Err(invalid());
            }
            let key = self.string()?;
            if !self.take(b':') {
                return Err(invalid());
            }
            members.push((key, self.value()?));
            if self.take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(invalid());
            }
        }
        // Stable, so that of equal keys the last one written is the last one here.
        members.sort_by(|a, b| a.0.len().cmp(&b.0.len()).then_with(|| a.0.cmp(&b.0)));
        let mut unique: Vec<(Cow<'a, str>, Node<'a>)> = Vec::with_capacity(members.len());
        for member in members {
            match unique.last_mut() {
                Some(last) if last.0 == member.0 => *last = member,
                _ => unique.push(member),
            }
        }
        Ok(Node::Object(unique))
    }

    fn number(&mut self) -> Result<Node<'a>, Fail> {
        let start = self.at;
        let digits = |parser: &mut Self| {
            let from = parser.at;
            while parser.bytes.get(parser.at).is_some_and(u8::is_ascii_digit) {
                parser.at += 1;
            }
            parser.at - from
        };
        self.at += usize::from(self.bytes.get(self.at) == Some(&b'-'));
        let zero = self.bytes.get(self.at) == Some(&b'0');
        let whole = digits(self);
        if whole == 0 || (zero && whole > 1) {
            return Err(invalid());
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if digits(self) == 0 {
                return Err(invalid());
            }
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            if digits(self) == 0 {
                return Err(invalid());
            }
        }
        self.boundary()?;
        if !self.jsonb {
            return Ok(Node::Word(""));
        }
        match Numeric::parse(&self.text[start..self.at]) {
            Ok(value) => Ok(Node::Number(value.to_string())),
            // PostgreSQL reads the next token before it converts this one, and may object to it.
            Err(Malformed::Range) if self.at < self.bytes.len() => Err(Fail::Doubt),
            Err(Malformed::Range) => Err(Fail::error("22003", "value overflows numeric format")),
            Err(_) => Err(invalid()),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fail> {
        let start = self.at + 1;
        self.at = start;
        let mut owned: Option<String> = None;
        let mut copied = start;
        loop {
            match self.bytes.get(self.at) {
                None | Some(0..=0x1f) => return Err(invalid()),
                Some(b'"') => {
                    let last = &self.text[copied..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(last),
                        Some(text) => Cow::Owned(text + last),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(&self.text[copied..self.at]);
                    let c = self.escape()?;
                    text.extend(c);
                    copied = self.at;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<Option<char>, Fail> {
        let escaped = self.bytes.get(self.at + 1).copied();
        self.at += 2;
        Ok(Some(match escaped {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(invalid()),
        }))
    }

    fn code(&mut self) -> Result<u32, Fail> {
        let hex = self.bytes.get(self.at..self.at + 4).ok_or_else(invalid)?;
        let mut code = 0;
        for digit in hex {
            code = code * 16 + char::from(*digit).to_digit(16).ok_or_else(invalid)?;
        }
        self.at += 4;
        Ok(code)
    }

    fn unicode(&mut self) -> Result<Option<char>, Fail> {
        let code = self.code()?;
        if !self.jsonb {
            // json keeps its text; only the form counts, but halves of pairs are left to PostgreSQL.
            return if (0xd800..0xe000).contains(&code) { Err(Fail::Doubt) } else { Ok(None) };
        }
        if code == 0 {
            return Err(Fail::error("22P05", "unsupported Unicode escape sequence"));
        }
        if (0xd800..0xdc00).contains(&code) {
            if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
                return Err(invalid());
            }
            self.at += 2;
            let low = self.code()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(invalid());
            }
            return Ok(char::from_u32(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)));
        }
        char::from_u32(code).map(Some).ok_or_else(invalid)
    }
}

#[cfg(test)]
#[path = "../tests/jsonb.rs"]
mod tests;
