//! PostgreSQL as source and target.
//!
//! - source: [`replication`] (the wire), [`pgoutput`] (the decoder), [`slot`] (slot and
//!   publication), [`chunks`] (backfill reads)
//! - target: [`apply`] (the writer), [`ledger`] (positions, chunks)
//! - plans: [`planning`] (what both servers say of a mapping)
//! - both: [`endpoint`] (connecting), [`sessions`] (who is waited for), [`catalog`] (shapes of tables), [`source`],
//!   [`target`] and [`pair`] (all of it behind the traits of `regraft-core`)
//!
//! It knows nothing of mappings or of the pipeline.

pub mod address;
pub mod apply;
mod at;
pub mod catalog;
pub mod chunks;
mod classify;
mod defaults;
mod dsn;
pub mod endpoint;
mod fitting;
#[doc(hidden)]
pub mod fuzzed;
mod given;
mod hindered;
pub mod history;
pub mod known;
pub mod ledger;
mod often;
pub mod pair;
pub mod pgoutput;
pub mod planning;
mod raw;
pub mod replication;
mod restricted;
#[cfg(test)]
mod rooms;
pub mod sessions;
pub mod slot;
pub mod source;
pub mod standing;
pub mod target;
mod tls;
pub mod verify;
mod words;
pub mod writes;

pub use classify::{ServerError, classify, classify_server};
pub use endpoint::Endpoint;
pub use replication::{PgStream, WireConnection};
/// A connection to a server: what the functions here ask.
pub use tokio_postgres::Client;
pub use words::show_server_messages;
