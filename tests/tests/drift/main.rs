//! What stands under a pipeline changes: by the application's owners, by other tools, while the daemon runs
//! or while it does not. The application goes on, and what differs is told before a row moves.

mod columns;
mod meaning;
mod partitions;
mod position;
mod publication;
mod writes;

#[path = "../support/mod.rs"]
mod support;
