//! Plants bugs in a copy of the checkout, one at a time, and looks whether a test catches each.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use regraft_tests::mutants::{Caught, Copy, Report, Trial, list, trial};
use regraft_tests::page::write_part;

/// Plants the bugs of tests/mutants.toml in a copy of the checkout, one at a time.
///
/// Each test is run as it is, and has to pass; then with the bug, and has to fail. Ends with status 1 when
/// a bug is not caught, with 2 when it cannot run.
#[derive(Parser)]
#[command(name = "mutants")]
struct Arguments {
    /// Only bugs whose name has one of these words in it.
    words: Vec<String>,
    /// Write the table into this page, such as docs/reliability.md.
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(report) => {
            println!("\n{report}");
            ExitCode::from(u8::from(!report.is_good()))
        }
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report, String> {
    let wanted = |name: &str| {
        arguments.words.is_empty() || arguments.words.iter().any(|word| name.contains(word))
    };
    let list: Vec<_> = list()?.into_iter().filter(|mutant| wanted(&mutant.name)).collect();
    let copy = Copy::make().map_err(|error| error.to_string())?;
    // First all of them without a bug: one build for each program of tests.
    let mut clean = HashMap::new();
    for mutant in &list {
        let before = || {
            eprintln!("without a bug: {}", mutant.test);
            trial(&copy, &mutant.test, None)
        };
        clean.entry(mutant.test.clone()).or_insert_with(before);
    }
    let mut report = Report::default();
    for mutant in list {
        let before = clean[&mutant.test].clone();
        let after = match before {
            Trial::Passed => trial(&copy, &mutant.test, Some(&mutant)),
            _ => Trial::Unclear("not tried".to_owned()),
        };
        let caught = Caught { mutant, before, after };
        eprintln!("{}: {}", caught.mutant.name, caught.verdict());
        if let (Trial::Unclear(why), _) | (_, Trial::Unclear(why)) = (&caught.before, &caught.after)
        {
            eprintln!("{why}");
        }
        report.0.push(caught);
    }
    if let Some(page) = &arguments.write {
        write_part(page, "mutants", &report.to_string()).map_err(|error| error.to_string())?;
    }
    Ok(report)
}
