//! PostgreSQL's lexical rules.
//! <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>

use super::Stop;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A key word or an unquoted identifier, folded to lower case.
    Word,
    /// A quoted identifier.
    Quoted,
    /// A string literal; the text is its content.
    String,
    /// A number.
    Number,
    /// An operator, `::` included. `!=` is given as `<>`.
    Operator,
    /// One of `( ) [ ] , ; . :`.
    Punctuation,
    /// A parameter or a kind of literal that is not known here; the text says what it is.
    Foreign,
}

/// One token of the file.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// Byte range in the file.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    pub(crate) fn is_mark(&self, mark: &str) -> bool {
        self.kind == Kind::Punctuation && self.text == mark
    }

    pub(crate) fn is_operator(&self, operator: &str) -> bool {
        self.kind == Kind::Operator && self.text == operator
    }

    pub(crate) fn is_identifier(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Quoted)
    }
}

const OPERATOR_BYTES: &[u8] = b"+-*/<>=~!@#%^&|`?";

/// Longest identifier in bytes; PostgreSQL cuts longer ones (NAMEDATALEN - 1).
const NAME_MAX: usize = 63;

/// The tokens of a text, without comments and white space.
pub(crate) fn lex(text: &str) -> Result<Vec<Token>, Stop> {
    let mut lexer = Lexer { text, bytes: text.as_bytes(), at: 0, tokens: Vec::new() };
    while lexer.skip_space()? {
        lexer.token()?;
    }
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    tokens: Vec<Token>,
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word_part(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

impl Lexer<'_> {
    fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn starts(&self, what: &str) -> bool {
        self.bytes[self.at.min(self.bytes.len())..].starts_with(what.as_bytes())
    }

    /// Skips white space and comments; false at the end.
    fn skip_space(&mut self) -> Result<bool, Stop> {
        while self.at < self.bytes.len() {
            if is_space(self.byte(0)) {
                self.at += 1;
            } else if self.starts("--") {
                while self.at < self.bytes.len() && !matches!(self.byte(0), b'\n' | b'\r') {
                    self.at += 1;
                }
            } else if self.starts("/*") {
                self.skip_block_comment()?;
            } else {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn skip_block_comment(&mut self) -> Result<(), Stop> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            if self.starts("/*") {
                depth += 1;
                self.at += 2;
            } else if self.starts("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else if self.at >= self.bytes.len() {
                return Err(Stop::new(start, "this comment has no end").remedy("add */"));
            } else {
                self.at += 1;
            }
        }
    }

    fn push(&mut self, kind: Kind, text: impl Into<String>, start: usize) {
        self.tokens.push(Token { kind, text: text.into(), start, end: self.at });
    }

    fn token(&mut self) -> Result<(), Stop> {
        let start = self.at;
        let byte = self.byte(0);
        let next = self.byte(1);
        match byte {
            b'\'' => {
                let text = self.string(false)?;
                self.push(Kind::String, text, start);
            }
            b'e' | b'E' if next == b'\'' => {
                self.at += 1;
                let text = self.string(true)?;
                self.push(Kind::String, text, start);
            }
            b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if next == b'\'' => {
                self.at += 1;
                self.string(false)?;
                let what =
                    if matches!(byte, b'n' | b'N') { "an N'…' string" } else { "a bit string" };
                self.push(Kind::Foreign, what, start);
            }
            b'u' | b'U' if next == b'&' && matches!(self.byte(2), b'\'' | b'"') => {
                self.at += 2;
                if self.byte(0) == b'"' {
                    self.quoted()?;
                } else {
                    self.string(false)?;
                }
                self.push(Kind::Foreign, "a U& literal", start);
            }
            b'"' => {
                let name = self.quoted()?;
                self.push(Kind::Quoted, name, start);
            }
            b'$' => self.dollar()?,
            b':' if next == b':' => {
                self.at += 2;
                self.push(Kind::Operator, "::", start);
            }
            b'.' if next.is_ascii_digit() => self.number(),
            b'(' | b')' | b'[' | b']' | b',' | b';' | b'.' | b':' => {
                self.at += 1;
                self.push(Kind::Punctuation, char::from(byte), start);
            }
            _ if byte.is_ascii_digit() => self.number(),
            _ if is_word_start(byte) => {
                while is_word_part(self.byte(0)) {
                    self.at += 1;
                }
                let word = cut_name(&self.text[start..self.at]).to_ascii_lowercase();
                self.push(Kind::Word, word, start);
            }
            _ if OPERATOR_BYTES.contains(&byte) => self.operator(),
            _ => {
                let shown = self.text[start..].chars().next().unwrap_or(' ').escape_debug();
                return Err(Stop::new(start, format!("unexpected character \"{shown}\"")));
            }
        }
        Ok(())
    }

    fn number(&mut self) {
        let start = self.at;
        let digits = |lexer: &mut Self| {
            while lexer.byte(0).is_ascii_digit() {
                lexer.at += 1;
            }
        };
        digits(self);
        if self.byte(0) == b'.' {
            self.at += 1;
            digits(self);
        }
        if matches!(self.byte(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(1), b'+' | b'-'));
            if self.byte(1 + sign).is_ascii_digit() {
                self.at += 1 + sign;
                digits(self);
            }
        }
        if is_word_part(self.byte(0)) {
            // Hexadecimal and underscored numbers mean different things to different versions.
            while is_word_part(self.byte(0)) {
                self.at += 1;
            }
            self.push(Kind::Foreign, "a number followed by letters", start);
        } else {
            self.push(Kind::Number, &self.text[start..self.at], start);
        }
    }

    fn operator(&mut self) {
        let start = self.at;
        while OPERATOR_BYTES.contains(&self.byte(0)) {
            if self.at > start && (self.starts("--") || self.starts("/*")) {
                break;
            }
            self.at += 1;
        }
        // A multi-byte operator may end in + or - only if it holds one of these.
        let special = |text: &str| text.bytes().any(|b| b"~!@#^&|`?%".contains(&b));
        let run = &self.text[start..self.at];
        let signs = |c: char| matches!(c, '+' | '-');
        let own = if special(run) { run } else { run.trim_end_matches(signs) };
        let text = if own.is_empty() { &run[..1] } else { own };
        self.at = start + text.len();
        self.push(Kind::Operator, if text == "!=" { "<>" } else { text }, start);
        // What was cut off is read at once, sign by sign: a long run of them is not looked at again and again.
        for at in text.len()..run.len() {
            self.at = start + at + 1;
            self.push(Kind::Operator, &run[at..=at], start + at);
        }
    }

    fn quoted(&mut self) -> Result<String, Stop> {
        let start = self.at;
        self.at += 1;
        let mut name = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = rest.find('"') else {
                return Err(Stop::new(start, "this quoted name has no end").remedy("add \""));
            };
            name.push_str(&rest[..end]);
            self.at += end + 1;
            if self.byte(0) != b'"' {
                break;
            }
            name.push('"');
            self.at += 1;
        }
        if name.is_empty() {
            return Err(Stop::new(start, "a name must not be empty"));
        }
        Ok(cut_name(&name).to_owned())
    }

    /// A string, with its continuations on further lines.
    fn string(&mut self, escapes: bool) -> Result<String, Stop> {
        let mut text = String::new();
        loop {
            self.string_part(escapes, &mut text)?;
            let end = self.at;
            let mut gap = self.at;
            while gap < self.bytes.len() && is_space(self.bytes[gap]) {
                gap += 1;
            }
            let newline = self.bytes[end..gap].iter().any(|b| matches!(b, b'\n' | b'\r'));
            if !(newline && self.bytes.get(gap) == Some(&b'\'')) {
                return Ok(text);
            }
            self.at = gap;
        }
    }

    fn string_part(&mut self, escapes: bool, text: &mut String) -> Result<(), Stop> {
        let start = self.at;
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = rest.find(|c| c == '\'' || (escapes && c == '\\')) else {
                return Err(Stop::new(start, "this string has no end").remedy("add '"));
            };
            text.push_str(&rest[..end]);
            self.at += end + 1;
            if rest.as_bytes()[end] == b'\\' {
                text.push(self.escape(start)?);
            } else if self.byte(0) == b'\'' {
                text.push('\'');
                self.at += 1;
            } else {
                return Ok(());
            }
        }
    }

    fn escape(&mut self, start: usize) -> Result<char, Stop> {
        let Some(escaped) = self.text[self.at..].chars().next() else {
            return Err(Stop::new(start, "this string has no end").remedy("add '"));
        };
        self.at += escaped.len_utf8();
        let digits = match escaped {
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'u' => 4,
            'U' => 8,
            'x' | '0'..='7' => {
                return Err(Stop::new(start, "a byte escape in a string is not supported")
                    .remedy("write the character itself, or \\uXXXX"));
            }
            other => return Ok(other),
        };
        let code = self.text.get(self.at..self.at + digits);
        let found = code.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        self.at += digits;
        match found {
            Some('\0') | None => Err(Stop::new(start, "this string holds an invalid \\u escape")),
            Some(found) => Ok(found),
        }
    }

    fn dollar(&mut self) -> Result<(), Stop> {
        let start = self.at;
        if self.byte(1).is_ascii_digit() {
            self.at += 1;
            while self.byte(0).is_ascii_digit() {
                self.at += 1;
            }
            self.push(Kind::Foreign, "a parameter", start);
            return Ok(());
        }
        let mut end = self.at + 1;
        while self.bytes.get(end).is_some_and(|b| is_word_part(*b) && *b != b'$') {
            end += 1;
        }
        if self.bytes.get(end) != Some(&b'$') {
            return Err(Stop::new(start, "unexpected character \"$\""));
        }
        let tag = &self.text[start..=end];
        let Some(length) = self.text[end + 1..].find(tag) else {
            return Err(Stop::new(start, format!("this string has no end; it needs {tag}")));
        };
        let text = &self.text[end + 1..end + 1 + length];
        self.at = end + 1 + length + tag.len();
        self.push(Kind::String, text, start);
        Ok(())
    }
}

