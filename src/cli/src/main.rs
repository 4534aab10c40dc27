//! The `regraft` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    regraft::main_with(&regraft::Mappers::new())
}
