//! The change model: what a source connector hands to the pipeline.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::position::Position;
use crate::relation::{Oid, Relation};
use crate::tuple::Tuple;

/// The old image that came with an update or delete.
#[derive(Clone, Debug, PartialEq)]
pub enum OldImage {
    /// Only the replica identity columns hold values; all others are NULL *and mean nothing*.
    Key(Tuple),
    /// The whole old row (`REPLICA IDENTITY FULL`).
    Full(Tuple),
}

impl OldImage {
    /// The image, of whichever kind.
    pub fn tuple(&self) -> &Tuple {
        match self {
            OldImage::Key(tuple) | OldImage::Full(tuple) => tuple,
        }
    }
}

/// One change of one row, or a TRUNCATE.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new row.
    Insert {
        /// Shape of the table at this point.
        relation: Arc<Relation>,
        /// The row.
        new: Tuple,
    },
    /// A changed row.
    Update {
        /// Shape of the table at this point.
        relation: Arc<Relation>,
        /// Present when the key changed, and always under `REPLICA IDENTITY FULL`.
        old: Option<OldImage>,
        /// The row after the change; columns may be unchanged, see [`crate::Cell::Unchanged`].
        new: Tuple,
    },
    /// A deleted row.
    Delete {
        /// Shape of the table at this point.
        relation: Arc<Relation>,
        /// The row, or its key.
        old: OldImage,
    },
    /// All rows of these tables are gone.
    Truncate {
        /// The published tables of the TRUNCATE statement.
        relations: Vec<Arc<Relation>>,
    },
}

impl Change {
    /// It carries a row that is wide ([`crate::WIDE`]).
    pub fn is_wide(&self) -> bool {
        match self {
            Change::Insert { new, .. } => new.is_wide(),
            Change::Update { old, new, .. } => {
                new.is_wide() || old.as_ref().is_some_and(|old| old.tuple().is_wide())
            }
            Change::Delete { old, .. } => old.tuple().is_wide(),
            Change::Truncate { .. } => false,
        }
    }
}

/// Begin of a committed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Where it is, see [`Position::has`]: in a PostgreSQL log, where its commit record begins; in topics, behind
    /// its messages.
    pub at: Position,
    /// Commit time on the source's clock.
    pub commit_time: SystemTime,
    /// Top-level transaction id, without epoch, where the source has such.
    pub xid: Option<u32>,
    /// Where it was committed first, if it was copied to the source from elsewhere.
    pub origin: Option<Origin>,
}

/// Where a transaction comes from that was replayed at the source under a replication origin.
///
/// <https://www.postgresql.org/docs/current/replication-origins.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Name of the replication origin, as the source has it.
    pub name: Arc<str>,
    /// Where it was committed there, as it was told to the source.
    pub at: Position,
}

/// One step of a stream, in commit order.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every event is a change, and a box would cost an allocation for each row"
)]
#[derive(Clone, Debug)]
pub enum Event {
    /// The changes up to the next [`Event::Commit`] are one transaction.
    Begin(Transaction),
    /// A change of the open transaction.
    Change(Change),
    /// A table has this shape from now on. Sent before the first change of that shape.
    Relation(Arc<Relation>),
    /// A user-defined type of the columns that follow.
    Type {
        /// `pg_type.oid` on the source.
        oid: Oid,
        /// Schema of the type.
        schema: String,
        /// Name of the type.
        name: String,
    },
    /// `pg_logical_emit_message`, of any prefix. Transactional ones stand between Begin and Commit.
    Message {
        /// The prefix given by the emitter.
        prefix: String,
        /// The content given by the emitter.
        content: Bytes,
        /// Whether it belongs to the open transaction.
        transactional: bool,
    },
    /// The open transaction is complete.
    Commit {
        /// The position once this is applied; in a PostgreSQL log, directly behind the commit record.
        end: Position,
    },
    /// The source has nothing for this stream up to here. Never inside a transaction.
    Progress {
        /// Everything before it is either in events already given, or not for this stream.
        position: Position,
    },
}
