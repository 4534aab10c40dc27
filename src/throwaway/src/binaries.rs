//! Where PostgreSQL's server programs are.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use regraft_core::{Code, Error, Result};

/// The environment variable that names the folder of `initdb` and `postgres`, or a major version.
pub(crate) const ENVIRONMENT: &str = "REGRAFT_PG_BIN";

/// What a cluster needs; Debian keeps these out of PATH, so a client installation is not enough.
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// A folder that holds `initdb`, `pg_ctl` and `postgres` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
}

/// A PostgreSQL release, such as 15.18. Betas have the minor number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 14, 15, …
    pub major: u32,
    /// The number after the dot.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Binaries {
    /// Finds the programs: the explicit folder, else `REGRAFT_PG_BIN`, else PATH, else where
    /// distributions put them, the newest version first.
    ///
    /// What was named (by argument or environment) is used or refused, never passed over: a run must
    /// not silently use another version than the one asked for. A number is a major version.
    ///
    /// # Errors
    /// [`Code::ThrowawayFailed`] with the way to install them.
    pub fn find(explicit: Option<&Path>) -> Result<Self> {
        if let Some(folder) = explicit {
            return Self::named(folder, "--pg-bin");
        }
        if let Some(folder) = env::var_os(ENVIRONMENT).filter(|value| !value.is_empty()) {
            return Self::named(Path::new(&folder), ENVIRONMENT);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .chain(installed(Path::new("/")))
            .find_map(|folder| Self::complete(&folder))
            .ok_or_else(|| {
                Error::new(Code::ThrowawayFailed, "PostgreSQL's server programs are not found")
                    .at("initdb, pg_ctl, postgres")
                    .remedy(format!(
                        "install the server (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf \
                         install postgresql-server; macOS: brew install postgresql), or name its \
                         folder with --pg-bin DIR or {ENVIRONMENT}"
                    ))
            })
    }

    /// Finds the programs of a major version where distributions put them, or where `./setup` does.
    ///
    /// # Errors
    /// [`Code::ThrowawayFailed`] with the way to get them.
    pub fn of_major(major: u32) -> Result<Self> {
        let fetched = caches().into_iter().flat_map(|cache| cached(&cache));
        let folders = installed(Path::new("/")).into_iter().chain(fetched);
        let found = folders.filter_map(|folder| Self::complete(&folder));
        let is_wanted = |found: &Self| found.version().is_ok_and(|version| version.major == major);
        found.into_iter().find(is_wanted).ok_or_else(|| {
            Error::new(Code::ThrowawayFailed, "the server programs of this version are not found")
                .at(format!("PostgreSQL {major}"))
                .remedy(format!(
                    "in a clone of regraft, run ./setup {major}, which fetches them on Debian and \
                     Ubuntu; or install them"
                ))
        })
    }

    fn named(folder: &Path, by: &str) -> Result<Self> {
        if let Some(major) = folder.to_str().and_then(|text| text.parse().ok()) {
            return Self::of_major(major);
        }
        Self::complete(folder).ok_or_else(|| {
            Error::new(
                Code::ThrowawayFailed,
                "the folder does not hold PostgreSQL's server programs",
            )
            .at(format!("{by} {}", folder.display()))
            .remedy("name the folder that holds initdb, pg_ctl and postgres, or a version like 17")
        })
    }

    fn complete(folder: &Path) -> Option<Self> {
        let whole = |folder: &Path| PROGRAMS.iter().all(|name| folder.join(name).is_file());
        // Distributions link programs (or some of them) into the PATH; the originals stand together,
        // beside the libraries of the same version. This also makes a relative entry absolute.
        let original = folder.join("initdb").canonicalize().ok()?;
        let beside = original.parent().filter(|folder| whole(folder)).map(Path::to_path_buf);
        let folder = match beside {
            Some(beside) => beside,
            None => folder.canonicalize().ok().filter(|folder| whole(folder))?,
        };
        Some(Self { folder })
    }

    /// The folder of the programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one program, such as `pg_ctl`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The version that `postgres --version` reports.
    ///
    /// # Errors
    /// [`Code::ThrowawayFailed`] if the program does not run or says something else.
    pub fn version(&self) -> Result<Version> {
        let program = self.program("postgres");
        let failed = |what: &str| {
            Error::new(Code::ThrowawayFailed, what).at(format!("{} --version", program.display()))
        };
        let output = Command::new(&program)
            .arg("--version")
            .output()
            .map_err(|error| failed("the program does not run").because(error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        parse_version(&text).ok_or_else(|| failed("the program does not print a version"))
    }
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` and `postgres (PostgreSQL) 18beta1`.
fn parse_version(text: &str) -> Option<Version> {
    let number = text.split("(PostgreSQL)").nth(1)?.split_whitespace().next()?;
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text.get(..end)?.parse::<u32>().ok()
    };
    let mut parts = number.split('.');
    let major = parts.next().and_then(digits)?;
    let minor = parts.next().and_then(digits).unwrap_or(0);
    Some(Version { major, minor })
}

/// Folders below `root` where distributions install the server, the newest version first.
fn installed(root: &Path) -> Vec<PathBuf> {
    let mut versioned = Vec::new();
    for (parent, prefix) in [
        ("usr/lib/postgresql", ""),
        ("usr", "pgsql-"),
        ("opt/homebrew/opt", "postgresql@"),
        ("usr/local/opt", "postgresql@"),
    ] {
        let Ok(entries) = std::fs::read_dir(root.join(parent)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix));
            let Some(version) = version.and_then(|text| text.parse::<f64>().ok()) else { continue };
            versioned.push((version, entry.path().join("bin")));
        }
    }
    versioned.sort_by(|a, b| b.0.total_cmp(&a.0));
    let unversioned = ["usr/local/pgsql/bin", "opt/homebrew/bin", "usr/local/bin"];
    versioned
        .into_iter()
        .map(|(_, folder)| folder)
        .chain(unversioned.iter().map(|folder| root.join(folder)))
        .collect()
}

/// Folders that `./setup` fetches servers into: that of the user, and that of root.
fn caches() -> Vec<PathBuf> {
    let user = env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = user.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    user.into_iter()
        .chain([PathBuf::from("/var/cache")])
        .map(|parent| parent.join("regraft"))
        .collect()
}

/// Folders of programs in a cache, such as `postgresql-18.6.0/bin`, the newest version first.
fn cached(cache: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache).into_iter().flatten().flatten();
    let mut found: Vec<(Vec<u32>, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix("postgresql-")?;
            let version =
                version.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by(|a, b| b.0.cmp(&a.0));
    found.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_betas_and_distributions_are_read() {
        let read = |text| parse_version(text).map(|version| (version.major, version.minor));
        assert_eq!(read("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some((15, 18)));
        assert_eq!(read("postgres (PostgreSQL) 18beta1\n"), Some((18, 0)));
        assert_eq!(read("mysqld 8.0"), None);
    }

    #[test]
    fn the_newest_installed_version_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for folder in
            ["usr/lib/postgresql/9.6/bin", "usr/lib/postgresql/15/bin", "usr/pgsql-17/bin"]
        {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let found = installed(root.path());
        let shown: Vec<_> = found
            .iter()
            .take(3)
            .map(|path| path.strip_prefix(root.path()).unwrap().to_str().unwrap())
            .collect();
        let want = ["usr/pgsql-17/bin", "usr/lib/postgresql/15/bin", "usr/lib/postgresql/9.6/bin"];
        assert_eq!(shown, want);
    }

    #[test]
    fn the_newest_fetched_version_comes_first() {
        let cache = tempfile::tempdir().unwrap();
        for folder in ["postgresql-18.6.0", "postgresql-18.10.0", "postgresql-17.11.0", ".fetch.x"]
        {
            std::fs::create_dir_all(cache.path().join(folder).join("bin")).unwrap();
        }
        let found = cached(cache.path());
        let shown: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(cache.path()).unwrap().to_str().unwrap())
            .collect();
        let want = ["postgresql-18.10.0/bin", "postgresql-18.6.0/bin", "postgresql-17.11.0/bin"];
        assert_eq!(shown, want);
    }

    #[test]
    fn a_version_that_is_nowhere_is_refused_with_a_remedy() {
        let error = Binaries::find(Some(Path::new("9"))).unwrap_err();
        assert_eq!(error.code(), Code::ThrowawayFailed);
        assert!(error.remedy_text().unwrap().contains("./setup 9"), "{error}");
    }

    #[test]
    fn links_in_the_path_lead_to_the_folder_of_the_originals() {
        let root = tempfile::tempdir().unwrap();
        let (original, links) = (root.path().join("original"), root.path().join("links"));
        std::fs::create_dir_all(&original).unwrap();
        std::fs::create_dir_all(&links).unwrap();
        for name in PROGRAMS {
            std::fs::write(original.join(name), "").unwrap();
        }
        assert_eq!(Binaries::complete(&links), None);
        std::os::unix::fs::symlink(original.join("initdb"), links.join("initdb")).unwrap();
        let found = Binaries::complete(&links).unwrap();
        assert_eq!(found.folder(), original.canonicalize().unwrap());
    }

    #[test]
    fn a_named_folder_without_the_programs_is_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = Binaries::find(Some(folder.path())).unwrap_err();
        assert_eq!(error.code(), Code::ThrowawayFailed);
        assert!(error.remedy_text().unwrap().contains("initdb"));
    }
}
