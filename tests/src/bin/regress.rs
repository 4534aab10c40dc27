//! Compares regraft with PostgreSQL over PostgreSQL's own regression tests: see `docs/regress.md`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Evaluates the SELECTs of psql scripts by a throwaway server and by regraft's compiled mapper.
///
/// Ends with status 1 when anything differs, with 2 when it cannot run.
#[derive(Parser)]
#[command(name = "regress")]
struct Arguments {
    /// Folder with the scripts, e.g. src/test/regress/sql of PostgreSQL's sources.
    folder: PathBuf,
    /// Compare only in these scripts, named without .sql; all of them are run.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Write the result as a page of the documentation.
    #[arg(long)]
    write: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = regraft_tests::regress::run(&arguments.folder, &arguments.only, |file| {
        if file.selects > 0 {
            println!("{file}");
        }
    });
    let written = result.await.and_then(|report| {
        if let Some(path) = &arguments.write {
            std::fs::write(path, report.page())?;
        }
        Ok(report)
    });
    match written {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(u8::from(report.differs()))
        }
        Err(error) => {
            eprintln!("regress: {error}");
            ExitCode::from(2)
        }
    }
}
