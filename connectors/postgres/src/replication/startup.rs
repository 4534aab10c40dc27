//! Log-in of a session.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>

use bytes::Buf;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;
use regraft_core::{Code, Error, Result};
use tokio_postgres::config::ChannelBinding;

use super::connection::WireConnection;
use super::frame::Frame;
use super::socket::Dialled;
use crate::classify::unproven;
use crate::endpoint::SESSION;

/// Who to be, and the session's settings.
pub(crate) struct Startup<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: Option<&'a [u8]>,
    pub(crate) database: &'a str,
    pub(crate) application: &'a str,
    pub(crate) options: Option<&'a str>,
    /// For the replication commands.
    pub(crate) replication: bool,
    pub(crate) channel_binding: ChannelBinding,
}

/// Logs in.
pub(crate) async fn open(
    dialled: Dialled,
    startup: &Startup<'_>,
    place: &str,
) -> Result<WireConnection> {
    let Dialled { socket, encrypted, binding } = dialled;
    let mut connection = WireConnection::new(socket, place);
    let mut parameters = vec![
        ("user", startup.user),
        ("database", startup.database),
        ("application_name", startup.application),
        ("client_encoding", "UTF8"),
    ];
    parameters.extend(startup.options.map(|options| ("options", options)));
    if startup.replication {
        parameters.push(("replication", "database"));
        // A warning may say that changes are left out.
        parameters.push(("client_min_messages", "warning"));
        parameters.extend(SESSION);
    }
    connection.send(|out| frontend::startup_message(parameters, out)).await?;

    let mut login = Login { connection: &mut connection, startup, encrypted, binding };
    login.run().await?;
    connection.ready().await?;
    Ok(connection)
}

struct Login<'a> {
    connection: &'a mut WireConnection,
    startup: &'a Startup<'a>,
    encrypted: bool,
    binding: Option<Vec<u8>>,
}

impl Login<'_> {
    async fn run(&mut self) -> Result<()> {
        let (method, mut body) = self.request().await?;
        let bound = method == 10;
        if self.startup.channel_binding == ChannelBinding::Require && !bound {
            return Err(self.refused("channel binding is required and not offered by the server"));
        }
        match method {
            0 => return Ok(()),
            3 => {
                let password = self.password()?.to_vec();
                self.connection.send(|out| frontend::password_message(&password, out)).await?;
            }
            5 => {
                let salt = body
                    .try_get_u32()
                    .map_err(|_| self.connection.protocol("a password request is cut"))?
                    .to_be_bytes();
                let hash = md5_hash(self.startup.user.as_bytes(), self.password()?, salt);
                self.connection
                    .send(|out| frontend::password_message(hash.as_bytes(), out))
                    .await?;
            }
            10 => self.scram(&body).await?,
            _ => {
                return Err(self.refused(
                    "the server asks for an authentication method that regraft does not have",
                ));
            }
        }
        match self.request().await? {
            (0, _) => Ok(()),
            _ => Err(self.connection.protocol("the log-in does not end as it should")),
        }
    }

    /// The next authentication request: its number and what follows.
    async fn request(&mut self) -> Result<(u32, bytes::Bytes)> {
        loop {
            let Frame { tag, mut body } = self.connection.receive().await?;
            match tag {
                b'R' => {
                    let number = body.try_get_u32();
                    let cut = |_| self.connection.protocol("an authentication request is cut");
                    return Ok((number.map_err(cut)?, body));
                }
                b'E' => return Err(self.connection.refusal(&body)),
                // NegotiateProtocolVersion: 3.0 is all that is asked for, so nothing changes.
                b'N' | b'v' => {}
                _ => return Err(self.connection.protocol("a message does not belong to log-in")),
            }
        }
    }

    async fn scram(&mut self, mechanisms: &[u8]) -> Result<()> {
        let offers = |name: &str| mechanisms.split(|byte| *byte == 0).any(|m| m == name.as_bytes());
        let wanted = self.startup.channel_binding != ChannelBinding::Disable;
        let binding = self.binding.take().filter(|_| wanted && self.encrypted);
        let (mechanism, binding) = match binding {
            Some(data) if offers(SCRAM_SHA_256_PLUS) => {
                (SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(data))
            }
            // Tells the server that somebody took its offer away, if it made one.
            Some(_) => (SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
            None => (SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
        };
        if self.startup.channel_binding == ChannelBinding::Require
            && mechanism != SCRAM_SHA_256_PLUS
        {
            return Err(self.refused("channel binding is required and not possible here"));
        }
        if !offers(mechanism) {
            return Err(self.refused("the server offers no SASL mechanism that regraft has"));
        }
        let mut scram = ScramSha256::new(self.password()?, binding);
        self.connection
            .send(|out| frontend::sasl_initial_response(mechanism, scram.message(), out))
            .await?;
        let challenge = self.sasl_message(11).await?;
        scram.update(&challenge).map_err(|error| self.untrusted(&error))?;
        self.connection.send(|out| frontend::sasl_response(scram.message(), out)).await?;
        let last = self.sasl_message(12).await?;
        scram.finish(&last).map_err(|error| self.untrusted(&error))
    }

    async fn sasl_message(&mut self, number: u32) -> Result<bytes::Bytes> {
        match self.request().await? {
            (found, body) if found == number => Ok(body),
            _ => Err(self.connection.protocol("the SASL exchange is out of order")),
        }
    }

    fn password(&self) -> Result<&[u8]> {
        self.startup
            .password
            .ok_or_else(|| self.refused("the server asks for a password and none is given"))
    }

    fn untrusted(&self, error: &std::io::Error) -> Error {
        unproven(error, self.connection.place())
    }

    fn refused(&self, what: impl Into<String>) -> Error {
        Error::new(Code::AuthenticationFailed, what).at(self.connection.place())
    }
}
