//! The `regraft` program.

use std::process::ExitCode;

use clap::Parser;
use regraft::args::Cli;
use regraft_core::Kind;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { Kind::Usage.exit_status() } else { 0 };
            drop(error.print());
            return ExitCode::from(status);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("regraft: the runtime does not start: {error}");
            return ExitCode::from(Kind::Internal.exit_status());
        }
    };
    let status = match runtime.block_on(regraft::execute(cli)) {
        Ok(status) => status,
        Err(errors) => {
            for error in &errors {
                eprintln!("error: {error}");
                if error.remedy_text().is_none() {
                    eprintln!("  to do: see docs/errors/{}.md", error.code());
                }
            }
            errors.first().map_or(Kind::Internal, regraft_core::Error::kind).exit_status()
        }
    };
    // Connections that are being closed need not be waited for.
    runtime.shutdown_background();
    ExitCode::from(status)
}
