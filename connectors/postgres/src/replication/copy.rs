//! COPY out of a session: rows in the binary format, as they lie in the network buffer.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY>

use std::time::Duration;

use bytes::{Buf, Bytes};
use postgres_protocol::message::frontend;
use regraft_core::{Code, Error, Result};
use tokio::time::{Instant, sleep_until};

use super::connection::{WireConnection, closed};
use super::frame::Frame;
use crate::classify::classify_io;

/// After a read of less, the socket is given time to fill: the server pays for each wake-up.
const SHORT_READ: usize = 128 * 1024;
const PAUSE: Duration = Duration::from_micros(500);
/// `src/backend/commands/copyto.c`: signature, flags, length of the extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0";
const HEADER_BYTES: usize = 19;

/// The rows of `COPY … TO STDOUT (FORMAT binary)`. A connection on which it did not come to its end is
/// used no more.
pub(crate) struct CopyOut<'a> {
    connection: &'a mut WireConnection,
    paused_until: Option<Instant>,
    ended: bool,
}

impl WireConnection {
    /// Begins the COPY of a query; `then` is run after it.
    ///
    /// # Errors
    /// When the connection is broken. What is wrong with the query comes with the rows.
    pub(crate) async fn copy_out(&mut self, query: &str, then: &str) -> Result<CopyOut<'_>> {
        let sql = format!("COPY ({query}) TO STDOUT (FORMAT binary); {then}");
        self.send(|out| frontend::query(&sql, out)).await?;
        Ok(CopyOut { connection: self, paused_until: None, ended: false })
    }
}

impl CopyOut<'_> {
    /// All rows were read, and what was to be run after them is done.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Reads what is there, and waits only when there is nothing: rows as [`copied_row`] gives them.
    /// Cancel-safe.
    ///
    /// # Errors
    /// See [`crate::classify`].
    pub(crate) async fn read(&mut self, rows: &mut Vec<Bytes>) -> Result<()> {
        if let Some(until) = self.paused_until {
            sleep_until(until).await;
            self.paused_until = None;
        }
        let WireConnection { socket, buffer, place, .. } = &mut *self.connection;
        let read = buffer.fill(&mut **socket).await.map_err(|error| classify_io(&error, place))?;
        if read == 0 {
            return Err(closed(place));
        }
        while let Some(Frame { tag, body }) = self.connection.next_frame()? {
            match tag {
                b'd' => rows.extend(copied_row(body)?),
                b'E' => return Err(self.connection.refusal(&body)),
                b'Z' => self.ended = true,
                // CopyOutResponse, CopyDone, CommandComplete, Notice, ParameterStatus, Notification.
                b'H' | b'c' | b'C' | b'N' | b'S' | b'A' => {}
                _ => return Err(self.connection.protocol("a message does not belong to COPY")),
            }
        }
        if read < SHORT_READ && !self.ended && self.connection.socket.rest() {
            self.paused_until = Some(Instant::now() + PAUSE);
        }
        Ok(())
    }
}

/// The row of a CopyData message, in the layout of [`regraft_core::Row`]; `None` when it holds none.
pub(crate) fn copied_row(mut message: Bytes) -> Result<Option<Bytes>> {
    let broken = || Error::new(Code::Protocol, "COPY gives a row of unknown form");
    if message.starts_with(HEADER) {
        if message.len() < HEADER_BYTES {
            return Err(broken());
        }
        message.advance(HEADER_BYTES);
    }
    if message.is_empty() {
        return Ok(None);
    }
    // The number of columns, or -1 at the end.
    let columns = message.try_get_i16().map_err(|_| broken())?;
    Ok((columns >= 0).then_some(message))
}
