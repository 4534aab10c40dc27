//! The `regraft` program, and the facade for programs that embed it.
//!
//! This is the only crate that names connectors: it reads the configuration, resolves the mapping
//! against both servers ([`resolve`]), and hands a plan to `regraft-pipeline`.

pub mod args;
pub mod check;
pub mod demo;
pub mod finding;
pub mod repair;
pub mod resolve;
pub mod run;
pub mod sample;
mod setup;
pub mod status;
pub mod teardown;
pub mod verify;
mod watch;

use regraft_core::Error;
use regraft_settings::{Log, LogFormat, Settings};
use tokio_util::sync::CancellationToken;

use crate::args::{Cli, Command, ConfigArgs};

/// Runs a command; gives its exit status.
///
/// # Errors
/// All errors that ended it.
pub async fn execute(cli: Cli) -> Result<u8, Vec<Error>> {
    match cli.command {
        Command::Check(args) => check::check(&args).await,
        Command::Run(args) => run::run(&args).await,
        Command::Status(args) => status::status(&args).await,
        Command::Verify(args) => verify::verify(&args).await,
        Command::Repair(args) => repair::repair(&args).await,
        Command::Demo(args) => demo::demo(&args).await,
        Command::Teardown(args) => teardown::teardown(&args).await,
    }
}

/// Reads the configuration.
///
/// # Errors
/// All its faults.
pub fn load(args: &ConfigArgs) -> Result<Settings, Vec<Error>> {
    Settings::load(&args.config)
}

fn init_logging(log: &Log) {
    let format = match log.format {
        LogFormat::Text => regraft_telemetry::LogFormat::Text,
        LogFormat::Json => regraft_telemetry::LogFormat::Json,
    };
    if let Err(error) = regraft_telemetry::init_logging(format, log.level.as_str()) {
        eprintln!("regraft: {error}");
    }
}

/// The first SIGTERM or SIGINT ends the run cleanly, the second at once.
fn on_signal(cancel: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = async move {
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::warn!("signals cannot be listened for; SIGTERM ends the daemon at once");
            return;
        };
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("stopping; once more ends it at once");
                cancel.cancel();
            }
        }
        // The position is in the target: nothing is lost.
        std::process::exit(130);
    };
    tokio::spawn(listen);
}
