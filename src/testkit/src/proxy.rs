//! A network between two parties that a test can cut, freeze and slow down.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// No limit is set by [`Proxy::cut_after`].
const UNLIMITED: i64 = i64::MAX;

/// A way through a [`Proxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Forwards TCP connections to one server. Dropping it cuts them all.
pub struct Proxy {
    port: u16,
    state: watch::Sender<State>,
    traffic: Arc<Traffic>,
}

#[derive(Clone, Default)]
struct State {
    /// Connections of an earlier epoch are cut.
    epoch: u64,
    /// By way.
    frozen: [bool; 2],
    refuse: bool,
    delay: Duration,
}

struct Traffic {
    /// Bytes until the next cut.
    left: AtomicI64,
    accepted: AtomicUsize,
    state: watch::Sender<State>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `127.0.0.1:upstream`.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = watch::Sender::new(State::default());
        let traffic = Arc::new(Traffic {
            left: AtomicI64::new(UNLIMITED),
            accepted: AtomicUsize::new(0),
            state: state.clone(),
        });
        let upstream = SocketAddr::from(([127, 0, 0, 1], upstream));
        tokio::spawn(accept(listener, upstream, Arc::clone(&traffic)));
        Self { port, state, traffic }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same address, through the proxy.
    ///
    /// # Panics
    /// If the address has no host and port of 127.0.0.1.
    pub fn url(&self, url: &str) -> String {
        let (before, after) = url.split_once("@127.0.0.1:").unwrap();
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        format!("{before}@127.0.0.1:{}{rest}", self.port)
    }

    /// How many connections were asked for, refused ones included.
    pub fn accepted(&self) -> usize {
        self.traffic.accepted.load(Ordering::SeqCst)
    }

    /// Drops all connections now; new ones are accepted.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.epoch += 1);
    }

    /// Drops all connections after this many more bytes, counted over all connections and both
    /// directions: in the middle of a message as likely as not. Once.
    pub fn cut_after(&self, bytes: u32) {
        self.traffic.left.store(i64::from(bytes), Ordering::SeqCst);
    }

    /// Stops forwarding without closing anything, as a lost network does.
    pub fn freeze(&self) {
        self.state.send_modify(|state| state.frozen = [true; 2]);
    }

    /// The same for one way only, as a firewall does.
    pub fn freeze_way(&self, way: Way) {
        self.state.send_modify(|state| state.frozen[way as usize] = true);
    }

    /// Forwards again, beginning with what was held back.
    pub fn thaw(&self) {
        self.state.send_modify(|state| state.frozen = [false; 2]);
    }

    /// Whether new connections are closed at once. Those that exist are left alone.
    pub fn refuse(&self, refuse: bool) {
        self.state.send_modify(|state| state.refuse = refuse);
    }

    /// Holds every piece of data back for this long, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The listener and all connections end with the last epoch.
        self.state.send_modify(|state| state.epoch = u64::MAX);
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, traffic: Arc<Traffic>) {
    let mut state = traffic.state.subscribe();
    loop {
        let client = tokio::select! {
            ended = state.wait_for(|state| state.epoch == u64::MAX) => {
                drop(ended);
                return;
            }
            accepted = listener.accept() => accepted,
        };
        let Ok((client, _)) = client else { continue };
        traffic.accepted.fetch_add(1, Ordering::SeqCst);
        if traffic.state.borrow().refuse {
            continue;
        }
        tokio::spawn(forward(client, upstream, Arc::clone(&traffic)));
    }
}

async fn forward(client: TcpStream, upstream: SocketAddr, traffic: Arc<Traffic>) {
    let mut state = traffic.state.subscribe();
    let epoch = state.borrow().epoch;
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let both = async {
        tokio::join!(
            pump(Way::ToServer, from_client, to_server, epoch, &traffic),
            pump(Way::ToClient, from_server, to_client, epoch, &traffic),
        )
    };
    tokio::select! {
        cut = state.wait_for(|state| state.epoch != epoch) => drop(cut),
        // One direction may be closed long before the other.
        ended = both => drop(ended),
    }
}

