//! The `regraft` program with fail points (`regraft_core::fail`), under a name of its own: no test may
//! meet it in place of `regraft`.

use std::process::ExitCode;

fn main() -> ExitCode {
    regraft::main_with(&regraft::Mappers::new())
}
