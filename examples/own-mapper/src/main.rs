//! The `regraft` program with a mapper of its own.

use std::process::ExitCode;

use own_mapper::UnpackPage;
use regraft::Mappers;

fn main() -> ExitCode {
    regraft::main_with(&Mappers::new().with("unpack-page", UnpackPage::default()))
}
