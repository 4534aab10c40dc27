//! Measurements. Each compares regraft with peers that do the same work in the same run, on servers
//! that it starts itself; only ratios mean anything, machines are noisy.

mod backlog;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
        /// How often each way is measured; the median counts.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Folder with PostgreSQL's programs, pg_recvlogical among them, or a major version.
        #[arg(long)]
        pg_bin: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Measure::Backlog { changes, rounds, pg_bin, json } = Arguments::parse().measure;
    match backlog::run(changes, rounds, pg_bin.as_deref()).await {
        Ok(report) => {
            report.print(json);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
