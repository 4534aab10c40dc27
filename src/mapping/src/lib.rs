//! From `mapping.sql` to compiled mappers.
//!
//! [`parse()`] splits the file into [`Statement`]s; [`compile()`] turns one statement over one table
//! into a [`CompiledMapper`], which evaluates the SELECT for row images of the change stream. The
//! law of this crate is *equal or refused*: what compiles gives, byte for byte, what PostgreSQL
//! gives; all else is a [`Refusal`] with its place in the file. What cannot be decided before a row
//! is seen is answered by [`regraft_core::Mapped::Read`], so that PostgreSQL evaluates it.
//!
//! A statement whose SELECT does not compile, and whose rows still belong to single source rows, gets
//! a [`KeyedRead`], which leaves all of it to PostgreSQL.
//!
//! The crate is pure: no I/O, no clock, no server.

mod covered;
mod evaluation;
mod front;
mod values;

pub use covered::{Covered, Form, covered, forms, from_forms, set_functions, sql_name};
pub use evaluation::mapper::CompiledMapper;
pub use front::named::NamedMapper;
pub use front::read::{KeyedRead, Named};
pub use front::resolve::{Refusal, compile};
pub use front::statement::{Statement, TableRef, WRAPPED, parse, parse_each};
pub use front::syntax::{Outline, outline};
pub use front::trace::TraceComment;
pub use values::types::{Settings, SourceTable, TypeKind, TypeNames, UserType};

#[cfg(test)]
mod tests;
