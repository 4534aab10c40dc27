//! Has pipelines live through faults for as long as asked.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use regraft_tests::page::write_part;
use regraft_tests::soak::{Limits, run};

/// Draws schemas, settings, load and faults from a seed, and compares both sides after each few faults.
///
/// Ends with status 101 when they differ, or the daemon does not go on: the seed gives it again, as far as the
/// clock allows.
#[derive(Parser)]
#[command(name = "soak")]
struct Arguments {
    /// Where chance begins.
    #[arg(long)]
    seed: Option<u64>,
    /// At most so long.
    #[arg(long, default_value_t = 600)]
    minutes: u64,
    /// At most so many kills.
    #[arg(long, default_value_t = 3_000)]
    kills: u64,
    /// Write the figures into this page, such as docs/reliability.md.
    #[arg(long)]
    write: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let time = Duration::from_secs(arguments.minutes.saturating_mul(60));
    let report = run(seed, Limits { kills: arguments.kills, time }).await;
    println!("\n{report}");
    if let Some(page) = &arguments.write
        && let Err(error) = write_part(page, "soak", &report.to_string())
    {
        eprintln!("soak: {error}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
