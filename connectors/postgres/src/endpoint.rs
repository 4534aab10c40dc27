//! Where a server is, how to reach it, and who to be there.
//!
//! Connection strings are those of libpq, URL or keyword/value form, with the TLS settings that
//! `tokio_postgres` does not know (`verify-ca`, `verify-full`, `sslrootcert`, `sslcert`, `sslkey`).
//!
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use regraft_core::sql::quote;
use regraft_core::{Code, Error, Kind, Result};
use tokio_postgres::config::{Host, SslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use crate::classify::classify;
use crate::replication::WireConnection;
use crate::replication::restful::Socket;
use crate::replication::socket::{self, Dial};
use crate::replication::startup::{self, Startup};
use crate::sessions::{AsItIs, Deadlines, Session, Sessions, Wait, Watched, Wide, guard};
use crate::tls::{TlsMode, TlsSettings};
use crate::{defaults, dsn};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that vanished without a word is noticed after `IDLE + RETRIES * INTERVAL`.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);

/// Session settings that decide what values look like and what literals mean, and those whose role
/// default could end a long statement or a session, or keep it from writing. The search path is another matter,
/// see [`Endpoint::searching`].
pub const SESSION: &[(&str, &str)] = &[
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    // A machine that vanishes leaves its sessions, and their locks, only for about a minute.
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("default_transaction_read_only", "off"),
    ("xmloption", "content"),
    ("quote_all_identifiers", "off"),
    ("exit_on_error", "off"),
];

/// Settings that not every version has, or not every role may set: they are set where they are there, and are
/// another than they should be.
const SESSION_IF_OTHER: &[(&str, &str)] =
    &[("transaction_timeout", "0"), ("session_replication_role", "origin")];

/// Has a session search for names as its role does, as a user's text is read.
pub const AS_ROLE: &str = "SELECT pg_catalog.set_config('search_path', coalesce(\
                           pg_catalog.current_setting('regraft.role_path', true), \
                           pg_catalog.current_setting('search_path')), false)";
/// Has it search as regraft's own queries need it.
pub const AS_REGRAFT: &str = "SET search_path = pg_catalog";

/// Has a session search these schemas after the built-in one.
pub fn search(schemas: &[String]) -> String {
    let schemas: String = schemas.iter().map(|schema| format!(", {}", quote(schema))).collect();
    format!("SET search_path = pg_catalog{schemas}")
}

/// A PostgreSQL server, database and role. Neither `Debug` nor `Display` shows the password.
#[derive(Clone)]
pub struct Endpoint {
    /// Everything but hosts and ports, which are in `servers`.
    config: Config,
    servers: Vec<Server>,
    tls: TlsSettings,
    /// Schemas that its sessions search, after `pg_catalog`.
    schemas: Vec<String>,
    deadlines: Deadlines,
    /// Who looks after its sessions, and what its server is called there.
    sessions: Sessions,
    /// Its sessions read wide rows in their turn.
    wide: Option<Wide>,
    role: Option<&'static str>,
}

/// One of the hosts of a connection string.
#[derive(Clone, PartialEq, Eq)]
struct Server {
    host: Host,
    address: Option<IpAddr>,
    port: u16,
}

impl Server {
    /// As a password file has it.
    fn host_name(&self) -> &str {
        match &self.host {
            Host::Tcp(host) => host,
            Host::Unix(path) => path.to_str().unwrap_or_default(),
        }
    }

    fn is_local(&self) -> bool {
        matches!(self.host, Host::Unix(_))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Host::Tcp(host) => write!(f, "{host}:{}", self.port),
            Host::Unix(path) => write!(f, "{}:{}", path.display(), self.port),
        }
    }
}

/// One way to try: `sslmode=prefer` has two per server.
struct Attempt<'a> {
    server: &'a Server,
    encrypted: bool,
    /// Only worth trying when the attempt before it failed in the TLS handshake.
    fallback: bool,
}

