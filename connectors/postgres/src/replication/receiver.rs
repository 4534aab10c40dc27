//! The task that owns the socket of a change stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postgres_protocol::message::frontend;
use regraft_core::{Code, Error, Event, Lsn, Result};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{StreamOptions, WireConnection, closed};
use super::frame::Frame;
use super::replay::Replay;
use super::stream::{Piece, Shared};
use crate::classify::{classify_io, classify_notice};
use crate::pgoutput::Decoder;

/// After a read of less, the socket is given time to fill.
const SHORT_READ: usize = 64 * 1024;
/// A read that had to wait longer than this found the stream idle.
const IDLE: Duration = Duration::from_millis(5);
/// Acknowledgements are sent at once, but not more often than this.
/// A source that counts us as a synchronous standby has its commits wait for them.
const STATUS_GAP: Duration = Duration::from_millis(10);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// 2000-01-01 00:00 UTC, where PostgreSQL counts from, in Unix time.
const EPOCH: Duration = Duration::from_secs(946_684_800);

pub(super) struct Receiver {
    connection: WireConnection,
    options: StreamOptions,
    decoder: Decoder,
    /// What is asked for once more, before what the consumer has not had.
    replay: Option<Replay>,
    shared: Arc<Shared>,
    sender: UnboundedSender<Result<Piece>>,
    /// Room for pieces that wait for the consumer, in bytes.
    window: Arc<Semaphore>,
    /// Bytes to be sent; kept here so that no message is cut when a wait ends early.
    out: BytesMut,
    /// The last position that an event has told.
    told: Lsn,
    last_status: Instant,
    next_status: Instant,
    /// When the server last said something, or could have been heard again.
    heard: Instant,
    /// Since when the next read is waited for.
    waiting: Instant,
    paused_until: Option<Instant>,
    events_before: usize,
}

