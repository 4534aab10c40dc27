//! Connections of the HTTP server: few at a time, and none for long without an answer, so that nobody
//! who opens many, or sends a byte a minute, takes the descriptors that the pipeline needs.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

/// Connections at a time; beyond them the oldest one is closed.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// From its beginning, or from the answer before, until a request is answered.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Connections {
    listener: TcpListener,
    /// Those that may be open, the oldest first.
    open: VecDeque<Weak<Notify>>,
}

impl Connections {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, open: VecDeque::new() }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        self.open.retain(|connection| connection.strong_count() > 0);
        while self.open.len() >= CONNECTIONS_MAX {
            if let Some(oldest) = self.open.pop_front().and_then(|oldest| oldest.upgrade()) {
                oldest.notify_one();
            }
        }
        let close = Arc::new(Notify::new());
        self.open.push_back(Arc::downgrade(&close));
        let closing = Box::pin(Arc::clone(&close).notified_owned());
        let late = Box::pin(sleep(REQUEST_TIME));
        (Connection { stream, closing, late, _open: close }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One of them; reading and writing fail once it has to go.
pub(crate) struct Connection {
    stream: TcpStream,
    closing: Pin<Box<tokio::sync::futures::OwnedNotified>>,
    late: Pin<Box<Sleep>>,
    _open: Arc<Notify>,
}

impl Connection {
    fn may_stay(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.closing.as_mut().poll(context).is_ready()
            || self.late.as_mut().poll(context).is_ready()
        {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.may_stay(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.may_stay(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.late.as_mut().reset(Instant::now() + REQUEST_TIME);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
