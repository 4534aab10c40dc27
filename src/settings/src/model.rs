//! The tables and keys of `regraft.toml`.
//!
//! The comments of the keys are what the operator reads: they are the descriptions of the JSON
//! Schema, `schemas/config.schema.json`. After a change write it anew with
//! `REGRAFT_BLESS=1 cargo test -p regraft-settings`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::units;

/// Loopback, because the page has no login; the port is in the range of Prometheus exporters.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9187);

/// Two connections keep the writer of the target busy; more mostly load the source.
pub const DEFAULT_READERS: usize = 2;
/// More snapshots than this hold back the source's vacuum for no gain.
pub const READERS: RangeInclusive<usize> = 1..=32;

/// A second session uses what the first one leaves of the target's and the network's time.
pub const DEFAULT_SESSIONS: usize = 2;
/// Batches are seldom apart for more of them.
pub const SESSIONS: RangeInclusive<usize> = 1..=16;

/// Large enough that a round trip does not count, small enough to be read again without regret.
pub const DEFAULT_CHUNK_ROWS: u64 = 10_000;
/// A chunk is one snapshot of the source and one transaction of the target; neither should be long.
pub const CHUNK_ROWS: RangeInclusive<u64> = 1..=1_000_000;

/// 800 bytes a row at the default of rows; wider tables get smaller chunks.
pub const DEFAULT_CHUNK_BYTES: usize = 8 << 20;

/// What a small container grants, with room for the rest of the process.
pub const DEFAULT_MEMORY: usize = 256 << 20;
/// Less leaves no room for a chunk, a batch and the decoded transactions between them.
pub const MEMORY_MIN: usize = 64 << 20;

/// Up to about here an upsert from arrays is the fastest way into PostgreSQL.
pub const DEFAULT_BATCH_ROWS: usize = 5_000;
/// Above this a batch only makes locks on the target longer.
pub const BATCH_ROWS: RangeInclusive<usize> = 1..=1_000_000;

/// 1600 bytes a row at the default of rows.
pub const DEFAULT_BATCH_BYTES: usize = 8 << 20;
/// Smaller chunks and batches cost more round trips than they save memory.
pub const BYTES_MIN: usize = 64 << 10;

/// A person does not notice this lag, and a busy target commits ten times a second at most.
pub const DEFAULT_BATCH_AGE: Duration = Duration::from_millis(100);
/// An older batch holds back the slot, and thereby the source's WAL.
pub const BATCH_AGE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

/// 20,000,000 rows in an hour, at a cost that a busy source does not notice.
pub const DEFAULT_VERIFY_ROWS: u64 = 5_000;
/// The source answers the pipeline for a tenth of the time at most.
pub const DEFAULT_VERIFY_PERCENT: u8 = 10;
/// A share of the time.
pub const PERCENT: RangeInclusive<u8> = 1..=100;
/// A few broken rows are mended; a broken table is for a person.
pub const DEFAULT_REPAIRS: u32 = 100;

/// Longer than any hiccup, and short enough that a load balancer or an alert hears of trouble within a
/// minute.
pub const DEFAULT_READY_LAG: Duration = Duration::from_secs(30);
/// The lag is measured twice a second.
pub const READY_LAG: RangeInclusive<Duration> =
    Duration::from_secs(2)..=Duration::from_secs(7 * 24 * 3600);

/// As long as a network may be given to carry a packet.
pub const DEFAULT_ANSWER: Duration = Duration::from_secs(60);
/// The server is asked who is at fault after five seconds, and needs a moment to answer.
pub const ANSWER: RangeInclusive<Duration> = Duration::from_secs(15)..=Duration::from_secs(3600);
/// A statement reads or writes one chunk or batch; this one has met something.
pub const DEFAULT_STATEMENT: Duration = Duration::from_secs(30 * 60);
/// The removal of all rows of a large table is one statement.
pub const STATEMENT: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);
/// Maintenance by night may lock a table for a while; this long it is waited for as it is.
pub const DEFAULT_LOCK: Duration = Duration::from_secs(5 * 60);
/// Shorter waits are ordinary.
pub const LOCK: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);

/// Leaves room for the prefix of slots and publications, whose names have at most 63 bytes.
pub const NAME_LENGTH: RangeInclusive<usize> = 1..=40;

/// With the name of the pipeline and a dot it is that of a ledger, and of sessions, which have at most 63 bytes.
pub const TARGET_NAME_LENGTH: RangeInclusive<usize> = 1..=14;

/// Where a connection string stands: `url`, `url_file`.
pub(crate) type UrlKeys = (Option<String>, Option<PathBuf>);

