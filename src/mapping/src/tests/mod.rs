//! Tests of the whole crate against what a real server gave.

mod differential;
mod mapping;