impl Endpoint {
    /// Reads a connection string. Several hosts are tried in order.
    ///
    /// What is left out is, as in libpq: what the environment says (`PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`,
    /// `PGDATABASE`, `PGSSLMODE`, ...); else host `localhost`, port 5432, the name of the account, the password of
    /// `PGPASSFILE` or `~/.pgpass`, the database of the user's name, `sslmode=prefer`, `connect_timeout=10`.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`]; the message never holds the connection string.
    pub fn parse(url: &str) -> Result<Endpoint> {
        let mut pairs = dsn::pairs(url)?;
        defaults::fill(&mut pairs, dsn::environment);
        let tls = TlsSettings::take_from(&mut pairs)?;
        let mut config: Config =
            dsn::render(&pairs).parse().map_err(|error: tokio_postgres::Error| {
                let below = std::error::Error::source(&error).map(ToString::to_string);
                dsn::invalid(below.unwrap_or_else(|| error.to_string()))
            })?;
        if config.get_user().is_none() {
            config.user(defaults::account().ok_or_else(|| dsn::invalid("it names no user"))?);
        }
        if config.get_dbname().is_none() {
            let user = config.get_user().unwrap_or_default().to_owned();
            config.dbname(user);
        }
        let servers = servers(&config)?;
        if config.get_password().is_none()
            && let Some(file) = defaults::password_file()
        {
            let (database, user) = (config.get_dbname(), config.get_user());
            let of = |server: &Server| {
                let (host, port) = (server.host_name(), server.port.to_string());
                let key = [host, &port, database.unwrap_or_default(), user.unwrap_or_default()];
                defaults::password(&file, key)
            };
            if let Some(password) = servers.iter().find_map(of) {
                config.password(password);
            }
        }
        let config = base_config(&config, tls.direct);
        let (deadlines, sessions) = (Deadlines::default(), Sessions::default());
        let (schemas, wide, role) = (Vec::new(), None, None);
        Ok(Endpoint { config, servers, tls, schemas, deadlines, sessions, wide, role })
    }

    /// Sessions search these schemas after `pg_catalog`, in place of what the role searches: neither a
    /// setting of the role nor an object that somebody makes elsewhere changes what a name means. Without
    /// any, they search `pg_catalog` only.
    #[must_use]
    pub fn searching(self, schemas: &[String]) -> Endpoint {
        Endpoint { schemas: schemas.to_vec(), ..self }
    }

    /// Has these sessions know of those that are opened here, by the role of the server, and ends them
    /// after these deadlines.
    #[must_use]
    pub fn watched(self, role: &'static str, sessions: &Sessions, deadlines: Deadlines) -> Self {
        Self { deadlines, sessions: sessions.clone(), role: Some(role), ..self }
    }

    /// How long its sessions wait for a lock.
    pub(crate) fn lock_deadline(&self) -> Duration {
        self.deadlines.lock
    }

    /// Has these sessions read wide rows in their turn.
    #[must_use]
    pub(crate) fn reading_in_turn(self, wide: &Wide) -> Endpoint {
        Endpoint { wide: Some(wide.clone()), ..self }
    }

    /// Name of the database.
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// Name of the role.
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// Opens an SQL session with the settings that regraft relies on: ISO dates, UTC, exact floats,
    /// hex bytea, no timeouts of the role's own. The connection ends with the client, or when the
    /// server does not answer within its [`Deadlines`].
    ///
    /// `application` is the session's `application_name`, unless the connection string has one.
    ///
    /// # Errors
    /// See [`classify`]; [`Code::Unreachable`] when `connect_timeout` passes (default 10 s, for
    /// name resolution, TLS and log-in together, per host).
    pub async fn connect(&self, application: &str) -> Result<tokio_postgres::Client> {
        self.connect_sql(application, true).await
    }

    /// The same, for a question about sessions that are watched: whoever asks has a deadline.
    pub(crate) async fn connect_unwatched(
        &self,
        application: &str,
    ) -> Result<tokio_postgres::Client> {
        self.connect_sql(application, false).await
    }

