//! Measurements. Each compares regraft with peers that do the same work in the same run, on servers
//! that it starts itself; only ratios mean anything, machines are noisy.

mod backlog;
mod drain;
mod idle;
mod mapper;
mod read;
mod report;
mod used;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Measures regraft beside peers that do the same work, in one run.
#[derive(Parser)]
#[command(name = "regraft-bench")]
struct Arguments {
    /// What to measure.
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Subcommand)]
enum Measure {
    /// A backlog of row changes of the ai-workloads example, drained into the four tables: by regraft,
    /// by native logical replication with a trigger that does the same decomposition, and (decoding
    /// alone) by regraft's reader and by `pg_recvlogical` to /dev/null.
    Backlog {
        /// Row changes in the backlog.
        #[arg(long, default_value_t = 500_000)]
        changes: u64,
        #[command(flatten)]
        common: Common,
    },
    /// The compiled mapper alone, on one core, beside one backend that evaluates the same SELECT.
    Mapper {
        /// Rows of the source table.
        #[arg(long, default_value_t = 200_000)]
        rows: u64,
        #[command(flatten)]
        common: Common,
    },
    /// The same updates, followed by a streamed statement and by statements that the source evaluates
    /// for the keys of changes.
    Read {
        /// Updates.
        #[arg(long, default_value_t = 200_000)]
        changes: u64,
        #[command(flatten)]
        common: Common,
    },
    /// A whole pass of verification, beside COPY of the same rows out of both servers to /dev/null and an
    /// md5 aggregate in both; and the lag of a pipeline under a steady writer, with the continuous
    /// verification and without.
    Verify {
        /// Rows of the source table that is verified.
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        /// Transactions per second of the writer.
        #[arg(long, default_value_t = 300)]
        transactions: u32,
        /// For how long it writes, each time; 0 leaves the lag out.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Processor time, sessions and transactions of both servers while nothing is written, without a
    /// pipeline and with one.
    Idle {
        /// Small tables.
        #[arg(long, default_value_t = 1)]
        tables: u64,
        /// For how long it is looked at, each time.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
struct Common {
    /// How often each way is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Folder with PostgreSQL's programs, or a major version.
    #[arg(long)]
    pg_bin: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let measure = Arguments::parse().measure;
    let (Measure::Backlog { common, .. }
    | Measure::Mapper { common, .. }
    | Measure::Read { common, .. }
    | Measure::Verify { common, .. }
    | Measure::Idle { common, .. }) = &measure;
    let Common { rounds, pg_bin, json } = common;
    let pg_bin = pg_bin.as_deref();
    let report = match measure {
        Measure::Backlog { changes, .. } => backlog::run(changes, *rounds, pg_bin).await,
        Measure::Mapper { rows, .. } => mapper::run(rows, *rounds, pg_bin).await,
        Measure::Read { changes, .. } => read::run(changes, *rounds, pg_bin).await,
        Measure::Verify { rows, transactions, seconds, .. } => {
            verify::run((rows, transactions, seconds), *rounds, pg_bin).await
        }
        Measure::Idle { tables, seconds, .. } => {
            idle::run((tables, seconds), *rounds, pg_bin).await
        }
    };
    match report {
        Ok(report) => {
            report.print(*json);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
