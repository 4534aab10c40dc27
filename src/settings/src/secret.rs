//! Connection strings, which hold passwords.

use std::fmt;
use std::path::{Path, PathBuf};

use regraft_core::{Code, Error, Result};

/// Text that is never printed. There is no `Serialize` and no `Deref`, so that the one way to the
/// text is [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. It belongs in a connection attempt, and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Where a connection string comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlSource {
    /// It stands in the configuration, perhaps by way of `${VAR}`.
    Inline(Secret),
    /// It is the content of this file.
    File(PathBuf),
}

impl UrlSource {
    /// The connection string. A file is read again each time, so that a password can be changed
    /// while the daemon runs: call this for every connection attempt.
    ///
    /// # Errors
    /// [`Code::FileUnreadable`] when the file cannot be read, [`Code::ConfigInvalid`] when it does not
    /// hold a `postgres://` URL.
    pub fn read(&self) -> Result<Secret> {
        match self {
            UrlSource::Inline(secret) => Ok(secret.clone()),
            UrlSource::File(path) => {
                let place = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Error::new(
                        Code::FileUnreadable,
                        "the file of the connection URL cannot be read",
                    )
                    .at(&place)
                    .because(error)
                    .remedy("correct url_file, or make the file readable for regraft's user")
                })?;
                // Editors and `echo` end the file with a newline, which no URL has.
                let text = text.trim_end_matches(['\r', '\n']);
                if !is_postgres_url(text) {
                    return Err(Error::new(
                        Code::ConfigInvalid,
                        "the file does not hold a postgres:// URL",
                    )
                    .at(place)
                    .remedy("write postgres://user:password@host:5432/database there, alone"));
                }
                Ok(Secret::new(text))
            }
        }
    }
}

impl UrlSource {
    /// The file, if others than its owner and group may read it.
    pub fn readable_by_all(&self) -> Option<&Path> {
        use std::os::unix::fs::PermissionsExt;
        let UrlSource::File(path) = self else { return None };
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        (mode & 0o004 != 0).then_some(path)
    }
}

/// Only the scheme is looked at: the rest is for the client library, which knows more forms (several
/// hosts, sockets) than a general URL parser.
pub(crate) fn is_postgres_url(text: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
        && !text.contains(['\r', '\n'])
}
