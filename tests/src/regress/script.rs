//! A psql script: tokens of SQL, statements, inline COPY data and meta-commands.

use std::collections::HashMap;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    /// A quoted identifier.
    Quoted,
    /// A string of any spelling, its prefix included.
    String,
    Number,
    /// An operator of one or more characters, or a single mark.
    Mark,
    /// `:name`, `:'name'` or `:"name"`, which psql replaces.
    Variable,
    /// A backslash and the rest of its line.
    Meta,
}

/// A token by its byte range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start..self.end]
    }

    pub(crate) fn is(&self, text: &str, what: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Mark) && self.text(text).eq_ignore_ascii_case(what)
    }
}

/// Length of the run of bytes that fit.
fn run(bytes: &[u8], fits: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !fits(*byte)).unwrap_or(bytes.len())
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Length of a quoted text that starts at the first byte, to its end or that of the input.
fn quoted(bytes: &[u8], backslash: bool) -> usize {
    let quote = bytes[0];
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if backslash => at += 1,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 1,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Length of `$tag$ … $tag$`; 0 when it is none.
fn dollar_quoted(text: &str) -> usize {
    let tag = run(&text.as_bytes()[1..], |byte| is_name(byte) && byte != b'$');
    let Some(mark) = text.get(..tag + 2).filter(|mark| mark.ends_with('$')) else { return 0 };
    if mark.as_bytes()[1].is_ascii_digit() {
        return 0;
    }
    text[mark.len()..].find(mark).map_or(text.len(), |at| at + 2 * mark.len())
}

/// Length of white space and comments at the start.
fn space(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        if rest.starts_with(b"--") {
            at += run(rest, |byte| byte != b'\n');
        } else if rest.starts_with(b"/*") {
            let mut depth = 0_usize;
            loop {
                let rest = &bytes[at..];
                if rest.is_empty() {
                    break;
                } else if rest.starts_with(b"/*") {
                    (depth, at) = (depth + 1, at + 2);
                } else if rest.starts_with(b"*/") {
                    (depth, at) = (depth - 1, at + 2);
                } else {
                    at += 1;
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            let length = run(rest, |byte| byte.is_ascii_whitespace() || byte == 0x0b);
            if length == 0 {
                return at;
            }
            at += length;
        }
    }
}

/// The token at the start of `text`, which is none of white space.
fn token(text: &str) -> (Kind, usize) {
    let bytes = text.as_bytes();
    let next = |at: usize| bytes.get(at).copied().unwrap_or(0);
    match bytes[0] {
        b'\'' => (Kind::String, quoted(bytes, false)),
        b'"' => (Kind::Quoted, quoted(bytes, false)),
        b'e' | b'E' if next(1) == b'\'' => (Kind::String, 1 + quoted(&bytes[1..], true)),
        b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if next(1) == b'\'' => {
            (Kind::String, 1 + quoted(&bytes[1..], false))
        }
        b'u' | b'U' if next(1) == b'&' && matches!(next(2), b'\'' | b'"') => {
            let kind = if next(2) == b'"' { Kind::Quoted } else { Kind::String };
            (kind, 2 + quoted(&bytes[2..], false))
        }
        b'$' if dollar_quoted(text) > 0 => (Kind::String, dollar_quoted(text)),
        b'\\' if next(1) == b';' => (Kind::Mark, 2),
        b'\\' => (Kind::Meta, run(bytes, |byte| byte != b'\n')),
        b':' if next(1) == b':' => (Kind::Mark, 2),
        b':' if matches!(next(1), b'\'' | b'"') => (Kind::Variable, 1 + quoted(&bytes[1..], false)),
        b':' if next(1).is_ascii_alphabetic() || next(1) == b'_' => {
            (Kind::Variable, 1 + run(&bytes[1..], |b| b.is_ascii_alphanumeric() || b == b'_'))
        }
        byte if byte.is_ascii_digit() || byte == b'.' && next(1).is_ascii_digit() => {
            let mut length = run(bytes, |byte| byte.is_ascii_digit() || byte == b'.');
            let exponent = usize::from(matches!(next(length + 1), b'+' | b'-'));
            if matches!(next(length), b'e' | b'E') && next(length + 1 + exponent).is_ascii_digit() {
                length += 1 + exponent;
                length += run(&bytes[length..], |byte| byte.is_ascii_digit());
            }
            (Kind::Number, length)
        }
        byte if is_name(byte) && byte != b'$' => (Kind::Word, run(bytes, is_name)),
        byte => {
            let operator = |byte: u8| b"+-*/<>=~!@#%^&|`?".contains(&byte);
            let mut length = run(bytes, operator);
            for comment in ["--", "/*"] {
                length = length.min(text.find(comment).unwrap_or(length));
            }
            (Kind::Mark, if operator(byte) { length.max(1) } else { 1 })
        }
    }
}

/// The tokens of a text. What has no end goes to the end of the text.
pub(crate) fn lex(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = space(text);
    while at < text.len() {
        let (kind, length) = token(&text[at..]);
        tokens.push(Token { kind, start: at, end: at + length });
        at += length;
        at += space(&text[at..]);
    }
    tokens
}

/// A part of a script.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A statement without its semicolon, and the lines of its inline COPY data.
    Sql { line: usize, text: String, data: Option<String> },
    /// A meta-command: its name, its arguments, and the statement that it ends, if any.
    Meta { line: usize, name: String, arguments: String, text: String },
}

/// Meta-commands that send what was written before them.
const SENDS: &[&str] = &["g", "gx", "gset", "gexec", "gdesc", "crosstabview", "watch", "bind"];

/// A script, read piece by piece.
pub(crate) struct Script<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    counted: usize,
}