fn cut_name(name: &str) -> &str {
    let mut end = name.len().min(NAME_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<String> {
        lex(sql).unwrap().into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn operators_are_cut_as_postgres_cuts_them() {
        assert_eq!(texts("a->-1"), ["a", "->", "-", "1"]);
        assert_eq!(texts("a?-1"), ["a", "?-", "1"]);
        assert_eq!(texts("a*-1--x\n!=b"), ["a", "*", "-", "1", "<>", "b"]);
        assert_eq!(texts("a::int/*x/*y*/*/+/**/b"), ["a", "::", "int", "+", "b"]);
    }

    #[test]
    fn strings_keep_their_content() {
        assert_eq!(
            texts(r"'it''s' E'a\n\'' $t$x'y$t$ 'a'\u{20}".trim_end_matches("\\u{20}")),
            ["it's", "a\n'", "x'y", "a"]
        );
        assert_eq!(texts("'a'\n  'b'"), ["ab"]);
        assert_eq!(texts("\"A\"\"b\" Ab"), ["A\"b", "ab"]);
    }

    #[test]
    fn what_has_no_end_is_refused_at_its_start() {
        for (sql, at) in [("a 'b", 2), ("/* /* */", 0), ("x \"y", 2), ("$a$ $b$", 0)] {
            assert_eq!(lex(sql).unwrap_err().at, at, "{sql}");
        }
    }
}
