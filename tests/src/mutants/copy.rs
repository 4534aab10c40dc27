//! A copy of the checkout that may be spoilt.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Mutant, root};

/// The copy, with a build folder beside it.
pub struct Copy {
    folder: PathBuf,
}

impl Copy {
    /// Copies what git knows, and new files that it does not ignore. What is there already and the same
    /// is left alone, so that little is built anew.
    ///
    /// # Errors
    /// When git or the disk refuses.
    pub fn make() -> io::Result<Copy> {
        let root = root();
        let copy = Copy { folder: root.join("target/mutants") };
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = git.current_dir(&root).output()?;
        if !listed.status.success() {
            return Err(io::Error::other("git does not list the files of the checkout"));
        }
        let listed = String::from_utf8_lossy(&listed.stdout);
        let mut wanted = HashSet::new();
        for name in listed.split('\0').filter(|name| !name.is_empty()) {
            let (from, to) = (root.join(name), copy.path(name));
            // A file that was deleted and is still in the index.
            if !from.is_file() {
                continue;
            }
            wanted.insert(to.clone());
            write_changed(&to, &std::fs::read(&from)?)?;
            std::fs::set_permissions(&to, std::fs::metadata(&from)?.permissions())?;
        }
        remove_others(&copy.path(""), &wanted)?;
        Ok(copy)
    }

    /// A file of the copy.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join("checkout").join(name)
    }

    /// Where it is built.
    pub(super) fn build_folder(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// Plants a bug. Dropping what is given takes it out again.
    pub(super) fn plant(&self, mutant: &Mutant) -> Result<Planted, String> {
        let path = self.path(&mutant.file);
        let fault = |error: io::Error| format!("{}: {error}", mutant.file);
        let before = std::fs::read_to_string(&path).map_err(fault)?;
        let planted = Planted { before, path };
        std::fs::write(&planted.path, mutant.plant(&planted.before)?).map_err(fault)?;
        Ok(planted)
    }
}

/// A bug in the copy.
pub(super) struct Planted {
    before: String,
    path: PathBuf,
}

impl Drop for Planted {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(&self.path, &self.before) {
            eprintln!("{} keeps its bug: {error}", self.path.display());
        }
    }
}

fn write_changed(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes)
}

fn remove_others(folder: &Path, wanted: &HashSet<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, wanted)?;
        } else if !wanted.contains(&path) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}
