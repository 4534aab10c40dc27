//! What a run of the list found, as a table.

use std::fmt;

use super::{Mutant, Trial};

/// A mutant, and what became of its test without and with it.
pub struct Caught {
    /// The mutant.
    pub mutant: Mutant,
    /// Of the test as it is.
    pub before: Trial,
    /// Of the test with the bug.
    pub after: Trial,
}

impl Caught {
    /// True when the test passes without the bug, and fails with it.
    pub fn is_caught(&self) -> bool {
        (&self.before, &self.after) == (&Trial::Passed, &Trial::Failed)
    }

    /// In a word, or some more.
    pub fn verdict(&self) -> String {
        match (&self.before, &self.after) {
            (Trial::Passed, Trial::Failed) => "caught".to_owned(),
            (Trial::Passed, Trial::Passed) => "SURVIVES".to_owned(),
            (Trial::Passed, Trial::Unclear(why)) => format!("UNCLEAR: {}", first_line(why)),
            (Trial::Failed, _) => "UNCLEAR: the test fails without it".to_owned(),
            (Trial::Unclear(why), _) => format!("UNCLEAR: without it: {}", first_line(why)),
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// All that were tried.
#[derive(Default)]
pub struct Report(pub Vec<Caught>);

impl Report {
    /// True when each was caught.
    pub fn is_good(&self) -> bool {
        self.0.iter().all(Caught::is_caught)
    }
}

/// As a table of Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caught = self.0.iter().filter(|caught| caught.is_caught()).count();
        writeln!(f, "{caught} of {} planted bugs are caught by a test:\n", self.0.len())?;
        writeln!(f, "| planted bug | caught by | result |\n|---|---|---|")?;
        for caught in &self.0 {
            let Mutant { name, test, .. } = &caught.mutant;
            writeln!(f, "| {name} | `{test}` | {} |", caught.verdict())?;
        }
        Ok(())
    }
}
