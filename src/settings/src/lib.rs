//! `regraft.toml`: what an operator writes, with every fault found at once and placed.
//!
//! [`Settings::load`] reads the file, [`model`] documents its keys (the same comments are the
//! descriptions of the JSON Schema), [`Secret`] keeps passwords out of logs.
//!
//! Reading takes three steps: the text becomes a tree with places (`tree`), the tree becomes the
//! tables of [`model`], and those become [`Settings`], in which nothing is optional that has a
//! default and every path is resolved.

pub mod model;
mod secret;
mod tree;
mod units;
mod validate;

use std::path::{Path, PathBuf};

use regraft_core::{Code, Error, Result};

pub use model::{
    Backfill, Deadlines, Drift, ForeignKeys, HeldOnDrift, Http, Limits, Log, LogFormat, LogLevel,
    OnDrift, Repair, Verify, json_schema,
};
pub use secret::{Secret, UrlSource};
pub use units::{format_bytes, format_duration, parse_bytes, parse_duration};

use model::{SettingsFile, TargetFile, UrlKeys};
use tree::{Fault, Tree};

/// Name of the configuration file when none is given.
pub const DEFAULT_FILE: &str = "regraft.toml";

/// Slots and publications that regraft makes are called this, followed by the pipeline's name.
pub const OBJECT_PREFIX: &str = "regraft_";

/// By this name the command line calls `[target]`, where there are several.
pub const PLAIN_TARGET: &str = "target";

/// Everything that a pipeline needs to know, complete and checked.
///
/// Where there are several targets, each has a pipeline of its own; [`Settings::legs`] has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the ledger and the sessions call the pipeline: its name, 1 to 40 characters of `a-z`, `0-9` and
    /// `_`, the first one a letter; with a dot and the name of the target, where that has one.
    pub name: String,
    /// The database that is moved.
    pub source: Source,
    /// The database that it is moved to; it also holds the ledger.
    pub target: Target,
    /// All databases that it is moved to, `target` among them.
    pub targets: Vec<Target>,
    /// The statements.
    pub mapping: Mapping,
    /// The HTTP server of the daemon.
    pub http: Http,
    /// How existing rows are copied.
    pub backfill: Backfill,
    /// How the target is compared with the source.
    pub verify: Verify,
    /// Memory and batches.
    pub limits: Limits,
    /// How long a server is waited for.
    pub deadlines: Deadlines,
    /// What happens when something changes that the mapping stands on.
    pub drift: Drift,
    /// Log lines.
    pub log: Log,
}

/// The database that is moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Connection string.
    pub url: UrlSource,
    /// Name of the replication slot.
    pub slot: String,
    /// Name of the publication.
    pub publication: String,
}

/// The database that the source is moved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `NAME` of `[targets.NAME]`; `None` for `[target]`.
    pub name: Option<String>,
    /// Connection string.
    pub url: UrlSource,
    /// Whether foreign keys are checked for each row.
    pub foreign_keys: ForeignKeys,
    /// Sessions that write batches side by side.
    pub sessions: usize,
    /// Once another target is so many bytes of log ahead of this one, the source keeps it no longer for it.
    pub keep_log: Option<usize>,
}

/// The statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The file; a relative path is resolved against the folder of the configuration.
    pub file: PathBuf,
}