    async fn connect_sql(
        &self,
        application: &str,
        watched: bool,
    ) -> Result<tokio_postgres::Client> {
        let _wait = watched.then(|| self.waits());
        let mut failed = None;
        for attempt in self.attempts() {
            if attempt.fallback && !failed.as_ref().is_some_and(is_tls_failure) {
                continue;
            }
            match self.in_time(&attempt, self.connect_once(&attempt, application, watched)).await {
                Ok(client) => return Ok(client),
                Err(error) => failed = Some(self.go_on(&attempt, error)?),
            }
        }
        Err(failed.unwrap_or_else(|| dsn::invalid("it names no host")))
    }

    /// Opens a replication session (`replication=database`) with the same settings.
    ///
    /// # Errors
    /// As [`Endpoint::connect`].
    pub async fn connect_replication(&self, application: &str) -> Result<WireConnection> {
        self.connect_wire(application, true).await
    }

    /// Opens a session of the simple protocol with the same settings.
    ///
    /// # Errors
    /// As [`Endpoint::connect`].
    pub(crate) async fn connect_plain(&self, application: &str) -> Result<WireConnection> {
        self.connect_wire(application, false).await
    }

    /// A connection pooler answers there. Those that give every transaction another session keep neither
    /// the settings nor the locks that regraft relies on.
    ///
    /// # Errors
    /// As [`Endpoint::connect`].
    pub async fn is_pooled(&self, application: &str) -> Result<bool> {
        self.connect_plain(application).await?.is_pooled().await
    }