impl Receiver {
    pub(super) fn new(
        connection: WireConnection,
        (start, replay): (Lsn, Option<Replay>),
        options: StreamOptions,
        shared: Arc<Shared>,
        sender: UnboundedSender<Result<Piece>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            connection,
            decoder: Decoder::new(),
            replay,
            shared,
            sender,
            window: Arc::new(Semaphore::new(window_of(&options) as usize)),
            options,
            out: BytesMut::new(),
            told: start,
            last_status: now,
            // The first status message tells the server at once where the target stands.
            next_status: now,
            heard: now,
            waiting: now,
            paused_until: None,
            events_before: 0,
        }
    }

    /// Runs until the stream breaks or is closed. The result is that of a farewell.
    pub(super) async fn run(mut self, closing: oneshot::Receiver<()>) -> Result<()> {
        let broken = tokio::select! {
            biased;
            _ = closing => None,
            error = self.follow() => Some(error),
        };
        match broken {
            None => self.farewell().await,
            Some(error) => {
                // Nobody listens when the stream is being dropped.
                self.sender.send(Err(error)).ok();
                Ok(())
            }
        }
    }

    async fn follow(&mut self) -> Error {
        // What came with the answer to the start may be all that comes.
        if let Err(error) = self.received().await {
            return error;
        }
        loop {
            if let Err(error) = self.step().await {
                return error;
            }
        }
    }

    /// One thing to do: speak, take a breath, or read.
    async fn step(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            biased;
            () = sleep_until(self.next_status) => self.send_status().await,
            () = shared.wake.notified() => {
                self.hurry();
                Ok(())
            }
            () = sleep_until(self.paused_until.unwrap_or(self.waiting)),
                if self.paused_until.is_some() =>
            {
                self.paused_until = None;
                self.waiting = Instant::now();
                Ok(())
            }
            read = self.connection.buffer.fill(&mut *self.connection.socket),
                if self.paused_until.is_none() =>
            {
                let read = read.map_err(|error| classify_io(&error, &self.connection.place))?;
                if read == 0 {
                    return Err(closed(&self.connection.place));
                }
                let was_idle = self.waiting.elapsed() > IDLE;
                self.received().await?;
                self.rest_after(read, was_idle);
                Ok(())
            }
        }
    }

    /// Takes everything that was read.
    async fn received(&mut self) -> Result<()> {
        if let Some(session) = &self.connection.session {
            session.gave_a_sign();
        }
        self.heard = Instant::now();
        let mut events = Vec::with_capacity(self.events_before);
        let mut bytes = 0;
        let outcome = self.decode(&mut events, &mut bytes);
        if !events.is_empty() {
            self.events_before = events.len();
            self.deliver(events, bytes).await?;
        }
        outcome?;
        if self.connection.buffer.awaits_wide()? {
            drop(self.room(usize::MAX).await?);
        }
        let now = Instant::now();
        self.heard = now;
        self.waiting = now;
        Ok(())
    }

    /// Gives the socket time to fill.
    fn rest_after(&mut self, read: usize, was_idle: bool) {
        let pause = self.options.pause;
        if read < SHORT_READ && !was_idle && !pause.is_zero() && self.connection.socket.rest() {
            self.paused_until = Some(self.waiting + pause);
        }
    }

    fn decode(&mut self, events: &mut Vec<Event>, bytes: &mut usize) -> Result<()> {
        while let Some(Frame { tag, body }) = self.connection.next_frame()? {
            *bytes += body.len() + size_of::<Event>();
            match tag {
                b'd' => self.copy_data(body, events)?,
                b'E' => return Err(self.connection.refusal(&body)),
                // CopyDone; and CommandComplete, by which a server that shuts down ends a stream.
                b'c' | b'C' => return Err(closed(&self.connection.place)),
                b'N' => classify_notice(&body, &self.connection.place)?,
                // ParameterStatus, Notification.
                b'S' | b'A' => {}
                _ => return Err(self.connection.protocol("a message does not belong to a stream")),
            }
        }
        Ok(())
    }

    fn copy_data(&mut self, mut body: Bytes, events: &mut Vec<Event>) -> Result<()> {
        let place = &self.connection.place;
        let cut = |_| Error::new(Code::Protocol, "a streaming message is cut").at(place.as_str());
        match body.try_get_u8().map_err(cut)? {
            // XLogData: start, end, time, payload.
            b'w' => {
                let _start = body.try_get_u64().map_err(cut)?;
                let end = Lsn(body.try_get_u64().map_err(cut)?);
                let _time = body.try_get_u64().map_err(cut)?;
                self.shared.heard_of(end);
                let had = events.len();
                self.decoder.decode(body, events).map_err(|error| match error.place() {
                    Some(_) => error,
                    None => error.at(place.as_str()),
                })?;
                if let Some(Event::Commit { end: commit }) = events.get(had..).and_then(<[_]>::last)
                {
                    // It becomes a position: one that is not that of its message was damaged on its way.
                    if *commit != end.into() {
                        let what = "a commit says another position than its message";
                        return Err(self.connection.protocol(what));
                    }
                    self.told = self.told.max(end);
                }
                self.give(had, events)?;
            }
            // Keepalive: end, time, whether an answer is wanted at once.
            b'k' => {
                let end = Lsn(body.try_get_u64().map_err(cut)?);
                let _time = body.try_get_u64().map_err(cut)?;
                if body.try_get_u8().map_err(cut)? == 1 {
                    self.next_status = Instant::now();
                }
                self.shared.heard_of(end);
                if !self.decoder.in_transaction() {
                    self.reached(end)?;
                    // After a restart the server reads from before the start, and says so.
                    if end > self.told {
                        self.told = end;
                        events.push(Event::Progress { position: end.into() });
                    }
                }
            }
            _ => return Err(self.connection.protocol("a streaming message is of an unknown kind")),
        }
        Ok(())
    }

    /// The events from `had` on are the consumer's, unless they are of a replay.
    fn give(&mut self, had: usize, events: &mut Vec<Event>) -> Result<()> {
        let (Some(replay), place) = (&mut self.replay, &self.connection.place) else {
            return Ok(());
        };
        let proved = replay.is_proved();
        for event in events.split_off(had) {
            replay.event(event, events, place)?;
        }
        self.proved_since(proved);
        Ok(())
    }

    /// Everything before `end` has come.
    fn reached(&mut self, end: Lsn) -> Result<()> {
        let Some(replay) = &mut self.replay else { return Ok(()) };
        let proved = replay.is_proved();
        replay.reached(&end.into(), &self.connection.place)?;
        self.proved_since(proved);
        Ok(())
    }

    /// Where the log is proved now, and was not `before`, the server is told where the target stands.
    fn proved_since(&mut self, before: bool) {
        if self.replay.as_ref().is_some_and(|replay| replay.is_proved() && !before) {
            self.hurry();
        }
        self.replay.take_if(|replay| replay.is_over());
    }

    /// Hands events over as soon as there is room.
    async fn deliver(&mut self, events: Vec<Event>, bytes: usize) -> Result<()> {
        let room = self.room(bytes).await?;
        // Nobody listens when the stream is being closed.
        self.sender.send(Ok(Piece { events, room })).ok();
        Ok(())
    }

    /// Waits until there is room for so many bytes, and keeps the connection alive until then.
    async fn room(&mut self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(window_of(&self.options));
        let shared = Arc::clone(&self.shared);
        let room = Arc::clone(&self.window).acquire_many_owned(bytes);
        tokio::pin!(room);
        loop {
            tokio::select! {
                biased;
                room = &mut room => {
                    return room.map_err(|_| Error::new(Code::Internal, "the window was closed"));
                }
                () = sleep_until(self.next_status) => {
                    // The server may be unable to speak while nobody reads.
                    self.heard = Instant::now();
                    self.send_status().await?;
                }
                () = shared.wake.notified() => self.hurry(),
            }
        }
    }

    /// Something is to be told: soon, but with a gap to the last time.
    fn hurry(&mut self) {
        self.next_status = self.next_status.min(self.last_status + STATUS_GAP);
    }

    async fn send_status(&mut self) -> Result<()> {
        let silence = self.heard.elapsed();
        if silence >= self.options.silence_max {
            let what = format!("the server has been silent for {} s", silence.as_secs());
            return Err(Error::new(Code::Unreachable, what).at(self.connection.place()));
        }
        // A server that has nothing to send is asked where it is: what is idle shall be known as such.
        let asks = silence >= self.options.status_interval;
        self.put_status(asks);
        if let Some(session) = self.connection.session.as_ref().filter(|_| asks) {
            session.awaits_a_sign(silence);
        }
        self.last_status = Instant::now();
        self.next_status = self.last_status + self.options.status_interval;
        timeout(self.options.silence_max, self.flush()).await.unwrap_or_else(|_| {
            Err(Error::new(Code::Unreachable, "the server takes no more messages")
                .at(self.connection.place()))
        })
    }

    /// Appends a standby status update. Nothing is called written, flushed or applied that was not
    /// acknowledged, and nothing at all in a log that is not proved.
    fn put_status(&mut self, wants_reply: bool) {
        let proved = self.replay.as_ref().is_none_or(Replay::is_proved);
        let acknowledged = if proved { self.shared.acknowledged().0 } else { 0 };
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let clock = since_1970.unwrap_or_default().saturating_sub(EPOCH).as_micros();
        self.out.put_u8(b'd');
        self.out.put_i32(4 + 34);
        self.out.put_u8(b'r');
        for _ in ["written", "flushed", "applied"] {
            self.out.put_u64(acknowledged);
        }
        self.out.put_u64(u64::try_from(clock).unwrap_or_default());
        self.out.put_u8(u8::from(wants_reply));
    }

    async fn flush(&mut self) -> Result<()> {
        let WireConnection { socket, place, .. } = &mut self.connection;
        let sent = async {
            while self.out.has_remaining() {
                if socket.write_buf(&mut self.out).await? == 0 {
                    return Err(std::io::ErrorKind::WriteZero.into());
                }
            }
            socket.flush().await
        };
        sent.await.map_err(|error| classify_io(&error, place))
    }

    /// The last acknowledgement, CopyDone, the server's CopyDone, Terminate.
    async fn farewell(&mut self) -> Result<()> {
        self.put_status(false);
        frontend::copy_done(&mut self.out);
        let spoken = async {
            self.flush().await?;
            // What was still on its way is of no use; an end of any kind will do.
            while let Ok(Frame { tag, .. }) = self.connection.receive().await {
                if tag == b'Z' {
                    break;
                }
            }
            frontend::terminate(&mut self.out);
            self.flush().await.ok();
            self.connection.socket.shutdown().await.ok();
            Ok(())
        };
        // Closing the socket frees the slot too, once the server notices.
        timeout(FAREWELL, spoken).await.unwrap_or(Ok(()))
    }
}

fn window_of(options: &StreamOptions) -> u32 {
    // The semaphore's own limit is above this on every machine with 64 bits.
    u32::try_from(options.waiting_bytes_max).unwrap_or(u32::MAX).max(1)
}
