//! What the laws of docs/architecture.md promise, where nothing but a crash would tell.

mod fail_points;
mod fuzz;
mod laws;
mod soak;
