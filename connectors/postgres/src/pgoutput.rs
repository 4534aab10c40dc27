//! Decoder of logical replication messages, protocol version 1.
//!
//! Tuples point into the frame they came in; nothing is copied per row, except for an update whose
//! unchanged columns are taken from the old image.
//!
//! <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hashbrown::HashMap;
use regraft_core::change::OldImage;
use regraft_core::tuple::FrameTuple;
use regraft_core::{
    Change, Code, Column, Error, Event, Lsn, Oid, Origin, Relation, ReplicaIdentity, Result,
    TableName, Transaction, Tuple,
};

/// 2000-01-01 00:00 UTC, where PostgreSQL counts from.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);

/// Turns the messages of one stream into events. Needs all of them, in order: shapes of tables are
/// sent once, before their first change.
#[derive(Debug, Default)]
pub struct Decoder {
    relations: HashMap<Oid, Arc<Relation>>,
    in_transaction: bool,
    /// The next message says where it comes from, if it comes from elsewhere.
    begun: Option<Transaction>,
}

impl Decoder {
    /// For a stream that has just started.
    pub fn new() -> Self {
        Self::default()
    }

    /// True from the first to the last message of a transaction.
    pub fn in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// Decodes one message, and appends what it completes: nothing, one event, or the begin of a transaction
    /// and one event.
    ///
    /// # Errors
    /// [`Code::Protocol`] when the bytes are not such a message, or not at this point of the stream.
    /// The stream cannot be followed after that.
    pub fn decode(&mut self, payload: Bytes, events: &mut Vec<Event>) -> Result<()> {
        let mut cursor = Cursor { frame: &payload, at: 0 };
        let kind = cursor.u8()?;
        if kind == b'O' {
            return self.origin(&mut cursor, events);
        }
        if self.begun.is_some() {
            events.extend(self.begun.take().map(Event::Begin));
        }
        let event = match kind {
            b'I' | b'U' | b'D' | b'T' => Some(Event::Change(self.change(kind, &mut cursor)?)),
            b'B' => self.begin(&mut cursor).map(|()| None)?,
            b'C' => Some(self.commit(&mut cursor)?),
            b'R' => Some(self.relation(&mut cursor)?),
            b'Y' => Some(Event::Type {
                oid: cursor.u32()?,
                schema: schema_name(cursor.string()?),
                name: cursor.string()?,
            }),
            b'M' => Some(self.message(&mut cursor)?),
            _ => return Err(protocol("a replication message is of an unknown kind")),
        };
        cursor.end()?;
        events.extend(event);
        Ok(())
    }

    fn begin(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        if self.in_transaction {
            return Err(protocol("a transaction begins inside another"));
        }
        let transaction = Transaction {
            at: Lsn(cursor.u64()?).into(),
            commit_time: time(cursor.u64()?.cast_signed())?,
            xid: Some(cursor.u32()?),
            origin: None,
        };
        self.in_transaction = true;
        self.begun = Some(transaction);
        Ok(())
    }

    fn origin(&mut self, cursor: &mut Cursor<'_>, events: &mut Vec<Event>) -> Result<()> {
        let at = Lsn(cursor.u64()?).into();
        let name = cursor.string()?.into();
        cursor.end()?;
        let Some(begun) = self.begun.take() else {
            return Err(protocol("an origin does not stand at the start of its transaction"));
        };
        let origin = Some(Origin { name, at });
        events.push(Event::Begin(Transaction { origin, ..begun }));
        Ok(())
    }

    fn commit(&mut self, cursor: &mut Cursor<'_>) -> Result<Event> {
        if !self.in_transaction {
            return Err(protocol("a transaction ends that did not begin"));
        }
        let _flags = cursor.u8()?;
        let _commit_lsn = cursor.u64()?;
        let end = Lsn(cursor.u64()?).into();
        let _commit_time = cursor.u64()?;
        self.in_transaction = false;
        Ok(Event::Commit { end })
    }

    fn message(&self, cursor: &mut Cursor<'_>) -> Result<Event> {
        let transactional = cursor.u8()? & 1 == 1;
        let _lsn = cursor.u64()?;
        let prefix = cursor.string()?;
        let length = cursor.length()?;
        let start = cursor.skip(length)?;
        if transactional != self.in_transaction {
            return Err(protocol("a logical message is on the wrong side of a transaction"));
        }
        let content = cursor.frame.slice(start..start + length);
        Ok(Event::Message { prefix, content, transactional })
    }

    fn relation(&mut self, cursor: &mut Cursor<'_>) -> Result<Event> {
        let oid = cursor.u32()?;
        let table = TableName::new(schema_name(cursor.string()?), cursor.string()?);
        let identity = match cursor.u8()? {
            b'd' => ReplicaIdentity::Default,
            b'n' => ReplicaIdentity::Nothing,
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            _ => return Err(protocol("a table has an unknown replica identity")),
        };
        let count = cursor.count()?;
        let mut columns = Vec::with_capacity(count.min(COLUMNS_MAX));
        for _ in 0..count {
            columns.push(Column {
                key: cursor.u8()? & 1 == 1,
                name: cursor.string()?,
                type_oid: cursor.u32()?,
                type_modifier: cursor.u32()?.cast_signed(),
            });
        }
        let relation = Arc::new(Relation { oid, table, identity, columns });
        self.relations.insert(oid, Arc::clone(&relation));
        Ok(Event::Relation(relation))
    }

