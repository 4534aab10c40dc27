//! Files of rules: SQL, with comment lines that say on which side a query runs.
//!
//! ```sql
//! -- source
//! SELECT count(*) FROM old
//! -- target
//! SELECT count(*) FROM new
//! ```

use std::path::{Path, PathBuf};

use regraft_core::{Code, Error};
use regraft_mapping::outline;

/// A query of a rule, with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// As it is sent.
    pub(super) sql: String,
    /// It has an ORDER BY of its own.
    pub(super) ordered: bool,
    file: String,
    /// Line of the file on which it begins, from 1.
    line: usize,
}

/// What has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Both queries give the same.
    Same(Query, Query),
    /// The query gives no rows: at the source, at the target.
    NoRows(Query, bool, bool),
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// The file as it was named.
    pub(super) file: String,
    pub(super) expected: Expected,
}

impl Query {
    /// `file:line:column` of the `position`-th character, from 1, or of the beginning.
    pub(super) fn place(&self, position: Option<u32>) -> String {
        let before = usize::try_from(position.unwrap_or(1)).unwrap_or(1).saturating_sub(1);
        let (mut line, mut column) = (self.line, 1);
        // Without a position, the first word is meant.
        let skipped = self.sql.chars().take_while(|c| c.is_whitespace()).count();
        for c in self.sql.chars().take(if position.is_some() { before } else { skipped }) {
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        format!("{}:{line}:{column}", self.file)
    }
}

/// Reads files, and the files `*.sql` of folders, by name.
///
/// # Errors
/// All that is wrong with them.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Rule>, Vec<Error>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        let entries = std::fs::read_dir(path).map_err(|error| vec![unreadable(path, error)])?;
        let entries = entries.filter_map(Result::ok).map(|entry| entry.path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "sql")));
        files[before..].sort();
        if files.len() == before {
            let error = Error::new(Code::VerificationRefused, "the folder holds no file *.sql");
            return Err(vec![error.at(path.display().to_string())]);
        }
    }
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error));
        match text.and_then(|text| parse(&path.display().to_string(), &text)) {
            Ok(rule) => rules.push(rule),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(Code::FileUnreadable, format!("a rule cannot be read: {error}"))
        .at(path.display().to_string())
        .remedy("give --rules files of SQL, or folders with them")
}

const MARKS: [&str; 5] = ["source", "target", "none", "none on source", "none on target"];

/// Which mark a line is.
fn mark(line: &str) -> Option<&'static str> {
    let words: Vec<_> = line.trim().strip_prefix("--")?.split_whitespace().collect();
    let text = words.join(" ").to_lowercase();
    MARKS.into_iter().find(|mark| *mark == text)
}

fn parse(file: &str, text: &str) -> Result<Rule, Error> {
    let invalid = |place: String, what: String| {
        Error::new(Code::VerificationRefused, what).at(place).remedy(
            "write two queries, after lines `-- source` and `-- target`, or one after `-- none`, \
             `-- none on source` or `-- none on target`; see docs/verify.md",
        )
    };
    let mut sections: Vec<(&str, usize, Query)> = Vec::new();
    for (at, line) in text.split_inclusive('\n').enumerate() {
        if let Some(mark) = mark(line) {
            let empty =
                Query { sql: String::new(), ordered: false, file: file.to_owned(), line: at + 2 };
            sections.push((mark, at + 1, empty));
        } else if let Some((.., query)) = sections.last_mut() {
            query.sql.push_str(line);
        } else if !line.trim().is_empty() && !line.trim_start().starts_with("--") {
            let what = "SQL before a line that says on which side it runs".to_owned();
            return Err(invalid(format!("{file}:{}:1", at + 1), what));
        }
    }
    for (mark, line, query) in &mut sections {
        let outline = outline(&query.sql);
        if outline.tokens == 0 {
            return Err(invalid(format!("{file}:{line}:1"), format!("no query after `-- {mark}`")));
        }
        if let Some(more) = outline.more {
            let before = query.sql.get(..more).unwrap_or_default().chars().count();
            let position = u32::try_from(before + 1).ok();
            return Err(invalid(query.place(position), "a second statement in a query".to_owned()));
        }
        query.sql.truncate(outline.end);
        query.ordered = outline.ordered;
    }
    let marks: Vec<_> = sections.iter().map(|(mark, ..)| *mark).collect();
    let line = sections.last().map_or(1, |(_, line, _)| *line);
    let place = format!("{file}:{line}:1");
    let mut queries = sections.into_iter().map(|(.., query)| query);
    let expected = match (marks.as_slice(), queries.next(), queries.next()) {
        (["source", "target"], Some(source), Some(target)) => Expected::Same(source, target),
        (["target", "source"], Some(target), Some(source)) => Expected::Same(source, target),
        ([none], Some(query), None) if none.starts_with("none") => {
            Expected::NoRows(query, *none != "none on target", *none != "none on source")
        }
        ([], ..) => return Err(invalid(place, "no line says on which side the query runs".into())),
        _ => {
            let what = format!("a rule of {}", marks.join(", "));
            return Err(invalid(place, what));
        }
    };
    Ok(Rule { file: file.to_owned(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_keeps_its_places() {
        let text = "-- What it is about.\n-- Source\nSELECT 1;\n-- target\n\nSELECT x\nFROM t ORDER BY 1; -- all\n";
        let rule = parse("a.sql", text).unwrap();
        let Expected::Same(source, target) = rule.expected else { panic!("{rule:?}") };
        assert_eq!((source.sql.as_str(), source.ordered), ("SELECT 1", false));
        assert_eq!((target.sql.as_str(), target.ordered), ("\nSELECT x\nFROM t ORDER BY 1", true));
        assert_eq!(
            (source.place(None), source.place(Some(8))),
            ("a.sql:3:1".into(), "a.sql:3:8".into())
        );
        assert_eq!(
            (target.place(None), target.place(Some(9))),
            ("a.sql:6:1".into(), "a.sql:6:8".into())
        );
    }

    #[test]
    fn an_order_within_the_query_is_not_its_own() {
        let text = "-- none on target\nSELECT row_number() OVER (ORDER BY id) FROM (SELECT * FROM t ORDER BY id) AS t";
        let rule = parse("a.sql", text).unwrap();
        let Expected::NoRows(query, source, target) = rule.expected else { panic!("{rule:?}") };
        assert_eq!((query.ordered, source, target), (false, false, true));
    }

    #[test]
    fn what_is_no_rule_is_told_with_its_place() {
        for (text, place) in [
            ("", "a.sql:1:1"),
            ("SELECT 1\n", "a.sql:1:1"),
            ("\n-- source\nSELECT 1\n", "a.sql:2:1"),
            ("-- source\n-- target\nSELECT 1\n", "a.sql:1:1"),
            ("-- none\nSELECT 1;\n SELECT 2", "a.sql:3:2"),
            ("-- none\nSELECT 1\n-- source\nSELECT 1", "a.sql:3:1"),
        ] {
            let error = parse("a.sql", text).unwrap_err();
            assert_eq!(error.place(), Some(place), "{text:?}: {error}");
        }
    }
}
