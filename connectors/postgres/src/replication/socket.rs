//! From a host name to a byte stream, with TLS where it is asked for.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use regraft_core::{Code, Error, Result};
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_rustls::TlsConnector;

use super::restful::{Restful, Socket};
use crate::classify::classify_io;
use crate::tls::{self, TlsMode, TlsSettings};

/// Whom to call.
pub(crate) struct Dial<'a> {
    pub(crate) host: &'a Host,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    /// Keepalive settings.
    pub(crate) config: &'a Config,
    /// `None`: no TLS.
    pub(crate) tls: Option<&'a TlsSettings>,
    pub(crate) place: &'a str,
}

/// An open stream on which nothing has been said yet.
pub(crate) struct Dialled {
    pub(crate) socket: Box<dyn Socket>,
    pub(crate) encrypted: bool,
    /// `tls-server-end-point` data for channel binding.
    pub(crate) binding: Option<Vec<u8>>,
}

/// Connects, and agrees on TLS.
pub(crate) async fn dial(dial: &Dial<'_>) -> Result<Dialled> {
    let failed = |error: std::io::Error| classify_io(&error, dial.place);
    // A file that cannot be read is a mistake, whether or not the server is there.
    let tls = dial.tls.map(|settings| Ok((settings, tls::client_config(settings)?))).transpose()?;
    match dial.host {
        Host::Unix(directory) => {
            let path = Path::new(directory).join(format!(".s.PGSQL.{}", dial.port));
            let socket = UnixStream::connect(path).await.map_err(failed)?;
            Ok(Dialled { socket: Box::new(socket), encrypted: false, binding: None })
        }
        Host::Tcp(host) => {
            // tokio tries every address that the name has.
            let connected = match dial.address {
                Some(address) => TcpStream::connect((address, dial.port)).await,
                None => TcpStream::connect((host.as_str(), dial.port)).await,
            };
            let stream = connected.map_err(failed)?;
            configure(&stream, dial.config).map_err(failed)?;
            encrypt(Restful::new(stream), host, dial, tls).await
        }
    }
}

/// The options that `tokio_postgres` sets on its own sockets.
fn configure(stream: &TcpStream, config: &Config) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if let Some(timeout) = config.get_tcp_user_timeout() {
        socket.set_tcp_user_timeout(Some(*timeout))?;
    }
    if config.get_keepalives() {
        let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
        if let Some(interval) = config.get_keepalives_interval() {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(retries) = config.get_keepalives_retries() {
            keepalive = keepalive.with_retries(retries);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}

async fn encrypt(
    mut stream: Restful,
    host: &str,
    dial: &Dial<'_>,
    tls: Option<(&TlsSettings, rustls::ClientConfig)>,
) -> Result<Dialled> {
    let failed = |error: std::io::Error| classify_io(&error, dial.place);
    let Some((settings, config)) = tls else {
        return Ok(Dialled { socket: Box::new(stream), encrypted: false, binding: None });
    };
    if !settings.direct {
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        stream.write_all(&request).await.map_err(failed)?;
        // Exactly one byte: what follows an `S` must come from within TLS (CVE-2021-23222).
        match stream.read_u8().await.map_err(failed)? {
            b'S' => {}
            b'N' if settings.mode == TlsMode::Prefer => {
                return Ok(Dialled { socket: Box::new(stream), encrypted: false, binding: None });
            }
            b'N' => return Err(tls_error("the server does not support TLS", dial)),
            _ => return Err(tls_error("the server does not know how to start TLS", dial)),
        }
    }
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| tls_error("the host is no name that a certificate could have", dial))?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(failed)?;
    let certificates = stream.get_ref().1.peer_certificates();
    let binding = certificates.and_then(|chain| tls::end_point_binding(chain.first()?));
    Ok(Dialled { socket: Box::new(stream), encrypted: true, binding })
}

fn tls_error(what: &str, dial: &Dial<'_>) -> Error {
    Error::new(Code::TlsFailed, what)
        .at(dial.place)
        .remedy("check sslmode and sslrootcert, and `ssl` in the server's configuration")
}
