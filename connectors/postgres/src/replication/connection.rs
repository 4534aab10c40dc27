//! A session on the wire, before it streams.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use postgres_protocol::message::frontend;
use regraft_core::sql::quote;
use regraft_core::{Code, Error, Lsn, Result};
use tokio::io::AsyncWriteExt;

use super::frame::{Frame, FrameBuffer};
use super::restful::Socket;
use super::stream::PgStream;
use crate::classify::{ServerError, classify_io, classify_server};
use crate::sessions::Session;

/// How to stream. The default is what regraft uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Values in the binary send format where the type has one.
    pub binary: bool,
    /// Also `pg_logical_emit_message`.
    pub messages: bool,
    /// At least one status message in this time. Below a third of the source's
    /// `wal_sender_timeout`, whose lowest sensible value is a few seconds.
    pub status_interval: Duration,
    /// The connection counts as broken when the server has said nothing for so long, although it
    /// was asked to after half of it.
    pub silence_max: Duration,
    /// Pause between short reads while messages flow, so that the source's walsender does not pay
    /// for a wake-up per message. Zero reads at once.
    pub pause: Duration,
    /// Bytes of the wire that may wait for the consumer. A larger message is let through alone.
    pub waiting_bytes_max: usize,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            binary: true,
            messages: true,
            status_interval: Duration::from_secs(1),
            silence_max: Duration::from_secs(60),
            pause: Duration::from_micros(300),
            waiting_bytes_max: 16 << 20,
        }
    }
}

/// A session that knows plain SQL by the simple protocol, and the replication commands where it was
/// opened for them (`replication=database`).
///
/// <https://www.postgresql.org/docs/current/protocol-replication.html>
pub struct WireConnection {
    pub(super) socket: Box<dyn Socket>,
    pub(super) buffer: FrameBuffer,
    pub(crate) place: String,
    /// Who looks after it, where somebody does.
    pub(crate) session: Option<Arc<Session>>,
    /// Number of the server's process, as it was told at the start-up.
    process: Option<Vec<u8>>,
}

impl WireConnection {
    pub(crate) fn new(socket: Box<dyn Socket>, place: &str) -> Self {
        let (buffer, place) = (FrameBuffer::default(), place.to_owned());
        Self { socket, buffer, place, session: None, process: None }
    }

