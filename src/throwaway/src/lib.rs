//! A throwaway PostgreSQL for `regraft demo` and for the tests: started in a temporary folder on a
//! loopback port, and removed when it is dropped. Beside it the two example migrations, a writer
//! that works against them, and an oracle that judges the result without regraft's own code.

mod account;
mod binaries;
mod cluster;
mod example;
mod guard;
mod operations;
mod options;
mod oracle;
mod statements;
mod writer;

pub use binaries::{Binaries, Version};
pub use cluster::{Cluster, StopMode, connect, free_port};
pub use example::Example;
pub use options::{Auth, ClusterOptions, TlsFiles};
pub use oracle::{Comparison, Side, compare, sample};
pub use statements::{MappedTable, mapped_tables};
pub use writer::{Writer, WriterOptions, WriterReport};
