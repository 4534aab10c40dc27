//! What a case says of how it is evaluated. That both sides are equal in the end does not tell: a statement
//! that the compiler does not know any more is read by key, and its rows are right all the same.

use std::fmt;
use std::path::Path;

use regraft_mapping::parse_each;
use regraft_tests::{DEADLINE, Site};
use serde::Deserialize;
use serde_json::Value;

/// Rows of each source table that are evaluated both ways; the tables of the cases have fewer.
const SAMPLE: &str = "1000";

/// `expect.toml` of a case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// Of each statement, in the order of the mapping.
    statements: Vec<How>,
    /// Steps of the load stand between chunks.
    #[serde(default)]
    pub(crate) overlap: bool,
    /// Rows of the start are left to the source, although their statement is streamed.
    #[serde(default)]
    leaves: bool,
}

/// How a statement is evaluated, in the words of `regraft check`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    Streamed,
    Read,
    /// With this code.
    Refused(String),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streamed => f.write_str("streamed"),
            Self::Read => f.write_str("read"),
            Self::Refused(code) => write!(f, "refused with {code}"),
        }
    }
}

impl Expect {
    /// That of a case, if it has one.
    pub(crate) fn read(name: &str, folder: &Path) -> Option<Expect> {
        let text = std::fs::read_to_string(folder.join("expect.toml")).ok()?;
        Some(toml::from_str(&text).unwrap_or_else(|error| panic!("{name}/expect.toml: {error}")))
    }

    /// Compares it with what `regraft check` says before the first start.
    pub(crate) async fn assert_checked(&self, name: &str, site: &Site) {
        let finished =
            site.installation.command(&["check", "--sample", SAMPLE, "--json"], DEADLINE).await;
        let faults = self.faults(&finished.json(), &site.mapping).join("\n");
        assert!(faults.is_empty(), "{name}: not evaluated as its expect.toml says\n{faults}");
        assert_eq!(finished.code(), i32::from(self.refuses()), "{name}: {}", finished.stdout);
    }

    /// True when a statement is refused: there is nothing to run.
    pub(crate) fn refuses(&self) -> bool {
        self.statements.iter().any(|how| matches!(how, How::Refused(_)))
    }

    fn faults(&self, report: &Value, mapping: &str) -> Vec<String> {
        let found = found(report);
        let (statements, _) = parse_each("mapping.sql", mapping);
        if (self.statements.len(), found.len()) != (statements.len(), statements.len()) {
            return vec![format!(
                "expect.toml names {} statements, mapping.sql has {}, and check tells of {}",
                self.statements.len(),
                statements.len(),
                found.len()
            )];
        }
        let mut faults = Vec::new();
        for (at, (want, (how, message))) in self.statements.iter().zip(&found).enumerate() {
            if want != how {
                let place = statements[at].place();
                faults.push(format!("{place}: expected {want}, found {how}: {message}"));
            }
        }
        // Statements that are read leave all of their rows.
        let streamed = found.iter().all(|(how, _)| *how == How::Streamed);
        if let Some(left) = report["sample"]["left"].as_u64().filter(|_| streamed)
            && (left > 0) != self.leaves
        {
            let want = if self.leaves { "some" } else { "no" };
            faults.push(format!(
                "mapping.sql: expected {want} rows to be left to the source, found {left} of those in \
                 source.sql"
            ));
        }
        faults
    }
}

/// How each statement is evaluated, and what is said of it.
fn found(report: &Value) -> Vec<(How, String)> {
    let statements = report["statements"].as_array().unwrap();
    let of = |statement: &Value| {
        let message = statement["message"].as_str().unwrap().to_owned();
        let how = match statement["mode"].as_str().unwrap() {
            "streamed" => How::Streamed,
            "read" => How::Read,
            "refused" => return refused(report, message),
            other => panic!("check tells of a mode that the cases do not know: {other}"),
        };
        (how, message)
    };
    statements.iter().map(of).collect()
}

/// The code and the place of a refusal are told by the finding with its message.
fn refused(report: &Value, message: String) -> (How, String) {
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["what"] == message.as_str()).unwrap();
    let (code, place) = (finding["code"].as_str().unwrap(), finding["where"].as_str().unwrap());
    (How::Refused(code.to_owned()), format!("{place}: {message}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_it_does_not_know_is_an_error() {
        let read = |text: &str| toml::from_str::<Expect>(text).map_err(|error| error.to_string());
        assert!(read("statements = [\"read\"]\noverlap = true").unwrap().overlap);
        assert!(read("statements = []\noverlaps = true").unwrap_err().contains("`overlaps`"));
        assert!(read("statements = [\"stream\"]").unwrap_err().contains("`stream`"));
    }

    #[test]
    fn a_fault_names_the_statement_what_was_expected_and_what_was_found() {
        let expect: Expect =
            toml::from_str("statements = [\"streamed\", { refused = \"RG3002\" }, \"read\"]")
                .unwrap();
        let report = json!({
            "statements": [
                { "mode": "streamed", "message": "one row for each source row" },
                { "mode": "refused", "message": "no such table" },
                { "mode": "streamed", "message": "one row for each source row" },
            ],
            "findings": [{ "code": "RG3004", "what": "no such table", "where": "mapping.sql:2:13" }],
        });
        let mapping = "INSERT INTO a SELECT id FROM s;\nINSERT INTO b SELECT id FROM s;\n  INSERT INTO c SELECT id FROM s;";
        let want = [
            "mapping.sql:2:1: expected refused with RG3002, found refused with RG3004: \
             mapping.sql:2:13: no such table",
            "mapping.sql:3:3: expected read, found streamed: one row for each source row",
        ];
        assert_eq!(expect.faults(&report, mapping), want);
        let fewer = "INSERT INTO a SELECT id FROM s;";
        let want = ["expect.toml names 3 statements, mapping.sql has 1, and check tells of 3"];
        assert_eq!(expect.faults(&report, fewer), want);
    }
}
