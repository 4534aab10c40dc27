//! A socket that knows since when the server is silent although something is asked of it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{Session, Wide};
use crate::replication::restful::Socket;

/// See the module. Reading and writing fail once the session is given up.
pub(crate) struct Watched {
    socket: Box<dyn Socket>,
    session: Arc<Session>,
    given_up: Pin<Box<WaitForCancellationFutureOwned>>,
    wide: Option<Wide>,
    /// Its turn is waited for.
    turn: Option<Turn>,
}

type Turn = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl Watched {
    /// Of a session that reads wide rows only in its turn, if there is one.
    pub(crate) fn new(socket: Box<dyn Socket>, session: Arc<Session>, wide: Option<Wide>) -> Self {
        let given_up = Box::pin(session.given_up.clone().cancelled_owned());
        Self { socket, session, given_up, wide, turn: None }
    }

    fn has_its_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(wide) = self.wide.as_ref().filter(|_| self.session.awaits_wide()) else {
            return Poll::Ready(());
        };
        let turn = self.turn.get_or_insert_with(|| Box::pin(wide.clone().turn()));
        let ready = turn.as_mut().poll(context);
        if ready.is_ready() {
            self.turn = None;
        }
        ready
    }

    fn alive(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.given_up.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, self.session.reason())),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.alive(context)?;
        ready!(self.has_its_turn(context));
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        match &read {
            Poll::Ready(Ok(())) => {
                self.session.heard(buffer.filled().get(before..).unwrap_or_default());
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.session.listens(),
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.alive(context)?;
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        match &written {
            Poll::Ready(Ok(count)) => self.session.said(bytes.get(..*count).unwrap_or_default()),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.session.is_not_heard(),
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive(context)?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl Socket for Watched {
    fn rest(&mut self) -> bool {
        self.socket.rest()
    }
}

/// A socket that is encrypted already, for a client that asks for one that is.
pub(crate) struct Encrypted {
    socket: Watched,
    binding: Option<Vec<u8>>,
}

/// Gives the socket on as it is, with its data for channel binding.
pub(crate) struct AsItIs(pub(crate) Option<Vec<u8>>);

impl TlsConnect<Watched> for AsItIs {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Encrypted>>;

    fn connect(self, socket: Watched) -> Self::Future {
        std::future::ready(Ok(Encrypted { socket, binding: self.0 }))
    }
}

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.binding {
            Some(data) => ChannelBinding::tls_server_end_point(data.clone()),
            None => ChannelBinding::none(),
        }
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
