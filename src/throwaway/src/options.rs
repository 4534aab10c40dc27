//! How a cluster is made.

use std::time::Duration;

use crate::binaries::Binaries;

/// How connections over TCP prove who they are. The Unix socket asks nothing, but only the
/// server's own account (and root) may open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Everybody on this machine is let in: for tests.
    Trust,
    /// A random password, which [`crate::Cluster::url`] carries.
    Scram,
}

/// A certificate and its key, both PEM, that the server shows.
#[derive(Clone)]
pub struct TlsFiles {
    /// The certificate, followed by its issuers if need be.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// How a cluster is made.
#[derive(Clone)]
pub struct ClusterOptions {
    /// The programs; found by [`Binaries::find`] if not given.
    pub binaries: Option<Binaries>,
    /// `initdb --locale`.
    pub locale: String,
    /// Authentication over TCP.
    pub auth: Auth,
    /// `wal_level`.
    pub wal_level: String,
    /// `shared_buffers`.
    pub shared_buffers: String,
    /// `fsync`. Without it a crash of the *machine* (not of the server) can lose the cluster.
    pub fsync: bool,
    /// Further settings, which win over those above.
    pub settings: Vec<(String, String)>,
    /// Text of `pg_hba.conf` in place of what `auth` gives; the Unix socket stays open for
    /// [`crate::Cluster::client`].
    pub pg_hba: Option<String>,
    /// Turns TLS on.
    pub tls: Option<TlsFiles>,
    /// How long a start may take, crash recovery included.
    pub deadline: Duration,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            binaries: None,
            locale: "C".to_owned(),
            auth: Auth::Trust,
            wal_level: "logical".to_owned(),
            shared_buffers: "64MB".to_owned(),
            fsync: true,
            settings: Vec::new(),
            pg_hba: None,
            tls: None,
            deadline: Duration::from_secs(60),
        }
    }
}
