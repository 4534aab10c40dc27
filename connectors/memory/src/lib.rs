//! A source, a target and a ledger in memory, with failures on demand.
//!
//! It is the connector to read first, and the one with which the pipeline is tested without servers: what a
//! connector promises ([`regraft_core::contract`]) stands here without the words of a protocol. What makes the
//! promises hard to keep is here, too:
//!
//! - a commit is *in the log* before it is *visible* to snapshots ([`Database::commit_unseen`]);
//! - a stream may repeat what the target has ([`Database`] sends from what was acknowledged);
//! - what the target has committed may be lost with its machine until it is durable ([`Store::crash`]);
//! - each call may fail before it did anything, fail after it did its work, or answer late ([`Weather`]).
//!
//! | file | trait |
//! |---|---|
//! | `database.rs` | none: the server that the others speak to |
//! | `source.rs` | [`Source`](regraft_core::contract::Source), `ChangeStream`, `ChunkReader` |
//! | `store.rs` | none: the other server, with its ledger |
//! | `target.rs` | [`Target`](regraft_core::contract::Target), `Ledger`, `Sink` |
//! | `pair.rs` | [`Pair`](regraft_core::contract::Pair), `Verifier`, `Sentinel` |

mod copies;
mod database;
mod pair;
mod source;
mod store;
mod target;
mod weather;

pub use copies::Copies;
pub use database::{Action, Database, Select, TableSpec, mapped};
pub use pair::{MemoryPair, MemorySentinel, MemoryVerifier};
pub use source::{MemoryReader, MemorySource, MemoryStream};
pub use store::{Store, TargetTable, Verdict};
pub use target::{MemoryLedger, MemorySink, MemoryTarget};
pub use weather::{Chances, Failure, Weather};
