//! A connection that speaks the wire protocol, streaming replication included, and the change stream on
//! top.
//!
//! <https://www.postgresql.org/docs/current/protocol-replication.html>

mod connection;
pub(crate) mod copy;
pub(crate) mod frame;
mod receiver;
mod replay;
pub(crate) mod restful;
pub(crate) mod socket;
pub(crate) mod startup;
mod stream;

pub use connection::{StreamOptions, WireConnection};
pub(crate) use replay::Replay;
pub use stream::PgStream;

#[cfg(test)]
mod tests;
