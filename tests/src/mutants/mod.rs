//! Planted bugs: each of them has to be caught by a test. The list is `tests/mutants.toml`; it says in
//! which file which text is replaced by which, and the narrowest test that has to fail then.
//!
//! Nothing is changed in the checkout: a copy of it is, below `target/mutants`, with a build folder of its
//! own that is kept from one mutant to the next.

mod copy;
mod report;
mod trial;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use copy::Copy;
pub use report::{Caught, Report};
pub use trial::{Trial, trial};

/// A planted bug.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// What the program does wrong.
    pub name: String,
    /// File below the root of the repository.
    pub file: String,
    /// Text that stands there exactly once.
    pub find: String,
    /// What it is replaced by.
    pub put: String,
    /// What has to fail.
    pub test: Test,
}

/// A test, as `cargo test` is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Package.
    pub package: String,
    /// Name of a file or folder in `tests/`; the library's own tests, if not given.
    pub program: Option<String>,
    /// The test's whole name.
    pub name: String,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.program {
            Some(program) => write!(f, "{program}::{}", self.name),
            None => write!(f, "{}: {}", self.package, self.name),
        }
    }
}

#[derive(Deserialize)]
struct List {
    mutant: Vec<Mutant>,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The list of the repository.
///
/// # Errors
/// When it cannot be read.
pub fn list() -> Result<Vec<Mutant>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let list: List = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(list.mutant)
}

impl Mutant {
    /// The text of the file with the bug in it.
    ///
    /// # Errors
    /// When the text to be replaced does not stand there exactly once.
    pub fn plant(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.put, 1)),
            count => Err(format!(
                "«{}»: the text to be replaced stands {count} times in {}, and not once",
                self.name, self.file
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The list is of use only as long as it fits the files.
    #[test]
    fn each_bug_can_be_planted_at_exactly_one_place() {
        let list = list().unwrap();
        let plant = |mutant: &Mutant| {
            let text = std::fs::read_to_string(root().join(&mutant.file))
                .map_err(|error| format!("{}: {error}", mutant.file))?;
            let planted = mutant.plant(&text)?;
            if planted == text {
                Err(format!("«{}» changes nothing", mutant.name))
            } else {
                Ok(())
            }
        };
        let faults: Vec<_> = list.iter().filter_map(|mutant| plant(mutant).err()).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        let names: HashSet<_> = list.iter().map(|mutant| &mutant.name).collect();
        assert_eq!(names.len(), list.len(), "a name stands there twice");
    }
}