/// Configuration of a regraft pipeline (`regraft.toml`). It has a `[target]`, or `[targets.NAME]`, or both.
///
/// Every text may hold `${VAR}`, which is replaced by the environment variable; write `$${` for a
/// literal `${`.
// No Debug: the URLs are not yet secrets here.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["target"]}, {"required": ["targets"]}]))]
pub(crate) struct SettingsFile {
    /// Name of the pipeline: 1 to 40 characters of a-z, 0-9 and _, the first one a letter. Slot,
    /// publication and ledger rows carry it.
    #[schemars(required, regex(pattern = r"^[a-z][a-z0-9_]{0,39}$"))]
    pub(crate) name: Option<String>,
    /// The database that is moved.
    #[schemars(required)]
    pub(crate) source: Option<SourceFile>,
    /// The database that it is moved to. It also holds the ledger, in the schema `regraft`.
    #[serde(default)]
    #[schemars(with = "TargetFile")]
    pub(crate) target: Option<TargetFile>,
    /// Further databases, each with a name, by which statements say that they fill a table of it: `INSERT INTO
    /// replica.orders` is about `[targets.replica]`. All are fed by one stream, and each keeps its own ledger.
    #[serde(default)]
    pub(crate) targets: BTreeMap<String, TargetFile>,
    /// The statements.
    #[schemars(required)]
    pub(crate) mapping: Option<MappingFile>,
    /// The HTTP server of the daemon: health, metrics and status.
    #[serde(default)]
    pub(crate) http: Http,
    /// How existing rows are copied.
    #[serde(default)]
    pub(crate) backfill: Backfill,
    /// How the target is compared with the source.
    #[serde(default)]
    pub(crate) verify: Verify,
    /// Memory and batches.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// How long a server is waited for.
    #[serde(default)]
    pub(crate) deadlines: Deadlines,
    /// What happens when something changes that the mapping stands on.
    #[serde(default)]
    pub(crate) drift: Drift,
    /// Log lines, which go to standard error.
    #[serde(default)]
    pub(crate) log: Log,
}

/// The database that is moved. Exactly one of `url` and `url_file` is needed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["url"]}, {"required": ["url_file"]}]))]
pub(crate) struct SourceFile {
    /// Connection string: "postgres://user@host:5432/database". The user needs REPLICATION.
    url: Option<String>,
    /// File that holds the connection string, alone; read again at every connect. A relative path is
    /// resolved against the folder of this file.
    url_file: Option<PathBuf>,
    /// An existing logical replication slot (pgoutput). By default regraft makes `regraft_<name>`.
    #[schemars(regex(pattern = r"^[a-z0-9_]{1,63}$"))]
    pub(crate) slot: Option<String>,
    /// An existing publication. By default regraft makes `regraft_<name>`.
    #[schemars(length(min = 1, max = 63))]
    pub(crate) publication: Option<String>,
}

impl SourceFile {
    pub(crate) fn urls(&self) -> UrlKeys {
        (self.url.clone(), self.url_file.clone())
    }
}

/// The database that it is moved to. Exactly one of `url` and `url_file` is needed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["url"]}, {"required": ["url_file"]}]))]
pub(crate) struct TargetFile {
    /// Connection string: "postgres://user@host:5432/database".
    url: Option<String>,
    /// File that holds the connection string, alone; read again at every connect. A relative path is
    /// resolved against the folder of this file.
    url_file: Option<PathBuf>,
    /// Whether the target's foreign keys are checked for each row.
    #[serde(default)]
    pub(crate) foreign_keys: ForeignKeys,
    /// Sessions that write batches side by side, by default 2. Each batch commits after the one before
    /// it. One is used where batches cannot be told apart by their source rows.
    #[schemars(range(min = *SESSIONS.start(), max = *SESSIONS.end()))]
    pub(crate) sessions: Option<usize>,
    /// Of several targets: once another one is further ahead of this one than so much of the source's log, the
    /// source keeps it no longer for this one, whose rows then have to be brought in line by `--resync all`. No
    /// limit by default: the log is kept, until the source's disk is full.
    #[serde(default, deserialize_with = "units::optional_bytes::deserialize")]
    #[schemars(schema_with = "units::bytes::schema")]
    pub(crate) keep_log: Option<usize>,
}

/// Whether the target's foreign keys are checked for each row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForeignKeys {
    /// As in any session: rows that violate a foreign key hold the pipeline.
    #[default]
    Checked,
    /// As in native logical replication: neither foreign keys nor ordinary triggers fire. What the
    /// source guarantees is trusted to hold in the target. Needs a superuser, or from PostgreSQL 15 on
    /// GRANT SET ON PARAMETER session_replication_role.
    Trusted,
}

