//! Tests of the whole crate against what a real server gave.

mod covered;
mod differential;
mod found;
mod mapping;
mod regex;