impl<'a> Script<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, counted: 0 }
    }

    fn line_of(&mut self, at: usize) -> usize {
        self.line += self.text[self.counted..at].matches('\n').count();
        self.counted = at;
        self.line
    }

    /// The lines up to `\.`.
    fn data(&mut self) -> String {
        let rest = &self.text[self.at..];
        let start = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let data = &rest[start..];
        let mut end = 0;
        for line in data.split_inclusive('\n') {
            if line.trim_end() == "\\." {
                self.at += start + end + line.len();
                return data[..end].to_owned();
            }
            end += line.len();
        }
        self.at = self.text.len();
        data.to_owned()
    }
}

impl Iterator for Script<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let text = self.text;
        let mut tokens: Vec<Token> = Vec::new();
        let (mut depth, mut bodies) = (0_usize, 0_usize);
        loop {
            self.at += space(&text[self.at..]);
            let statement = |tokens: &[Token]| match (tokens.first(), tokens.last()) {
                (Some(first), Some(last)) => text[first.start..last.end].to_owned(),
                _ => String::new(),
            };
            if self.at >= text.len() {
                let start = tokens.first()?.start;
                let line = self.line_of(start);
                return Some(Piece::Sql { line, text: statement(&tokens), data: None });
            }
            let (kind, length) = token(&text[self.at..]);
            let one = Token { kind, start: self.at, end: self.at + length };
            self.at = one.end;
            if kind == Kind::Meta {
                let (name, arguments) = command(one.text(text));
                let sends = SENDS.contains(&name.as_str());
                if !sends && !tokens.is_empty() {
                    continue;
                }
                let line = self.line_of(tokens.first().unwrap_or(&one).start);
                return Some(Piece::Meta { line, name, arguments, text: statement(&tokens) });
            }
            // As psql does it: statements inside parentheses and SQL-standard bodies go on.
            let word = |i: usize, word: &str| {
                tokens.get(i).is_some_and(|token: &Token| token.is(text, word))
            };
            let routine =
                word(0, "create") && (1..4).any(|i| word(i, "function") || word(i, "procedure"));
            match one.text(text) {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                ";" | "\\;" if depth == 0 && bodies == 0 => {
                    if tokens.is_empty() {
                        continue;
                    }
                    let line = self.line_of(tokens[0].start);
                    let statement = statement(&tokens);
                    let last = |i: usize| {
                        let at = tokens.iter().position(|t| t.is(text, "from"));
                        at.is_some_and(|at| word(at + i, "stdin"))
                    };
                    let data = (word(0, "copy") && last(1)).then(|| self.data());
                    return Some(Piece::Sql { line, text: statement, data });
                }
                other if kind == Kind::Word && routine => {
                    match other.to_ascii_lowercase().as_str() {
                        "begin" => bodies += 1,
                        "case" if bodies > 0 => bodies += 1,
                        "end" => bodies = bodies.saturating_sub(1),
                        _ => {}
                    }
                }
                _ => {}
            }
            tokens.push(one);
        }
    }
}

