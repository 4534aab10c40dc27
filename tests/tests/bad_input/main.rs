//! Bad input: each kind has a clear error with its code, its place and its remedy, and none of them
//! shows a password or a value of a row.

#[path = "../support/mod.rs"]
mod support;

mod changes;
mod keys;
mod moves;
mod poolers;
mod rows;
mod servers;
mod settings;
mod slots;
mod sources;
mod statements;
mod targets;
mod words;
