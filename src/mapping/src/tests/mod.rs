//! Tests of the whole crate against what a real server gave.

mod conformance;
mod covered;
mod differential;
mod found;
mod jsonpath;
mod mapping;
mod regex;
mod rooms;
mod sizes;
