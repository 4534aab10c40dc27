//! PostgreSQL as source and target.
//!
//! - source: [`replication`] (the wire), [`pgoutput`] (the decoder), [`slot`] (slot and
//!   publication), [`chunks`] (backfill reads)
//! - target: [`apply`] (the writer), [`ledger`] (positions, chunks)
//! - both: [`endpoint`] (connecting), [`catalog`] (shapes of tables), [`connectors`] (all of it
//!   behind the traits of `regraft-core`)
//!
//! It knows nothing of mappings or of the pipeline.

pub mod apply;
pub mod catalog;
pub mod chunks;
mod classify;
pub mod connectors;
mod defaults;
mod dsn;
pub mod endpoint;
pub mod ledger;
pub mod pgoutput;
mod raw;
pub mod replication;
pub mod slot;
mod tls;
pub mod verify;
mod words;

pub use classify::{ServerError, classify, classify_server};
pub use endpoint::Endpoint;
pub use replication::{PgStream, WireConnection};
pub use words::show_server_messages;