impl TargetFile {
    pub(crate) fn urls(&self) -> UrlKeys {
        (self.url.clone(), self.url_file.clone())
    }
}

/// The statements.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MappingFile {
    /// File with the INSERT … SELECT statements. A relative path is resolved against the folder of
    /// this file.
    #[schemars(required)]
    pub(crate) file: Option<PathBuf>,
}

/// The HTTP server of the daemon: health, metrics and status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Whether the daemon listens at all.
    pub enabled: bool,
    /// IP address and port. There is no login and no TLS: keep it on an internal network. Port 0
    /// takes a free one.
    pub listen: SocketAddr,
    /// `/readyz` says no while the target is further behind than this.
    #[serde(with = "units::duration")]
    #[schemars(schema_with = "units::duration::schema")]
    pub ready_lag: Duration,
    /// `/readyz` says no while some row was compared longer ago than this. No limit by default.
    #[serde(with = "units::optional_duration")]
    #[schemars(schema_with = "units::duration::schema")]
    pub ready_unverified: Option<Duration>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: DEFAULT_LISTEN,
            ready_lag: DEFAULT_READY_LAG,
            ready_unverified: None,
        }
    }
}

/// How long a server is waited for. When a deadline passes, the attempt ends and is tried again; nothing
/// is lost. Opening a connection has `connect_timeout` of the address, 10 s by default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Deadlines {
    /// For an answer on which the server, asked on another connection, is not at work.
    #[serde(with = "units::duration")]
    #[schemars(schema_with = "units::duration::schema")]
    pub answer: Duration,
    /// For an answer on which the server is at work, a COMMIT included. `regraft verify` has no limit.
    #[serde(with = "units::duration")]
    #[schemars(schema_with = "units::duration::schema")]
    pub statement: Duration,
    /// For a lock that another session of the server holds.
    #[serde(with = "units::duration")]
    #[schemars(schema_with = "units::duration::schema")]
    pub lock: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { answer: DEFAULT_ANSWER, statement: DEFAULT_STATEMENT, lock: DEFAULT_LOCK }
    }
}

/// How existing rows are copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Backfill {
    /// False streams from where the slot stands: the target was filled by other means.
    pub enabled: bool,
    /// Connections that read chunks from the source at the same time.
    #[schemars(range(min = *READERS.start(), max = *READERS.end()))]
    pub readers: usize,
    /// Rows per chunk.
    #[schemars(range(min = *CHUNK_ROWS.start(), max = *CHUNK_ROWS.end()))]
    pub chunk_rows: u64,
    /// Size of a chunk: tables with wide rows get fewer rows per chunk.
    #[serde(with = "units::bytes")]
    #[schemars(schema_with = "units::bytes::schema")]
    pub chunk_bytes: usize,
    /// At most so many source rows are read per second, over all readers. No limit by default.
    #[schemars(range(min = 1))]
    pub rows_per_second: Option<u64>,
}

impl Default for Backfill {
    fn default() -> Self {
        Self {
            enabled: true,
            readers: DEFAULT_READERS,
            chunk_rows: DEFAULT_CHUNK_ROWS,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            rows_per_second: None,
        }
    }
}

/// How the target is compared with the source while the pipeline runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// Whether the daemon compares by itself, over and over. `regraft verify` works either way.
    pub enabled: bool,
    /// At most so many source rows are compared per second.
    #[schemars(range(min = 1))]
    pub rows_per_second: u64,
    /// The source is busy with it for at most this share of the time.
    #[schemars(range(min = *PERCENT.start(), max = *PERCENT.end()))]
    pub source_percent: u8,
    /// Whether `regraft.findings` keeps the values of rows that differ, beside their keys.
    pub values: bool,
    /// What happens to rows that differ.
    pub repair: Repair,
    /// More rows than that are not repaired by the daemon within an hour: the pipeline stops.
    #[schemars(range(min = 1))]
    pub repairs_per_hour: u32,
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            enabled: true,
            rows_per_second: DEFAULT_VERIFY_ROWS,
            source_percent: DEFAULT_VERIFY_PERCENT,
            values: false,
            repair: Repair::Off,
            repairs_per_hour: DEFAULT_REPAIRS,
        }
    }
}

