//! From the text of `mapping.sql` to what [`crate::evaluation`] runs: lexer and parser, and what names and
//! types mean.

pub(crate) mod equalities;
pub(crate) mod named;
pub(crate) mod read;
pub(crate) mod resolve;
pub(crate) mod statement;
pub(crate) mod syntax;
pub(crate) mod trace;
pub(crate) mod window;