async fn pump(
    way: Way,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    epoch: u64,
    traffic: &Traffic,
) -> io::Result<()> {
    let mut state = traffic.state.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let delay = state.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        // Also while frozen, the end of the connection is held back.
        state.wait_for(|state| !state.frozen[way as usize]).await.map_err(io::Error::other)?;
        if length == 0 {
            return to.shutdown().await;
        }
        let allowed = traffic.allow(length);
        to.write_all(buffer.get(..allowed).unwrap_or_default()).await?;
        if allowed < length || traffic.left.load(Ordering::SeqCst) == 0 {
            traffic.left.store(UNLIMITED, Ordering::SeqCst);
            traffic.state.send_modify(|state| state.epoch = state.epoch.max(epoch + 1));
        }
    }
}

impl Traffic {
    /// Takes up to `wanted` bytes from what is left before the cut.
    fn allow(&self, wanted: usize) -> usize {
        let wanted = wanted as i64;
        let mut allowed = wanted;
        let take = |left: i64| {
            allowed = wanted.min(left);
            (left != UNLIMITED).then_some(left - allowed)
        };
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
            allowed = wanted;
        }
        allowed as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait_until;

    /// A server that sends back what it gets.
    async fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        port
    }

    async fn say(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut heard = vec![0; text.len()];
        stream.read_exact(&mut heard).await?;
        Ok(heard)
    }

    async fn through(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap()
    }

    #[tokio::test]
    async fn a_cut_ends_connections_and_allows_new_ones() {
        let proxy = Proxy::start(echo().await).await;
        let mut first = through(&proxy).await;
        assert_eq!(say(&mut first, b"one").await.unwrap(), b"one");
        proxy.cut();
        assert!(say(&mut first, b"two").await.is_err());
        let mut second = through(&proxy).await;
        assert_eq!(say(&mut second, b"three").await.unwrap(), b"three");
        assert_eq!(proxy.accepted(), 2);
    }

    #[tokio::test]
    async fn a_cut_by_bytes_comes_in_the_middle_and_once() {
        let proxy = Proxy::start(echo().await).await;
        let mut first = through(&proxy).await;
        proxy.cut_after(15);
        assert_eq!(say(&mut first, b"12345").await.unwrap(), b"12345");
        let mut heard = Vec::new();
        first.write_all(b"1234567").await.ok();
        first.read_to_end(&mut heard).await.ok();
        // Ten bytes went there and back before, so five of these were let through and none came back.
        assert!(heard.is_empty());
        let mut second = through(&proxy).await;
        assert_eq!(say(&mut second, &[7; 100]).await.unwrap(), [7; 100]);
    }

    #[tokio::test]
    async fn a_frozen_connection_hangs_and_goes_on_after_the_thaw() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = through(&proxy).await;
        assert_eq!(say(&mut stream, b"a").await.unwrap(), b"a");
        proxy.freeze();
        stream.write_all(b"held").await.unwrap();
        let mut heard = [0; 4];
        let short = Duration::from_millis(100);
        assert!(tokio::time::timeout(short, stream.read_exact(&mut heard)).await.is_err());
        proxy.thaw();
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"held");
    }

    #[tokio::test]
    async fn refused_connections_close_and_a_dropped_proxy_listens_no_more() {
        let proxy = Proxy::start(echo().await).await;
        let mut old = through(&proxy).await;
        assert_eq!(say(&mut old, b"a").await.unwrap(), b"a");
        proxy.refuse(true);
        assert!(say(&mut through(&proxy).await, b"x").await.is_err());
        assert_eq!(say(&mut old, b"b").await.unwrap(), b"b");
        let port = proxy.port();
        drop(proxy);
        assert!(say(&mut old, b"c").await.is_err());
        wait_until(
            "the listener closes",
            Duration::from_secs(5),
            async || match TcpStream::connect(("127.0.0.1", port)).await {
                Err(_) => Ok(()),
                Ok(_) => Err("it still accepts".to_owned()),
            },
        )
        .await;
    }

    #[tokio::test]
    async fn a_delay_holds_data_back_on_both_ways() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = through(&proxy).await;
        proxy.delay(Duration::from_millis(60));
        let begin = std::time::Instant::now();
        assert_eq!(say(&mut stream, b"slow").await.unwrap(), b"slow");
        assert!(begin.elapsed() >= Duration::from_millis(120));
    }
}
