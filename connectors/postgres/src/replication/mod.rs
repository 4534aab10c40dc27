//! The streaming replication protocol: a connection that speaks it, and the change stream on top.
//!
//! <https://www.postgresql.org/docs/current/protocol-replication.html>

mod connection;
mod frame;
mod reader;
mod restful;
pub(crate) mod socket;
pub(crate) mod startup;
mod stream;

pub use connection::{ReplicationConnection, StreamOptions};
pub use stream::PgStream;

#[cfg(test)]
mod tests;