    async fn connect_wire(&self, application: &str, replication: bool) -> Result<WireConnection> {
        let _wait = self.waits();
        let mut failed = None;
        for attempt in self.attempts() {
            if attempt.fallback && !failed.as_ref().is_some_and(is_tls_failure) {
                continue;
            }
            let opening = self.connect_wire_once(&attempt, application, replication);
            match self.in_time(&attempt, opening).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = Some(self.go_on(&attempt, error)?),
            }
        }
        Err(failed.unwrap_or_else(|| dsn::invalid("it names no host")))
    }

    /// A server that takes no new connections, or says nothing on them, is named as one that owes an answer.
    fn waits(&self) -> Wait {
        self.sessions.wait_long(&self.label(), "a new connection", self.deadlines.notice)
    }

    fn attempts(&self) -> Vec<Attempt<'_>> {
        let mut attempts = Vec::with_capacity(self.servers.len() * 2);
        for server in &self.servers {
            // libpq ignores sslmode for sockets of the same machine, and so does the server.
            let mode = if server.is_local() { TlsMode::Disable } else { self.tls.mode };
            let encrypted = mode != TlsMode::Disable;
            attempts.push(Attempt { server, encrypted, fallback: false });
            if mode == TlsMode::Prefer {
                attempts.push(Attempt { server, encrypted: false, fallback: true });
            }
        }
        attempts
    }

    /// Gives the error back when another attempt may do better.
    fn go_on(&self, attempt: &Attempt<'_>, error: Error) -> Result<Error> {
        let falls_back =
            attempt.encrypted && self.tls.mode == TlsMode::Prefer && is_tls_failure(&error);
        if falls_back || error.kind() == Kind::Unavailable { Ok(error) } else { Err(error) }
    }

    fn timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT)
    }

    async fn in_time<T>(
        &self,
        attempt: &Attempt<'_>,
        opening: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let limit = self.timeout();
        tokio::time::timeout(limit, opening).await.unwrap_or_else(|_| {
            let what = format!("the server did not answer within {} s", limit.as_secs());
            Err(Error::new(Code::Unreachable, what).at(self.place(attempt.server)))
        })
    }

    fn place(&self, server: &Server) -> String {
        format!("{server}/{} as {}", self.database(), self.user())
    }

    fn dial<'a>(&'a self, attempt: &'a Attempt<'_>, place: &'a str) -> Dial<'a> {
        Dial {
            host: &attempt.server.host,
            address: attempt.server.address,
            port: attempt.server.port,
            config: &self.config,
            tls: attempt.encrypted.then_some(&self.tls),
            place,
        }
    }

    /// How the server is called in messages.
    fn label(&self) -> String {
        match self.role {
            Some(role) => format!("{role} ({self})"),
            None => self.to_string(),
        }
    }

    /// Has the session looked after, once its process at the server is known.
    fn watch(&self, socket: Box<dyn Socket>) -> (Watched, Arc<Session>) {
        let session = self.sessions.open(&self.label(), self.deadlines.notice);
        (Watched::new(socket, Arc::clone(&session), self.wide.clone()), session)
    }

    fn guard(&self, session: &Arc<Session>, process: Option<&str>) {
        session.is_process(process.and_then(|pid| pid.parse().ok()).unwrap_or_default());
        let guarded = (Arc::downgrade(session), self.sessions.clone());
        tokio::spawn(guard(guarded.0, guarded.1, self.clone(), self.deadlines));
    }

    async fn connect_once(
        &self,
        attempt: &Attempt<'_>,
        application: &str,
        watched: bool,
    ) -> Result<tokio_postgres::Client> {
        let place = self.place(attempt.server);
        let failed = |error| classify(&error, &place);
        let dialled = socket::dial(&self.dial(attempt, &place)).await?;
        let (socket, session) = self.watch(dialled.socket);
        let mut config = self.config.clone();
        if config.get_application_name().is_none() {
            config.application_name(application);
        }
        // What is encrypted is so already.
        let client = if dialled.encrypted {
            config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
            let opened = config.connect_raw(socket, AsItIs(dialled.binding)).await;
            spawn_connection(opened.map_err(failed)?, place.clone())
        } else {
            config.ssl_mode(SslMode::Disable).ssl_negotiation(SslNegotiation::Postgres);
            let opened = config.connect_raw(socket, NoTls).await;
            spawn_connection(opened.map_err(failed)?, place.clone())
        };
        let answers = client.simple_query(&self.session()).await.map_err(failed)?;
        let rows: Vec<_> = answers
            .iter()
            .filter_map(|answer| match answer {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            })
            // The first one is the role's search path.
            .skip(1)
            .collect();
        self.wants(rows.first().copied(), &place)?;
        if watched {
            self.guard(&session, rows.get(1).copied());
        }
        Ok(client)
    }

    /// Whether the server may be read-only.
    fn wants(&self, read_only: Option<&str>, place: &str) -> Result<()> {
        let (what, asked) = match (self.config.get_target_session_attrs(), read_only) {
            (TargetSessionAttrs::ReadWrite, Some("on")) => ("read-only", "a read-write one"),
            (TargetSessionAttrs::ReadOnly, Some("off")) => ("read-write", "a read-only one"),
            _ => return Ok(()),
        };
        let what = format!("the server is {what}, {asked} is asked for");
        Err(Error::new(Code::Unreachable, what).at(place))
    }

    async fn connect_wire_once(
        &self,
        attempt: &Attempt<'_>,
        application: &str,
        replication: bool,
    ) -> Result<WireConnection> {
        let place = self.place(attempt.server);
        let mut dialled = socket::dial(&self.dial(attempt, &place)).await?;
        let mut watched = None;
        // A stream looks after itself: it asks for signs of life.
        if !replication {
            let (socket, session) = self.watch(dialled.socket);
            dialled.socket = Box::new(socket);
            watched = Some(session);
        }
        let startup = Startup {
            user: self.user(),
            password: self.config.get_password(),
            database: self.database(),
            application: self.config.get_application_name().unwrap_or(application),
            options: self.config.get_options(),
            replication,
            channel_binding: self.config.get_channel_binding(),
        };
        let mut connection = startup::open(dialled, &startup, &place).await?;
        if let Some(session) = watched {
            let rows = connection.simple_query(&self.session()).await?;
            let value = |at: usize| rows.get(at).and_then(|row| row.first()?.as_deref());
            self.wants(value(1), &place)?;
            self.guard(&session, value(2));
        } else {
            // Texts of regclass and its like depend on the path. A stream begins with the others, before the
            // server sends anything.
            let settings = format!("{}; {}", search(&self.schemas), session_if_other());
            connection.simple_query(&settings).await?;
            // One statement: the replication commands come one by one.
            let sql = "SELECT current_setting('transaction_read_only'), pg_backend_pid()";
            let rows = connection.simple_query(sql).await?;
            let value = |at: usize| rows.first().and_then(|row| row.get(at)?.as_deref());
            self.wants(value(0), &place)?;
            // For the status only: it ends by itself when it gets no sign of life.
            let session = self.sessions.open(&self.label(), self.deadlines.notice);
            let forever = Deadlines { answer: Duration::MAX, statement: None, ..self.deadlines };
            Self { deadlines: forever, ..self.clone() }.guard(&session, value(1));
            connection.session = Some(session);
        }
        Ok(connection)
    }
}

