//! One run of a test in the copy, with or without a bug.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use regraft_testkit::forget_package;

use super::{Copy, Mutant, Test};

/// A build, or a test, that takes longer hangs.
const TIME_MAX: Duration = Duration::from_secs(1200);

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It passed.
    Passed,
    /// It failed as tests fail.
    Failed,
    /// It says nothing: it could not be built, was not found, or did not end.
    Unclear(String),
}

/// Builds and runs a test, with a bug if one is given.
pub fn trial(copy: &Copy, test: &Test, mutant: Option<&Mutant>) -> Trial {
    let planted = match mutant.map(|mutant| copy.plant(mutant)).transpose() {
        Ok(planted) => planted,
        Err(fault) => return Trial::Unclear(fault),
    };
    let result = build(copy, test).and_then(|()| run(copy, test));
    drop(planted);
    result.unwrap_or_else(Trial::Unclear)
}

fn build(copy: &Copy, test: &Test) -> Result<(), String> {
    let mut builds = vec![vec!["test", "--no-run"]];
    if test.package == env!("CARGO_PKG_NAME") {
        // The tests would build it themselves, and a failure of that would look like theirs.
        builds.push(vec!["build", "--package", "regraft", "--bin", "regraft"]);
    }
    for (at, arguments) in builds.iter().enumerate() {
        let mut cargo = cargo(copy);
        cargo.args(arguments).arg("--quiet");
        if at == 0 {
            name(&mut cargo, test);
        }
        let (success, said) = ended(cargo)?;
        if !success {
            return Err(format!("it cannot be built:\n{said}"));
        }
    }
    Ok(())
}

fn run(copy: &Copy, test: &Test) -> Result<Trial, String> {
    let mut cargo = cargo(copy);
    cargo.args(["test"]);
    name(&mut cargo, test);
    cargo.args(["--", "--exact", &test.name]);
    let (_, said) = ended(cargo)?;
    outcome(&said).ok_or_else(|| format!("no test of this name ran:\n{said}"))
}

/// What the summaries say; `None` when nothing ran.
fn outcome(said: &str) -> Option<Trial> {
    let mut counts = [0_u32; 2];
    for line in said.lines().filter(|line| line.starts_with("test result: ")) {
        for part in line.split(['.', ';']) {
            let mut words = part.split_whitespace();
            if let (Some(count), Some(word)) = (words.next(), words.next()) {
                let count = count.parse().unwrap_or(0);
                counts[0] += if word == "passed" { count } else { 0 };
                counts[1] += if word == "failed" { count } else { 0 };
            }
        }
    }
    match counts {
        [0, 0] => None,
        [_, 0] => Some(Trial::Passed),
        _ => Some(Trial::Failed),
    }
}

fn name(cargo: &mut Command, test: &Test) {
    cargo.args(["--package", &test.package]);
    match &test.program {
        Some(program) => cargo.args(["--test", program]),
        None => cargo.arg("--lib"),
    };
}

fn cargo(copy: &Copy) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(copy.path("")).env("CARGO_TARGET_DIR", copy.build_folder());
    // What a bug has broken is not to be tried again with the next one.
    cargo.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    forget_package(&mut cargo);
    cargo
}

/// Runs to the end, and gives what was said.
fn ended(mut command: Command) -> Result<(bool, String), String> {
    let out = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let file = || out.reopen().map(Stdio::from).map_err(|error| error.to_string());
    command.stdin(Stdio::null()).stdout(file()?).stderr(file()?).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("cargo does not run: {error}"))?;
    let begun = Instant::now();
    let said = || std::fs::read(out.path()).unwrap_or_default();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok((status.success(), String::from_utf8_lossy(&said()).into_owned()));
        }
        if begun.elapsed() > TIME_MAX {
            Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status().ok();
            child.wait().ok();
            return Err(format!("not ended within {} s", TIME_MAX.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read() {
        let none = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out";
        let one = "running 1 test\ntest result: ok. 1 passed; 0 failed; 0 ignored";
        let bad = "test result: FAILED. 0 passed; 1 failed; 0 ignored";
        assert_eq!(outcome("error: could not compile"), None);
        assert_eq!(outcome(none), None);
        assert_eq!(outcome(one), Some(Trial::Passed));
        assert_eq!(outcome(&format!("{one}\n{bad}")), Some(Trial::Failed));
    }
}
