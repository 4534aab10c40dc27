//! The real program, built if need be.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The environment variable that names a program to test instead, such as an installed one.
const ENVIRONMENT: &str = "REGRAFT_BINARY";

/// The `regraft` program of the same profile as the running test. It is built first, once per process:
/// `cargo test` in a fresh clone does not do that by itself, and an old program must not be tested.
///
/// # Panics
/// If the build fails, with its output.
pub fn regraft_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os(ENVIRONMENT) {
        Some(given) => PathBuf::from(given),
        None => build("regraft", "regraft"),
    })
}

/// The program of an example package, built of the same profile.
///
/// # Panics
/// If the build fails, with its output.
pub fn example_binary(package: &str) -> PathBuf {
    build(package, package)
}

/// `regraft` with fail points (see `regraft_core::fail`), built of the same profile.
///
/// # Panics
/// If the build fails, with its output.
pub fn fail_points_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let options = ["--example", "regraft-fail-points", "--features", "fail-points"];
    BINARY.get_or_init(|| build_as("regraft", &options).join("examples/regraft-fail-points"))
}

fn build(package: &str, program: &str) -> PathBuf {
    build_as(package, &["--bin", program]).join(program)
}

/// Builds a program of a package, and gives the folder of what is built.
fn build_as(package: &str, options: &[&str]) -> PathBuf {
    let (target, profile) = where_tests_are_built();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "-p", package]).args(options);
    // The folder `debug` is the profile `dev`; the others carry their own name.
    command.arg("--profile").arg(if profile == "debug" { "dev" } else { &profile });
    command.arg("--manifest-path").arg(root.join("Cargo.toml")).arg("--target-dir").arg(&target);
    forget_package(&mut command);
    let output = command.output().unwrap_or_else(|error| panic!("cargo does not run: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{options:?} of {package} cannot be built:\n{said}");
    target.join(profile)
}

/// Takes away what cargo tells a test of its own package: build scripts that look at it would be run
/// again, now inside of a test and now outside, and everything above them be built anew each time.
pub fn forget_package(cargo: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
}

/// `target` and `debug` from `target/debug/deps/some-test`.
fn where_tests_are_built() -> (PathBuf, String) {
    let test = std::env::current_exe().unwrap();
    let folder = test
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps") && !folder.ends_with("examples"))
        .unwrap();
    let profile = folder.file_name().unwrap().to_string_lossy().into_owned();
    (folder.parent().unwrap().to_path_buf(), profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_the_build_is_that_of_the_test() {
        let (target, profile) = where_tests_are_built();
        assert!(target.join(profile).join("deps").is_dir());
    }
}