impl Endpoint {
    /// [`SESSION`] as SET rather than in the startup packet, which connection poolers refuse; then
    /// whether the server is read-only, and the session's process. The role's own search path stays at
    /// hand, see [`AS_ROLE`].
    fn session(&self) -> String {
        let lock = self.deadlines.lock.as_millis().to_string();
        let settings = SESSION.iter().copied().chain([("lock_timeout", lock.as_str())]);
        let settings = settings.map(|(name, value)| format!("SET {name} = '{value}';"));
        let settings: String = settings.collect();
        format!(
            "SELECT pg_catalog.set_config('regraft.role_path', pg_catalog.current_setting('search_path'), \
             false); {}; {settings} SHOW transaction_read_only; SELECT pg_backend_pid(); {}",
            search(&self.schemas),
            session_if_other(),
        )
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, server) in self.servers.iter().enumerate() {
            write!(f, "{}{server}", if i == 0 { "" } else { "," })?;
        }
        write!(f, "/{} as {}", self.database(), self.user())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self}, sslmode={:?})", self.tls.mode)
    }
}

/// Gives one row for each of [`SESSION_IF_OTHER`].
fn session_if_other() -> String {
    let set = |(name, value): &(&str, &str)| {
        format!(
            "SELECT count(set_config('{name}', '{value}', false)) \
             WHERE current_setting('{name}', true) <> '{value}';"
        )
    };
    SESSION_IF_OTHER.iter().map(set).collect()
}

fn is_tls_failure(error: &Error) -> bool {
    error.code() == Code::TlsFailed
}

fn spawn_connection<T>(
    (client, connection): (tokio_postgres::Client, tokio_postgres::Connection<Watched, T>),
    place: String,
) -> tokio_postgres::Client
where
    T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // Whoever waits for an answer gets the error too; this is for idle connections.
            tracing::debug!("a connection broke: {:#}", classify(&error, &place));
        }
    });
    client
}

/// The hosts of a parsed connection string with an address and a port each.
fn servers(config: &Config) -> Result<Vec<Server>> {
    let (hosts, addresses, ports) =
        (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len()).max(1);
    if !addresses.is_empty() && addresses.len() != count {
        return Err(dsn::invalid("it has another number of host addresses than of hosts"));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(dsn::invalid("it has another number of ports than of hosts"));
    }
    let server = |i: usize| {
        let address = addresses.get(i).copied();
        let host = hosts.get(i).cloned().unwrap_or_else(|| {
            Host::Tcp(address.map_or_else(|| "localhost".to_owned(), |ip| ip.to_string()))
        });
        let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
        Server { host, address, port }
    };
    Ok((0..count).map(server).collect())
}

