//! Tables whose rows have no key: what of their statements does not fit together, and what to know of their
//! targets.

use regraft_core::sql::quote;
use regraft_core::{Code, Error, Keyless};
use regraft_postgres::catalog::Table;
use regraft_postgres::slot::of_appended;
use regraft_settings::Settings;

use super::Compiled;
use super::names::Elsewhere;
use crate::finding::Finding;

/// A table is followed in one way, whatever statements read it.
pub(super) fn judge(
    settings: &Settings,
    compiled: &[Compiled],
    elsewhere: &[Elsewhere],
    findings: &mut Vec<Finding>,
) {
    let appended = |one: &Compiled| one.statement.keyless() == Some(Keyless::Appended);
    if compiled.iter().any(appended) {
        let named = of_appended(&settings.source.publication);
        findings.extend(named.err().iter().map(Finding::from));
    }
    for (at, one) in compiled.iter().enumerate() {
        let same = |other: &&Compiled| other.source.oid == one.source.oid;
        let Some(first) = compiled[..at].iter().find(same) else { continue };
        if first.statement.keyless() != one.statement.keyless() {
            let what = format!(
                "{} is followed in one way here, and in another one by the statement at {}",
                one.source.name,
                first.statement.place()
            );
            let error = Error::new(Code::MappingInvalid, what).at(one.statement.place());
            findings.push(Finding::from(&error.remedy("write the same comment above both")));
        }
    }
    for one in compiled {
        // What one target needs of a table is published for all of them.
        let keyless = one.statement.keyless();
        let other = elsewhere.iter().find(|read| {
            let appended = [read.keyless, keyless].contains(&Some(Keyless::Appended));
            read.table == one.source.name && appended && read.keyless != keyless
        });
        if let Some(other) = other {
            let what = format!(
                "{} is followed in one way here, and in another one for another target by the statement at {}",
                one.source.name, other.place
            );
            let error = Error::new(Code::MappingInvalid, what).at(one.statement.place());
            findings.push(Finding::from(&error.remedy("write the same comment above both")));
        }
        // Its changes would be published for the sake of the trace, and keep the application from writing.
        for trace in one.evaluation.traces() {
            let of = |other: &&Compiled| other.source.oid == trace.from.oid && appended(other);
            let Some(other) = compiled.iter().find(of) else { continue };
            let what = format!(
                "{} is {} for the statement at {}, and all changes of it matter to this one",
                trace.from.name,
                Keyless::Appended.as_str(),
                other.statement.place()
            );
            let error = Error::new(Code::MappingInvalid, what).at(one.statement.place());
            findings.push(Finding::from(&error.remedy("write -- regraft: counted above that one")));
        }
    }
}

/// What is to be known of the target of a statement.
pub(super) fn advise(
    compiled: &Compiled,
    names: &[String],
    table: &Table,
    keyless: Keyless,
) -> Vec<Finding> {
    let (source, place) = (&compiled.source.name, compiled.statement.place());
    let mut found = Vec::new();
    if let Some(key) = compiled.source.stream_key() {
        found.push(Finding::warning(
            format!("{source} has a key ({}), and is called {}", key.join(", "), keyless.as_str()),
            &place,
            "without that comment every change is followed by the key, which costs less; the rows are copied anew then",
        ));
    }
    let filled = |columns: &Vec<String>| columns.iter().all(|name| names.contains(name));
    let unique = table.unique.iter().filter(|index| !index.partial);
    if let Some(columns) = unique.filter_map(|index| index.plain()).find(filled) {
        found.push(Finding::warning(
            format!("rows of {source} may be equal, and ({}) is unique in {}", columns.join(", "), table.name),
            &place,
            "the pipeline is held at the second one: drop the constraint, or give the target a key of its own that \
             the statement does not fill (GENERATED ALWAYS AS IDENTITY)",
        ));
    }
    if keyless == Keyless::Appended {
        found.push(Finding::warning(
            format!("of {source} new rows are followed, and TRUNCATE; UPDATE and DELETE are not"),
            &place,
            "rows that the source changes or removes stay as they were in the target, and verification counts them \
             as differences",
        ));
        return found;
    }
    let indexed = |index: &Vec<String>| index.first().is_some_and(|name| names.contains(name));
    if !table.indexes.iter().any(indexed) {
        found.push(Finding::warning(
            format!("no index of {} starts with a column of the statement", table.name),
            &place,
            format!(
                "a row that goes is looked for in the whole table: CREATE INDEX ON {} ({}), with the column that has \
                 the most values first",
                table.name.quoted(),
                names.first().map_or(String::new(), |name| quote(name)),
            ),
        ));
    }
    found
}
