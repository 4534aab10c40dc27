//! The part of PostgreSQL's grammar that can be streamed: words, precedence and SELECT.
//!
//! A general SQL parser accepts more than PostgreSQL does and ranks operators by its own table. Here
//! whatever is not known by name is refused, and precedence is that of PostgreSQL's `gram.y`.

pub(crate) mod ast;
pub(crate) mod lexer;
pub(crate) mod parser;
pub(crate) mod select;
mod special;
mod type_name;

/// Bytes of a message.
const MESSAGE_MAX: usize = 500;

/// Why a text cannot be used, and where.
#[derive(Debug)]
pub(crate) struct Stop {
    /// Byte offset in the file.
    pub(crate) at: usize,
    /// One sentence without a full stop.
    pub(crate) message: String,
    /// What to do instead.
    pub(crate) remedy: Option<String>,
}

impl Stop {
    /// A message that quotes a very long name or literal is cut.
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_MAX {
            let end = message.floor_char_boundary(MESSAGE_MAX / 2);
            let start = message.ceil_char_boundary(message.len() - MESSAGE_MAX / 2);
            message = format!("{}…{}", &message[..end], &message[start..]);
        }
        Self { at, message, remedy: None }
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Line and column, both from 1, the column in characters.
pub(crate) fn line_and_column(text: &str, at: usize) -> (u32, u32) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// A query from outside of the mapping, as far as its words tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Words, literals, and marks.
    pub tokens: usize,
    /// Byte offset of its end, without a semicolon and what follows that.
    pub end: usize,
    /// Byte offset of a second statement.
    pub more: Option<usize>,
    /// It has an ORDER BY outside of parentheses.
    pub ordered: bool,
}

/// The outline of a query. What cannot be read as SQL is one token: a server will say what is wrong.
pub fn outline(sql: &str) -> Outline {
    let Ok(tokens) = lexer::lex(sql) else {
        return Outline { tokens: 1, end: sql.len(), ..Outline::default() };
    };
    let semicolon = tokens.iter().position(|token| token.is_mark(";"));
    let more = semicolon.and_then(|at| tokens[at..].iter().find(|token| !token.is_mark(";")));
    let own = &tokens[..semicolon.unwrap_or(tokens.len())];
    let mut depth = 0_i32;
    let mut ordered = false;
    for pair in own.windows(2) {
        depth += i32::from(pair[0].is_mark("(")) - i32::from(pair[0].is_mark(")"));
        ordered |= depth == 0 && pair[0].is_word("order") && pair[1].is_word("by");
    }
    Outline {
        tokens: own.len(),
        end: own.last().map_or(0, |token| token.end),
        more: more.map(|token| token.start),
        ordered,
    }
}