/// The same settings without hosts, and with defaults for what a long-running daemon needs.
fn base_config(parsed: &Config, direct: bool) -> Config {
    let mut config = Config::new();
    config.user(parsed.get_user().unwrap_or_default());
    config.dbname(parsed.get_dbname().unwrap_or_default());
    if let Some(password) = parsed.get_password() {
        config.password(password);
    }
    if let Some(options) = parsed.get_options() {
        config.options(options);
    }
    if let Some(application) = parsed.get_application_name() {
        config.application_name(application);
    }
    config.connect_timeout(parsed.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT));
    config
        .tcp_user_timeout(parsed.get_tcp_user_timeout().copied().unwrap_or(TCP_USER_TIMEOUT))
        .keepalives(parsed.get_keepalives())
        .keepalives_interval(parsed.get_keepalives_interval().unwrap_or(KEEPALIVE_INTERVAL))
        .keepalives_retries(parsed.get_keepalives_retries().unwrap_or(KEEPALIVE_RETRIES));
    // The library cannot tell an explicit value from its default of two hours, which helps nobody.
    let unset = Config::new().get_keepalives_idle();
    let idle = parsed.get_keepalives_idle();
    config.keepalives_idle(if idle == unset { KEEPALIVE_IDLE } else { idle });
    config
        .target_session_attrs(parsed.get_target_session_attrs())
        .channel_binding(parsed.get_channel_binding())
        .load_balance_hosts(parsed.get_load_balance_hosts());
    if direct {
        config.ssl_negotiation(SslNegotiation::Direct);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Endpoint {
        Endpoint::parse(url).unwrap()
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        let endpoint = parse("postgres://me:s%3Acret@db.example:6543/shop?sslmode=verify-full");
        assert_eq!(endpoint.to_string(), "db.example:6543/shop as me");
        assert_eq!(endpoint.config.get_password(), Some(&b"s:cret"[..]));
        assert!(!format!("{endpoint:?}").contains("cret"));
    }

    #[test]
    fn keyword_value_strings_are_understood() {
        let endpoint = parse(r"host=/run/pg port=5433 user=me password='a \' b' dbname = shop");
        assert_eq!(endpoint.to_string(), "/run/pg:5433/shop as me");
        assert_eq!(endpoint.config.get_password(), Some(&b"a ' b"[..]));
        assert!(!endpoint.attempts()[0].encrypted, "sockets of the same machine have no TLS");
    }

    #[test]
    fn socket_paths_and_several_hosts_fit_in_a_url() {
        let endpoint = parse("postgresql://me@%2Frun%2Fpg/shop");
        assert_eq!(endpoint.to_string(), "/run/pg:5432/shop as me");
        let endpoint = parse("postgresql://me@h1:1,[::1]:2,h3/shop?application_name=a@b");
        assert_eq!(endpoint.to_string(), "h1:1,[::1]:2,h3:5432/shop as me");
        assert_eq!(endpoint.config.get_application_name(), Some("a@b"));
        let endpoint = parse("postgresql:///shop?host=/run/pg&user=me");
        assert_eq!(endpoint.to_string(), "/run/pg:5432/shop as me");
    }

    #[test]
    fn prefer_has_an_unencrypted_second_attempt_and_verification_has_none() {
        let attempts = |url: &str| -> Vec<bool> {
            parse(url).attempts().iter().map(|attempt| attempt.encrypted).collect()
        };
        assert_eq!(attempts("postgres://me@h/d"), [true, false]);
        assert_eq!(attempts("postgres://me@h/d?sslmode=verify-full"), [true]);
        assert_eq!(attempts("postgres://me@h/d?sslmode=disable"), [false]);
    }

    #[test]
    fn a_bad_connection_string_is_refused_without_showing_it() {
        for url in [
            "postgres://me:topsecret@h:99999/d",
            "postgres://me:topsecret@h/d?sslmode=maybe",
            "postgres://me:topsecret@h/d?unknown=1",
            "postgres://me:topsecret@h/d?sslmode=verify-ca",
            "postgres://me:topsecret@h/d?sslmode=require&sslrootcert=system",
            "postgres://me:topsecret@h/d?sslcert=/c.pem",
            "postgres://me:topsecret%zz@h/d",
            "mysql://me:topsecret@h/d",
            "host=h user=me password='topsecret",
            "host=h user=me password",
        ] {
            let error = Endpoint::parse(url).unwrap_err();
            assert_eq!(error.code(), Code::ConfigInvalid, "{url}");
            assert!(!error.to_string().contains("topsecret"), "{error}");
        }
    }
}