    fn change(&self, kind: u8, cursor: &mut Cursor<'_>) -> Result<Change> {
        if !self.in_transaction {
            return Err(protocol("a change stands outside of a transaction"));
        }
        if kind == b'T' {
            return self.truncate(cursor);
        }
        let relation = self.known(cursor.u32()?)?;
        let old = match cursor.peek()? {
            b'N' => None,
            _ if kind == b'I' => return Err(protocol("an insert has an old row")),
            b'K' => Some(OldImage::Key(cursor.tagged_tuple(&relation)?)),
            b'O' => Some(OldImage::Full(cursor.tagged_tuple(&relation)?)),
            _ => return Err(protocol("a row image is of an unknown kind")),
        };
        if kind == b'D' {
            let old = old.ok_or_else(|| protocol("a delete has no old row"))?;
            return Ok(Change::Delete { relation, old });
        }
        if cursor.peek()? != b'N' {
            return Err(protocol("a change has no new row"));
        }
        let new = cursor.tagged_tuple(&relation)?;
        if kind == b'I' {
            return Ok(Change::Insert { relation, new });
        }
        let new = match &old {
            // The server leaves an unchanged TOAST value out of the new row even when it has just
            // sent it as part of the old one. Of an old key the other columns are NULL, and mean nothing;
            // it comes whenever a part of it is out of line, changed or not.
            Some(OldImage::Full(old)) if new.has_unchanged() => new.filled_from(old, |_| true),
            Some(OldImage::Key(old)) if new.has_unchanged() => {
                new.filled_from(old, |at| relation.columns.get(at).is_some_and(|column| column.key))
            }
            _ => new,
        };
        Ok(Change::Update { relation, old, new })
    }

    fn truncate(&self, cursor: &mut Cursor<'_>) -> Result<Change> {
        let count = cursor.length()?;
        // CASCADE and RESTART IDENTITY: the tables are all listed, and sequences are not followed.
        let _options = cursor.u8()?;
        let relations =
            (0..count).map(|_| self.known(cursor.u32()?)).collect::<Result<Vec<_>>>()?;
        Ok(Change::Truncate { relations })
    }

    fn known(&self, oid: Oid) -> Result<Arc<Relation>> {
        self.relations
            .get(&oid)
            .cloned()
            .ok_or_else(|| protocol(format!("a change is for the unknown table with OID {oid}")))
    }
}

/// `MaxTupleAttributeNumber`: no more room than that is made ahead of time.
const COLUMNS_MAX: usize = 1664;

fn protocol(what: impl Into<String>) -> Error {
    Error::new(Code::Protocol, what)
}

/// The protocol writes `pg_catalog` as an empty name.
fn schema_name(name: String) -> String {
    if name.is_empty() { "pg_catalog".to_owned() } else { name }
}

fn time(micros: i64) -> Result<SystemTime> {
    let epoch = SystemTime::UNIX_EPOCH + POSTGRES_EPOCH;
    let distance = Duration::from_micros(micros.unsigned_abs());
    let time = if micros < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
    time.ok_or_else(|| protocol("a commit time is out of range"))
}

/// A place in a frame. Never beyond its end.
struct Cursor<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.frame.get(self.at..).unwrap_or_default()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let head = self.rest().first_chunk::<N>().ok_or_else(cut)?;
        self.at += N;
        Ok(*head)
    }

    /// Everything was read.
    fn end(&self) -> Result<()> {
        match self.rest() {
            [] => Ok(()),
            _ => Err(protocol("a replication message has bytes left over")),
        }
    }

    fn peek(&self) -> Result<u8> {
        self.rest().first().copied().ok_or_else(cut)
    }

    fn u8(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// An `Int16` that counts something.
    fn count(&mut self) -> Result<usize> {
        let count = i16::from_be_bytes(self.array()?);
        usize::try_from(count).map_err(|_| protocol("a count is negative"))
    }

    /// An `Int32` that counts something.
    fn length(&mut self) -> Result<usize> {
        let length = i32::from_be_bytes(self.array()?);
        usize::try_from(length).map_err(|_| protocol("a length is negative"))
    }

    /// Goes on by `length` bytes; returns where they start.
    fn skip(&mut self, length: usize) -> Result<usize> {
        if length > self.rest().len() {
            return Err(cut());
        }
        let start = self.at;
        self.at += length;
        Ok(start)
    }

    fn string(&mut self) -> Result<String> {
        let rest = self.rest();
        let end = rest.iter().position(|byte| *byte == 0).ok_or_else(cut)?;
        let text = rest.get(..end).unwrap_or_default();
        self.at += end + 1;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| protocol("a name is not in UTF-8"))
    }

    /// A row image after its `K`, `O` or `N`.
    fn tagged_tuple(&mut self, relation: &Relation) -> Result<Tuple> {
        self.u8()?;
        let count = self.count()?;
        if count != relation.columns.len() {
            return Err(protocol("a row has another number of columns than its table")
                .at(relation.table.to_string()));
        }
        let mut tuple = FrameTuple::new(self.frame.clone(), count);
        for _ in 0..count {
            match self.u8()? {
                b'n' => tuple.push_null(),
                b'u' => tuple.push_unchanged(),
                kind @ (b't' | b'b') => {
                    let length = self.length()?;
                    let start = self.skip(length)?;
                    tuple.push_value(kind == b't', start, length).ok_or_else(cut)?;
                }
                _ => return Err(protocol("a column is of an unknown kind")),
            }
        }
        Ok(tuple.finish())
    }
}

fn cut() -> Error {
    protocol("a replication message is cut")
}

#[cfg(test)]
mod tests;