impl Settings {
    /// Reads a configuration file. `${VAR}` takes the environment of this process.
    ///
    /// # Errors
    /// All faults that can be found in one go, in the order of the file: [`Code::FileUnreadable`]
    /// for the file itself, for `url_file` and for `mapping.file`; [`Code::ConfigInvalid`] for the
    /// rest.
    pub fn load(path: &Path) -> Result<Self, Vec<Error>> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![
                Error::new(Code::FileUnreadable, "the configuration cannot be read")
                    .at(&name)
                    .because(error)
                    .remedy("name the file with -c; the least that it holds is in docs/guide.md"),
            ]
        })?;
        let settings = Self::from_toml(&text, &name, &|name| std::env::var(name).ok())?;
        let unreadable = settings.unreadable_files();
        if unreadable.is_empty() { Ok(settings) } else { Err(unreadable) }
    }

    /// Reads a configuration from text. Relative paths are resolved against the folder in
    /// `file_name`, which also names the file in errors; no file is opened.
    ///
    /// # Errors
    /// As [`Settings::load`], without those about other files.
    pub fn from_toml(
        text: &str,
        file_name: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Error>> {
        let folder = Path::new(file_name).parent().unwrap_or(Path::new(""));
        let mut tree = Tree::parse(text, file_name)?;
        tree.substitute(env);
        let Some(file) = tree.read() else { return Err(tree.into_errors()) };
        let settings = Self::resolve(file, folder, &mut tree);
        for fault in settings.faults() {
            tree.add(fault);
        }
        if tree.is_valid() { Ok(settings) } else { Err(tree.into_errors()) }
    }

    /// Checks ranges and names; for settings that were not read from a file.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] for every fault, its place is the key.
    pub fn validate(&self) -> Result<(), Vec<Error>> {
        let faults = self.faults();
        if faults.is_empty() {
            return Ok(());
        }
        Err(faults.into_iter().map(Fault::into_error_at_key).collect())
    }

    /// The mapping that a configuration names, whatever else is wrong with it.
    pub fn mapping_file(path: &Path) -> Option<PathBuf> {
        let text = std::fs::read_to_string(path).ok()?;
        let table: toml::Table = text.parse().ok()?;
        let file = table.get("mapping")?.get("file")?.as_str()?;
        Some(path.parent().unwrap_or(Path::new("")).join(file))
    }

    /// The text of the mapping.
    ///
    /// # Errors
    /// [`Code::FileUnreadable`].
    pub fn read_mapping(&self) -> Result<String> {
        let file = &self.mapping.file;
        std::fs::read_to_string(file).map_err(|error| {
            Error::new(Code::FileUnreadable, "the mapping cannot be read")
                .at(file.display().to_string())
                .because(error)
                .remedy("write the INSERT … SELECT statements there, or correct mapping.file")
        })
    }

    /// Whether regraft makes objects of this name for the pipeline: its slot, its publication.
    pub fn makes(&self, object: &str) -> bool {
        object.strip_prefix(OBJECT_PREFIX) == Some(self.pipeline())
    }

    /// The name in the file, which all targets share.
    pub fn pipeline(&self) -> &str {
        self.name.split_once('.').map_or(&self.name, |(pipeline, _)| pipeline)
    }

    /// There is more than one target: they share the slot and the publication.
    pub fn is_shared(&self) -> bool {
        self.targets.len() > 1
    }

    /// The pipeline of each target. What the process may use is divided among them.
    pub fn legs(&self) -> Vec<Settings> {
        let leg = |target: &Target| {
            let name = match &target.name {
                Some(name) => format!("{}.{name}", self.pipeline()),
                None => self.pipeline().to_owned(),
            };
            let mut leg = Settings { name, target: target.clone(), ..self.clone() };
            leg.limits.memory /= self.targets.len();
            leg
        };
        self.targets.iter().map(leg).collect()
    }

    fn unreadable_files(&self) -> Vec<Error> {
        let targets = self.targets.iter().map(|target| &target.url);
        let urls = [&self.source.url].into_iter().chain(targets);
        urls.filter_map(|url| url.read().err()).chain(self.read_mapping().err()).collect()
    }

    /// Fills in what has a default. What is missing gets a stand-in, so that the rest can still be
    /// checked: the fault is in the tree, and settings with faults are not handed out.
    fn resolve(file: SettingsFile, folder: &Path, tree: &mut Tree<'_>) -> Self {
        let name = tree.required("name", file.name).unwrap_or_else(|| "missing".to_owned());
        let source = file.source.unwrap_or_default();
        // A file without any is told that it lacks the plain one.
        let plain = file.target.or_else(|| file.targets.is_empty().then(TargetFile::default));
        let named = file.targets.into_iter().map(|(name, target)| (Some(name), target));
        let targets = plain.map(|target| (None, target)).into_iter().chain(named);
        let targets: Vec<_> = targets.map(|named| Target::of(named, folder, tree)).collect();
        let mapping = tree.required("mapping.file", file.mapping.unwrap_or_default().file);
        let object = format!("{OBJECT_PREFIX}{name}");
        Self {
            name,
            source: Source {
                url: url_source("source", source.urls(), folder, tree),
                slot: source.slot.unwrap_or_else(|| object.clone()),
                publication: source.publication.unwrap_or(object),
            },
            target: targets[0].clone(),
            targets,
            mapping: Mapping { file: folder.join(mapping.unwrap_or_default()) },
            http: file.http,
            backfill: file.backfill,
            verify: file.verify,
            limits: file.limits,
            deadlines: file.deadlines,
            drift: file.drift,
            log: file.log,
        }
    }
}

impl Target {
    fn of((name, file): (Option<String>, TargetFile), folder: &Path, tree: &mut Tree<'_>) -> Self {
        let mut target = Target {
            name,
            foreign_keys: file.foreign_keys,
            sessions: file.sessions.unwrap_or(model::DEFAULT_SESSIONS),
            keep_log: file.keep_log,
            url: UrlSource::File(PathBuf::new()),
        };
        target.url = url_source(&target.table(), file.urls(), folder, tree);
        target
    }

    /// Its table in the file: `target`, `targets.replica`.
    pub fn table(&self) -> String {
        self.name.as_ref().map_or_else(|| PLAIN_TARGET.to_owned(), |name| format!("targets.{name}"))
    }

    /// As the command line calls it.
    pub fn called(&self) -> &str {
        self.name.as_deref().unwrap_or(PLAIN_TARGET)
    }
}

/// Exactly one of `url` and `url_file`; a stand-in where that is not so.
fn url_source(table: &str, keys: UrlKeys, folder: &Path, tree: &mut Tree<'_>) -> UrlSource {
    let (url, url_file) = (format!("{table}.url"), format!("{table}.url_file"));
    match keys {
        (Some(text), None) => return UrlSource::Inline(Secret::new(text)),
        (None, Some(file)) => return UrlSource::File(folder.join(file)),
        (Some(_), Some(_)) => {
            let what = format!("{url} and {url_file} are both given");
            tree.add(Fault::new(&url_file, what).remedy("keep one of them"));
        }
        (None, None) if tree.was_given(&url) || tree.was_given(&url_file) => {}
        (None, None) => {
            let remedy = format!(
                "add url = \"postgres://user@host:5432/database\", or url_file, to [{table}]"
            );
            tree.add(Fault::new(&url, format!("{url} is missing")).remedy(remedy));
        }
    }
    UrlSource::File(PathBuf::new())
}

#[cfg(test)]
mod tests;