/// What happens when something changes that the mapping stands on. What no mapping can go on with, such as
/// a column that is gone, is held whatever is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drift {
    /// Columns of source and target that were renamed, replaced, rewritten or got another type; labels of
    /// enums; a replica identity.
    pub columns: OnDrift,
    /// Tables that were replaced by others of the same name, dropped and made again, or are inherited from.
    pub tables: OnDrift,
    /// Partitions that were attached with rows, detached, truncated.
    pub partitions: OnDrift,
    /// A publication that did not hold a table all the time.
    pub publication: OnDrift,
    /// What is held: only the tables that drifted, with those whose rows are connected with theirs by
    /// foreign keys of the target or a common target; or all.
    pub held: HeldOnDrift,
}

impl Default for Drift {
    fn default() -> Self {
        Self {
            columns: OnDrift::Hold,
            tables: OnDrift::Hold,
            partitions: OnDrift::GoOn,
            publication: OnDrift::Hold,
            held: HeldOnDrift::Table,
        }
    }
}

/// The answer to a drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDrift {
    /// A person says how it goes on: `regraft resume`.
    Hold,
    /// The plan is made again, and the rows in question are compared and mended, or copied anew where they
    /// cannot be told by their source row.
    GoOn,
}

/// What a drift holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeldOnDrift {
    /// The table, and what is connected with it.
    Table,
    /// The whole pipeline.
    All,
}

/// What happens to rows that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Repair {
    /// They are reported; `regraft repair` brings them in line.
    #[default]
    Off,
    /// The daemon brings them in line by itself.
    Auto,
}

/// Memory and batches. A batch closes at whichever of its limits comes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Budget for rows in memory, at least "64MiB": all chunks and batches share it.
    #[serde(with = "units::bytes")]
    #[schemars(schema_with = "units::bytes::schema")]
    pub memory: usize,
    /// Target rows at which a batch closes; a transaction under way may take it to half as many more.
    #[schemars(range(min = *BATCH_ROWS.start(), max = *BATCH_ROWS.end()))]
    pub batch_rows: usize,
    /// Size of a batch.
    #[serde(with = "units::bytes")]
    #[schemars(schema_with = "units::bytes::schema")]
    pub batch_bytes: usize,
    /// How long a batch may wait for more rows: it bounds the lag.
    #[serde(with = "units::duration")]
    #[schemars(schema_with = "units::duration::schema")]
    pub batch_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: DEFAULT_MEMORY,
            batch_rows: DEFAULT_BATCH_ROWS,
            batch_bytes: DEFAULT_BATCH_BYTES,
            batch_age: DEFAULT_BATCH_AGE,
        }
    }
}

/// Log lines, which go to standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Lines for people, or one JSON object per line.
    pub format: LogFormat,
    /// The least level that is logged. The environment variable REGRAFT_LOG overrides it, also per
    /// module: "info,regraft_postgres=debug".
    pub level: LogLevel,
    /// Whether messages of the servers are repeated as they are: in log lines, in the status, over HTTP and in
    /// the ledger. Words of functions, triggers and extensions, and values that a message quotes, may hold
    /// what is in rows; without this they are left out.
    pub server_messages: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what stops the pipeline.
    Error,
    /// Also what deserves a look.
    Warn,
    /// Also what the pipeline does.
    #[default]
    Info,
    /// Also each batch and chunk.
    Debug,
    /// Everything that regraft itself has to say.
    Trace,
}

impl LogLevel {
    /// As it is written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// The JSON Schema (draft 2020-12) of `regraft.toml`. It describes the file before `${VAR}` is
/// replaced, for texts without variables.
pub fn json_schema() -> Value {
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    // The tables are few and used once, so the schema reads as the file does. Unknown keys are
    // looked up in it by path, see `tree`.
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<SettingsFile>().to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "regraft.toml".into());
    }
    tidy(&mut schema);
    schema
}

/// Takes out what comes from Rust and not from the file: TOML has no null, and the lines of a comment
/// are not lines of a description.
fn tidy(node: &mut Value) {
    let Some(node) = node.as_object_mut() else {
        node.as_array_mut().into_iter().flatten().for_each(tidy);
        return;
    };
    node.retain(|key, value| key != "default" || !value.is_null());
    for (key, value) in node.iter_mut() {
        match (key.as_str(), &mut *value) {
            ("default", Value::Object(defaults)) => defaults.retain(|_, value| !value.is_null()),
            ("type", Value::Array(types)) => {
                if let [one, Value::String(null)] = types.as_slice()
                    && null == "null"
                {
                    *value = one.clone();
                }
            }
            ("description", Value::String(text)) => {
                let paragraphs: Vec<_> =
                    text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
                *text = paragraphs.join("\n\n");
            }
            _ => tidy(value),
        }
    }
}
