//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Moves a live PostgreSQL database onto a new schema, and keeps the two equal.
///
/// Exit status: 0 done, 1 findings, 2 usage or configuration, 3 a server could not be reached or
/// refused, 4 refused for safety, 70 internal error.
#[derive(Debug, Parser)]
#[command(name = "regraft", version)]
pub struct Cli {
    /// Colour: always, never, or auto, which is on a terminal, unless NO_COLOR is set or TERM is dumb.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = true
    )]
    pub color: Color,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal that wants it.
    #[default]
    Auto,
    /// Anywhere.
    Always,
    /// Nowhere.
    Never,
}

impl Color {
    /// What arguments ask for that need not make sense otherwise: the message about that has colour, too.
    pub(crate) fn among(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Self {
        let mut color = Self::default();
        while let Some(argument) = arguments.next() {
            let value = match argument.to_str() {
                Some("--color") => arguments.next(),
                Some(text) => text.strip_prefix("--color=").map(Into::into),
                None => None,
            };
            let named = value.and_then(|value| Self::from_str(value.to_str()?, false).ok());
            color = named.unwrap_or(color);
        }
        color
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at both databases and the mapping, and say what would keep it from running.
    Check(CheckArgs),
    /// Copy existing rows, then follow the source until told to stop.
    Run(RunArgs),
    /// Show what the ledger knows of the pipeline.
    Status(StatusArgs),
    /// Compare the target with the source now, row by row, and report what differs.
    Verify(VerifyArgs),
    /// Show the tables that are held, and say how they go on.
    Resume(ResumeArgs),
    /// Bring rows that differ in line, by reading them from the source again.
    Repair(RepairArgs),
    /// See it work: a throwaway PostgreSQL, an example table under load, and the result compared.
    Demo(DemoArgs),
    /// Remove what the pipeline made at the source, and forget it in the ledger. Target tables stay.
    Teardown(TeardownArgs),
}

/// Where the configuration is.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// The configuration file.
    #[arg(short, long, default_value = regraft_settings::DEFAULT_FILE, env = "REGRAFT_CONFIG")]
    pub config: PathBuf,
    /// Of several targets, only this one: NAME of [targets.NAME]. `regraft run` runs them all, and does what
    /// --recopy, --resync and --accept-mapping say for this one.
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
}

/// `regraft check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Print SQL that makes target tables that do not exist, with their schemas and types.
    #[arg(long, conflicts_with = "json")]
    pub ddl: bool,
    /// Evaluate up to N rows of each source table both by regraft and by PostgreSQL, and report what
    /// differs.
    #[arg(long, value_name = "N", conflicts_with = "ddl", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sample: Option<u32>,
    /// Print the values that differ, too.
    #[arg(long, requires = "sample")]
    pub show_values: bool,
}

/// `regraft run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// End once everything is copied and the source's position of that moment is in the target.
    #[arg(long)]
    pub until_caught_up: bool,
    /// Copy a source table anew before going on: its rows in the target are cleared first. `all`
    /// stands for every table, and makes a lost slot anew. May be given several times.
    #[arg(long, value_name = "TABLE")]
    pub recopy: Vec<String>,
    /// Compare all rows made from a source table, and mend those that differ, surplus ones included, while
    /// the stream goes on from now: what --recopy does, without clearing the target first. `all` stands for
    /// every table, and makes a lost slot anew. May be given several times.
    #[arg(long, value_name = "TABLE", conflicts_with = "until_caught_up")]
    pub resync: Vec<String>,
    /// Go on with a changed mapping without copying anew: the rows in the target fit it already.
    #[arg(long)]
    pub accept_mapping: bool,
    /// Print the summary as one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl RunArgs {
    /// Without what is to be done once.
    pub(crate) fn forget(&mut self) {
        (self.recopy, self.resync, self.accept_mapping) = (Vec::new(), Vec::new(), false);
    }
}

/// `regraft status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `regraft verify`.
#[derive(Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("audits").multiple(true)))]
pub struct VerifyArgs {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Only these target tables; the name of a source table means all that its rows fill.
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    pub tables: Vec<String>,
    /// Only the rows of these source keys, as text; of several columns as '["a", "b"]'. May be given
    /// several times.
    #[arg(long, value_name = "KEY", conflicts_with = "sample")]
    pub keys: Vec<String>,
    /// Compare only about this share of the rows, in percent: ranges of keys, drawn by lot.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub sample: Option<u8>,
    /// Compare figures of each column, too: counts, distinct values, minimum, mean, quantiles.
    #[arg(long, group = "audits")]
    pub statistics: bool,
    /// Try these rules, too: files of SQL, or folders with them. May be given several times.
    #[arg(long, value_name = "PATH", group = "audits")]
    pub rules: Vec<PathBuf>,
    /// Compare digests of the values of --column, too, row by row.
    #[arg(long, value_name = "ALGORITHM", requires = "column", group = "audits")]
    pub checksum: Option<ChecksumAlgorithm>,
    /// A column for --checksum. May be given several times.
    #[arg(long, value_name = "TABLE.COLUMN", requires = "checksum")]
    pub column: Vec<String>,
    /// Only --statistics, --rules and --checksum: do not compare row by row.
    #[arg(long, requires = "audits", conflicts_with_all = ["keys", "sample"])]
    pub without_rows: bool,
    /// Have writers of the published tables wait for the moment that it takes to bring the target to the
    /// same position, so that --statistics, --rules and --checksum are exact under load.
    #[arg(long, requires = "audits")]
    pub pause_writes: bool,
    /// Print values and rows that --statistics and --rules find, too.
    #[arg(long, requires = "audits")]
    pub show_values: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A digest that both servers can compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ChecksumAlgorithm {
    /// SHA-256.
    Sha256,
    /// MD5.
    Md5,
}

/// `regraft resume`.
#[derive(Args, Debug)]
pub struct ResumeArgs {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Only these source tables, with those whose rows are connected with theirs. By default, and for `all`,
    /// whatever is held.
    #[arg(value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Accept what changed: make the plan again, compare the rows that it made stale, and mend those that
    /// differ. Rows that cannot be told by their source row are copied anew.
    #[arg(long)]
    pub accept: bool,
    /// Clear the rows in the target, and copy them anew.
    #[arg(long, requires = "accept")]
    pub copy: bool,
    /// The rows in the target fit already. Not for tables that the others went on without.
    #[arg(long, requires = "accept", conflicts_with = "copy")]
    pub as_is: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `regraft repair`.
#[derive(Args, Clone, Debug)]
pub struct RepairArgs {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Only these target tables; the name of a source table means all that its rows fill.
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    pub tables: Vec<String>,
    /// Do it; without, only say what would be repaired.
    #[arg(long)]
    pub apply: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `regraft teardown`.
#[derive(Args, Debug)]
pub struct TeardownArgs {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Do it; without, only say what would be removed.
    #[arg(long)]
    pub apply: bool,
}

/// `regraft demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Which example: ai-workloads or todos.
    #[arg(long, default_value = "ai-workloads")]
    pub example: String,
    /// Rows in the source table at the start.
    #[arg(long, default_value_t = 200_000)]
    pub rows: u64,
    /// Seconds of load after the copy is done.
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Leave the server and the daemon running, and say how to look around.
    #[arg(long)]
    pub keep: bool,
    /// Print the summary as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Folder with PostgreSQL's server programs, or a major version.
    #[arg(long, value_name = "DIR", env = "REGRAFT_PG_BIN")]
    pub pg_bin: Option<PathBuf>,
}
