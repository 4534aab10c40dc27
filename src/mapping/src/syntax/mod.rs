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
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), remedy: None }
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
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}
