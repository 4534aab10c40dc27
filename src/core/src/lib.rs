//! What every part of regraft agrees on: the change model, positions, the traits between the
//! parts, and errors with what, where and what to do next.
//!
//! This crate owns meanings and no behaviour that needs a server: it knows no database client, no
//! SQL and no file format. Connectors implement the traits, the pipeline drives them.
//!
//! Start with [`change`], then [`contract`].

pub mod change;
pub mod chunk;
pub mod contract;
pub mod drift;
pub mod error;
pub mod fail;
pub mod gives;
pub mod key;
pub mod mapper;
pub mod oid;
pub mod position;
pub mod relation;
pub mod row;
pub mod segment;
pub mod sql;
pub mod takes;
pub mod text;
pub mod tuple;
pub mod verify;
pub mod watermark;

pub use change::{Change, Event, Origin, Transaction};
pub use chunk::{ChunkData, ChunkScope, Snapshot, Traced};
pub use drift::{Drifted, Subject};
pub use error::{Code, Error, Kind, Result};
pub use gives::Gives;
pub use key::Key;
pub use mapper::{Declaration, Mapped, Mapper};
pub use position::{Lsn, Offsets, Position};
pub use relation::{Column, Keyless, Oid, Relation, ReplicaIdentity, TableName};
pub use row::{Row, Rows, WIDE};
pub use segment::{Cause, Commit, Entry, EntryKind, Payload, Segment, TableWrites};
pub use takes::{Form, Takes};
pub use tuple::{Cell, Tuple, TupleBuilder};
pub use watermark::{Mark, Token, Watermark, Watermarks};