fn command(text: &str) -> (String, String) {
    let rest = &text[1..];
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    (rest[..end].to_owned(), rest[end..].trim().to_owned())
}

/// psql's variables.
#[derive(Debug, Default)]
pub(crate) struct Variables(pub(crate) HashMap<String, String>);

impl Variables {
    /// The text with known variables replaced.
    pub(crate) fn replace(&self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut from = 0;
        for token in lex(text).iter().filter(|token| token.kind == Kind::Variable) {
            let name = &token.text(text)[1..];
            let value = self.0.get(name.trim_matches(['\'', '"']));
            let Some(value) = value else { continue };
            replaced.push_str(&text[from..token.start]);
            replaced.push_str(&match name.as_bytes()[0] {
                b'\'' => literal(value),
                b'"' => format!("\"{}\"", value.replace('"', "\"\"")),
                _ => value.clone(),
            });
            from = token.end;
        }
        replaced.push_str(&text[from..]);
        replaced
    }

    /// `\set name value…`
    pub(crate) fn set(&mut self, arguments: &str) {
        let end = arguments.find(char::is_whitespace).unwrap_or(arguments.len());
        let mut value = String::new();
        let rest = &arguments[end..];
        for part in lex(rest) {
            let text = part.text(rest);
            match part.kind {
                Kind::String => {
                    let inside = text.get(1..text.len() - 1).unwrap_or_default();
                    value.push_str(&inside.replace("''", "'"));
                }
                _ => value.push_str(&self.replace(text)),
            }
        }
        self.0.insert(arguments[..end].to_owned(), value);
    }

    /// The condition of `\if`.
    pub(crate) fn holds(&self, condition: &str) -> bool {
        let name = condition.strip_prefix(":{?").and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(name) => self.0.contains_key(name),
            None => matches!(self.replace(condition).trim(), "true" | "t" | "on" | "1" | "yes"),
        }
    }
}

/// A string constant.
pub(crate) fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_split_as_psql_does_it() {
        let text = "-- one; two\nSELECT 'a;b', $x$;$x$, E'\\';' ; /* ; */\nCOPY t FROM stdin;\n1\ta;\n\\.\n\
                    \\set v 'x' y\nSELECT (1;2) \\gset\nCREATE FUNCTION f() RETURNS int BEGIN ATOMIC \
                    SELECT 1; END; SELECT 2";
        let pieces: Vec<Piece> = Script::new(text).collect();
        let sql = |line, text: &str, data: Option<&str>| Piece::Sql {
            line,
            text: text.to_owned(),
            data: data.map(str::to_owned),
        };
        let meta = |line, name: &str, arguments: &str, text: &str| Piece::Meta {
            line,
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            text: text.to_owned(),
        };
        let wanted = [
            sql(2, "SELECT 'a;b', $x$;$x$, E'\\';'", None),
            sql(3, "COPY t FROM stdin", Some("1\ta;\n")),
            meta(6, "set", "v 'x' y", ""),
            meta(7, "gset", "", "SELECT (1;2)"),
            sql(8, "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END", None),
            sql(8, "SELECT 2", None),
        ];
        assert_eq!(pieces, wanted);
    }

    #[test]
    fn variables_are_replaced_outside_quotes() {
        let mut variables = Variables::default();
        variables.set("folder '/a''b'");
        variables.set("file :folder '/c.data'");
        let text = "COPY t FROM :'file' -- :file\n; SELECT ':file', x::file, :other, :\"folder\"";
        let wanted =
            "COPY t FROM '/a''b/c.data' -- :file\n; SELECT ':file', x::file, :other, \"/a'b\"";
        assert_eq!(variables.replace(text), wanted);
        assert!(variables.holds(":{?file}") && !variables.holds(":{?other}"));
    }
}
