//! The `regraft` program, and the facade for programs that embed it.
//!
//! A program of your own is the same program with mappers of its own, see [`main_with`]:
//!
//! ```no_run
//! # use regraft::Mappers;
//! fn main() -> std::process::ExitCode {
//!     regraft::main_with(&Mappers::new()) // .with("unpack", Unpack::default())
//! }
//! ```
//!
//! This is the only crate that names connectors: it reads the configuration, resolves the mapping
//! against both servers ([`resolve`]), and hands a plan to `regraft-pipeline`.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "see `out`")]

mod accepted;
pub mod args;
mod bar;
pub mod board;
pub mod check;
pub mod demo;
pub mod finding;
mod holding;
mod legs;
mod look;
mod mappers;
mod out;
mod publishing;
pub mod repair;
pub mod resolve;
mod resume;
pub mod run;
pub mod sample;
mod setup;
pub mod share;
pub mod status;
pub mod teardown;
mod told;
pub mod verify;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use regraft_core::{Error, Kind};
use regraft_settings::{Log, LogFormat, Settings};
use tokio_util::sync::CancellationToken;

use crate::args::{Cli, Color, Command, ConfigArgs};
use crate::out::{errln, out};
pub use mappers::Mappers;
/// What a mapper is written with.
pub use regraft_core as core;

/// The `regraft` program with these mappers: reads the command line, runs the command, and prints what
/// went wrong.
pub fn main_with(mappers: &Mappers) -> ExitCode {
    look::ask(Color::among(std::env::args_os().skip(1)));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            errln!("regraft: the runtime does not start: {error}");
            return ExitCode::from(Kind::Internal.exit_status());
        }
    };
    let status = match runtime.block_on(execute(cli, mappers)) {
        Ok(status) => status,
        Err(errors) => {
            for error in &errors {
                errln!("error: {error}");
                if error.remedy_text().is_none() {
                    errln!("  to do: see docs/errors/{}.md", error.code());
                }
            }
            errors.first().map_or(Kind::Internal, Error::kind).exit_status()
        }
    };
    // Connections that are being closed need not be waited for.
    runtime.shutdown_background();
    if let Some(error) = out::failed() {
        errln!("regraft: standard output cannot be written: {error}");
        return ExitCode::from(if status == 0 { Kind::Refused.exit_status() } else { status });
    }
    ExitCode::from(status)
}

/// Prints a help text, or what is wrong with the command line.
fn explain(error: &clap::Error) -> ExitCode {
    let text = error.render();
    let look = if error.use_stderr() { &look::STDERR } else { &look::STDOUT };
    let text = if look.has_color() { text.ansi().to_string() } else { text.to_string() };
    let text = look.wrap(&text);
    match error.use_stderr() {
        true => {
            drop(std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()));
            ExitCode::from(Kind::Usage.exit_status())
        }
        false => {
            out!("{text}");
            ExitCode::SUCCESS
        }
    }
}

/// Runs a command; gives its exit status.
///
/// # Errors
/// All errors that ended it.
pub async fn execute(cli: Cli, mappers: &Mappers) -> Result<u8, Vec<Error>> {
    match cli.command {
        Command::Check(args) => check::check(&args, mappers).await,
        Command::Run(args) => run::run(&args, mappers).await,
        Command::Status(args) => status::status(&args).await,
        Command::Verify(args) => verify::verify(&args, mappers).await,
        Command::Resume(args) => resume::resume(&args).await,
        Command::Repair(args) => repair::repair(&args, mappers).await,
        Command::Demo(args) => demo::demo(&args).await,
        Command::Teardown(args) => teardown::teardown(&args).await,
    }
}

/// Reads the configuration.
///
/// # Errors
/// All its faults.
pub fn load(args: &ConfigArgs) -> Result<Settings, Vec<Error>> {
    let settings = Settings::load(&args.config)?;
    regraft_postgres::show_server_messages(settings.log.server_messages);
    Ok(settings)
}

fn init_logging(log: &Log) {
    let format = match log.format {
        LogFormat::Text => regraft_telemetry::LogFormat::Text,
        LogFormat::Json => regraft_telemetry::LogFormat::Json,
    };
    let colored = look::STDERR.has_color();
    if let Err(error) = regraft_telemetry::init_logging(format, log.level.as_str(), colored) {
        errln!("regraft: {error}");
    }
}

static STOPPED: AtomicBool = AtomicBool::new(false);

/// A signal has told the process to stop.
fn is_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
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
                STOPPED.store(true, Ordering::Relaxed);
                cancel.cancel();
            }
        }
        // The position is in the target: nothing is lost.
        std::process::exit(130);
    };
    tokio::spawn(listen);
}