    /// Host, database and role.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Runs a command (`IDENTIFY_SYSTEM`, `CREATE_REPLICATION_SLOT`, `SHOW`, SQL) and gives its
    /// rows as text.
    ///
    /// Not cancel-safe: after a drop the connection is used no more.
    ///
    /// # Errors
    /// See [`classify_server`]; the connection can be used again after a refusal.
    pub async fn simple_query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.send(|out| frontend::query(sql, out)).await?;
        let mut rows = Vec::new();
        let mut refusal = None;
        loop {
            let Frame { tag, body } = match self.receive().await {
                Ok(frame) => frame,
                // A FATAL refusal is followed by the end of the connection.
                Err(error) => return Err(refusal.unwrap_or(error)),
            };
            match tag {
                b'D' => rows.push(data_row(&body).ok_or_else(|| self.protocol("a row is cut"))?),
                b'E' => refusal = Some(self.refusal(&body)),
                b'Z' => return refusal.map_or(Ok(rows), Err),
                // RowDescription, CommandComplete, EmptyQuery, Notice, ParameterStatus,
                // Notification.
                b'T' | b'C' | b'I' | b'N' | b'S' | b'A' => {}
                _ => return Err(self.protocol("a message does not belong to a query")),
            }
        }
    }

    /// Something stands before the server that shares its sessions, such as pgbouncer: the process that
    /// answers is not the one that was told at the start-up.
    ///
    /// # Errors
    /// As [`WireConnection::simple_query`].
    pub(crate) async fn is_pooled(&mut self) -> Result<bool> {
        let rows = self.simple_query("SELECT pg_catalog.pg_backend_pid()").await?;
        let answers = rows.first().and_then(|row| row.first()?.as_ref()?.parse::<i32>().ok());
        let told = self.process.as_deref().and_then(|bytes| bytes.try_into().ok());
        Ok(told.map(i32::from_be_bytes) != answers)
    }

    /// Starts streaming `publications` from the slot. The source goes on where the slot was last
    /// acknowledged when `start` is before that.
    ///
    /// # Errors
    /// [`Code::SlotInUse`], [`Code::SlotMissing`], [`Code::SlotLost`], [`Code::SlotUnfit`], and what
    /// any command can give. A missing publication shows only in the stream.
    pub async fn start(
        mut self,
        slot: &str,
        start: Lsn,
        publications: &[String],
        options: StreamOptions,
    ) -> Result<PgStream> {
        self.begin(slot, start, publications, &options).await?;
        Ok(PgStream::spawn(self, (start, start), None, options))
    }

    /// As [`WireConnection::start`]; nothing is read of the stream yet.
    pub(crate) async fn begin(
        &mut self,
        slot: &str,
        start: Lsn,
        publications: &[String],
        options: &StreamOptions,
    ) -> Result<()> {
        self.place = format!("{}, slot \"{slot}\"", self.place);
        let command = start_command(slot, start, publications, options);
        self.send(|out| frontend::query(&command, out)).await?;
        loop {
            let Frame { tag, body } = self.receive().await?;
            match tag {
                // CopyBothResponse.
                b'W' => return Ok(()),
                b'E' => return Err(self.refusal(&body)),
                b'N' | b'S' => {}
                _ => return Err(self.protocol("START_REPLICATION is not answered as it should")),
            }
        }
    }

    pub(super) async fn send(
        &mut self,
        message: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<()> {
        let mut out = BytesMut::new();
        message(&mut out).map_err(|error| {
            Error::new(Code::Internal, format!("a message cannot be sent: {error}"))
                .at(self.place.as_str())
        })?;
        let sent = async {
            self.socket.write_all(&out).await?;
            self.socket.flush().await
        };
        sent.await.map_err(|error| classify_io(&error, &self.place))
    }

    pub(super) async fn receive(&mut self) -> Result<Frame> {
        loop {
            if let Some(frame) = self.next_frame()? {
                return Ok(frame);
            }
            let read = self.buffer.fill(&mut *self.socket).await;
            if read.map_err(|error| classify_io(&error, &self.place))? == 0 {
                return Err(closed(&self.place));
            }
        }
    }

    /// The next message that has been read already.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>> {
        self.buffer.next().map_err(|error| error.at(self.place.as_str()))
    }

    /// Waits for the end of the start-up.
    pub(super) async fn ready(&mut self) -> Result<()> {
        loop {
            let Frame { tag, body } = self.receive().await?;
            match tag {
                b'Z' => return Ok(()),
                b'E' => return Err(self.refusal(&body)),
                // BackendKeyData: the process, and a key that cancels.
                b'K' => self.process = body.get(..4).map(<[u8]>::to_vec),
                // ParameterStatus, Notice.
                b'S' | b'N' => {}
                _ => return Err(self.protocol("a message does not belong to the start-up")),
            }
        }
    }

    pub(super) fn refusal(&self, body: &[u8]) -> Error {
        classify_server(&ServerError::parse(body), &self.place)
    }

    pub(crate) fn protocol(&self, what: &str) -> Error {
        Error::new(Code::Protocol, what).at(self.place.as_str())
    }
}

pub(super) fn closed(place: &str) -> Error {
    Error::new(Code::Unreachable, "the server closed the connection").at(place)
}

/// `START_REPLICATION`. The grammar of the replication scanner knows doubled quotes and no
/// backslashes; `publication_names` is a list of identifiers inside a string.
fn start_command(
    slot: &str,
    start: Lsn,
    publications: &[String],
    options: &StreamOptions,
) -> String {
    let names: Vec<_> = publications.iter().map(|name| quote(name)).collect();
    let names = names.join(",").replace('\'', "''");
    let mut command = format!(
        "START_REPLICATION SLOT {} LOGICAL {start} (proto_version '1', publication_names '{names}'",
        quote(slot)
    );
    if options.messages {
        command.push_str(", messages 'true'");
    }
    if options.binary {
        command.push_str(", binary 'true'");
    }
    command.push(')');
    command
}

/// The columns of a DataRow.
fn data_row(mut body: &[u8]) -> Option<Vec<Option<String>>> {
    let columns = body.try_get_u16().ok()?;
    (0..columns)
        .map(|_| match usize::try_from(body.try_get_i32().ok()?) {
            Err(_) => Some(None),
            Ok(length) => {
                let (value, rest) = body.split_at_checked(length)?;
                body = rest;
                Some(Some(String::from_utf8_lossy(value).into_owned()))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_names() {
        let names = ["a".to_owned(), r#"it's "b",c\"#.to_owned()];
        let command = start_command("s\"x", Lsn(0x1_0000_0010), &names, &StreamOptions::default());
        let want = r#"START_REPLICATION SLOT "s""x" LOGICAL 1/10 (proto_version '1', publication_names '"a","it''s ""b"",c\"', messages 'true', binary 'true')"#;
        assert_eq!(command, want);
    }
}
