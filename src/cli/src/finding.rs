//! What a check found: what, where, and what to do.

use std::fmt;

use regraft_core::text::visible;
use regraft_core::{Code, Error};
use serde::Serialize;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// It runs, and something deserves a look.
    Warning,
    /// Good to know.
    Info,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// Stable code, see `docs/errors/`.
    #[serde(serialize_with = "code_text")]
    pub code: Code,
    /// What was found.
    pub what: String,
    /// File, line and column; a table; a server.
    #[serde(rename = "where")]
    pub place: String,
    /// What to do next.
    pub remedy: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn code_text<S: serde::Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

impl Finding {
    /// A finding that does not keep the pipeline from running.
    pub fn warning(what: impl AsRef<str>, place: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self {
            severity: Severity::Warning,
            code: Code::Advice,
            what: visible(what.as_ref()).into_owned(),
            place: visible(place.as_ref()).into_owned(),
            remedy: visible(remedy.as_ref()).into_owned(),
        }
    }
}

impl From<&Error> for Finding {
    fn from(error: &Error) -> Self {
        let remedy = error
            .remedy_text()
            .map_or_else(|| format!("see docs/errors/{}.md", error.code()), str::to_owned);
        Self {
            severity: Severity::Error,
            code: error.code(),
            what: error.what().to_owned(),
            place: error.place().unwrap_or("regraft").to_owned(),
            remedy,
        }
    }
}

/// In two lines; the alternate form `{:#}` is one line, for logs.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        let Self { code, what, place, remedy, .. } = self;
        let between = if f.alternate() { "; " } else { "\n  " };
        write!(f, "{severity}[{code}] {place}: {what}{between}to do: {remedy}")
    }
}
