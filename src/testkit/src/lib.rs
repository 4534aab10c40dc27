//! What the tests are made of: throwaway servers, the real `regraft` program, a network that can be
//! cut, certificates, and an oracle. Everything here panics with an explanation instead of returning
//! errors: it is for tests only.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod certificates;
mod daemon;
mod program;
mod proxy;
mod tables;
mod wait;

pub use certificates::{Certificates, certificates};
pub use daemon::{Daemon, Finished, Installation, Setup};
pub use program::{example_binary, fail_points_binary, forget_package, regraft_binary};
pub use proxy::{Proxy, Way};
pub use regraft_throwaway::{
    Auth, Binaries, Cluster, ClusterOptions, Comparison, Example, MappedTable, StopMode, TlsFiles,
    Writer, WriterOptions, WriterReport, compare, connect, free_port, mapped_tables,
};
pub use tables::{Databases, assert_equal_mapping, assert_equal_tables};
pub use wait::wait_until;
