//! Tests a mapper for what regraft relies on, see [`regraft_core::mapper`]: generated row images, without
//! a server. To be used as a dev-dependency of whatever has a mapper:
//!
//! ```
//! # use regraft_conformance::doc::Lengths;
//! use regraft_conformance::{Suite, relation};
//! use regraft_core::oid;
//!
//! let table = relation("notes", &[("id", oid::INT8), ("note", oid::TEXT)], &["id"]);
//! Suite::new(Lengths::default(), table).assert();
//! ```
//!
//! The suite is the same in each run: it shows that a rule is broken, never that none is. Give it values
//! that matter for the mapper by [`Suite::values`], and more [`Suite::cases`] now and then.

pub mod connectors;
#[doc(hidden)]
pub mod doc;
mod image;
mod outcome;
mod rules;
mod value;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use proptest::strategy::{BoxedStrategy, Strategy};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use regraft_core::{Column, Mapper, Oid, Relation, ReplicaIdentity, TableName};

pub use rules::Rule;
pub use value::{is_well_formed, well_formed};

/// Cases of each rule, unless told otherwise.
const CASES: u32 = 256;

/// A mapper, a table that it fits, and how its rows are made up.
pub struct Suite<M> {
    mapper: M,
    relation: Relation,
    values: BTreeMap<String, BoxedStrategy<Vec<u8>>>,
    cases: u32,
    asks_the_server: bool,
}

/// A rule that the mapper breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// How, with the smallest row image that was found to show it.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}): {}", self.rule, self.rule.says(), self.what)
    }
}

/// A table of this name with columns of these types; `key` are those of its replica identity.
pub fn relation(table: &str, columns: &[(&str, Oid)], key: &[&str]) -> Relation {
    let column = |(name, type_oid): &(&str, Oid)| Column {
        name: (*name).to_owned(),
        type_oid: *type_oid,
        type_modifier: -1,
        key: key.contains(name),
    };
    Relation {
        oid: 16384,
        table: TableName::new("public", table),
        identity: ReplicaIdentity::Default,
        columns: columns.iter().map(column).collect(),
    }
}

impl<M: Mapper + Clone> Suite<M> {
    /// A suite for a mapper and a table that it fits. The suite binds clones of it.
    pub fn new(mapper: M, relation: Relation) -> Self {
        let values = BTreeMap::new();
        Self { mapper, relation, values, cases: CASES, asks_the_server: false }
    }

    /// Values of a column, in binary send format and valid for its type, beside those of
    /// [`well_formed`]. Needed for types that it does not know, and for values with a structure that
    /// nobody would guess.
    #[must_use]
    pub fn values(
        mut self,
        column: &str,
        values: impl Strategy<Value = Vec<u8>> + 'static,
    ) -> Self {
        self.values.insert(column.to_owned(), values.boxed());
        self
    }

    /// How many cases each rule is tried with.
    #[must_use]
    pub fn cases(mut self, cases: u32) -> Self {
        self.cases = cases;
        self
    }

    /// PostgreSQL can evaluate what the mapper leaves: it may answer `Read` for whole images. This is
    /// for the mappers of a SELECT; nobody can do that for a mapper of a program.
    #[must_use]
    pub fn asks_the_server(mut self) -> Self {
        self.asks_the_server = true;
        self
    }

    /// Tries every rule.
    ///
    /// # Errors
    /// At most one violation of each rule.
    pub fn check(&self) -> Result<(), Vec<Violation>> {
        let broken = |rule, what: String| Violation { rule, what };
        if let Err(what) = rules::declaration(&self.mapper, &self.relation) {
            return Err(vec![broken(Rule::Declared, what)]);
        }
        let mut violations: Vec<_> = rules::bind(&self.mapper, &self.relation)
            .err()
            .map(|what| broken(Rule::Bound, what))
            .into_iter()
            .collect();
        let subject = match rules::Subject::new(self) {
            Ok(subject) => subject,
            Err(what) => {
                violations.push(broken(Rule::Bound, what));
                return Err(violations);
            }
        };
        let cases = image::cases(&self.relation, &self.values);
        let mut rules = rules::ROW_BY_ROW.to_vec();
        // One pass for all rules, and another for the rest of them after each that is broken.
        while let Err((broken_rule, what)) = self.pass(&subject, &cases, &rules) {
            rules.retain(|(rule, _)| *rule != broken_rule);
            violations.push(broken(broken_rule, what));
        }
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }

    /// Tries rules on all cases. The first that fails is the one whose case is made smaller.
    fn pass(
        &self,
        subject: &rules::Subject<'_>,
        cases: &impl Strategy<Value = image::Case>,
        rules: &[(Rule, rules::Holds)],
    ) -> Result<(), (Rule, String)> {
        let failed = Cell::new(None);
        let config = Config { cases: self.cases, failure_persistence: None, ..Config::default() };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let outcome = TestRunner::new_with_rng(config, rng).run(cases, |case| {
            for (rule, holds) in rules {
                if failed.get().is_none_or(|failed| failed == *rule) {
                    holds(subject, &case).map_err(|what| {
                        failed.set(Some(*rule));
                        TestCaseError::fail(what)
                    })?;
                }
            }
            Ok(())
        });
        let rule = failed.get().unwrap_or(Rule::Panics);
        outcome.map_err(|error| match error {
            TestError::Fail(reason, case) => {
                (rule, format!("{reason}\n  for {}", subject.describe(&case)))
            }
            TestError::Abort(reason) => (rule, format!("no cases can be made up: {reason}")),
        })
    }

    /// [`Suite::check`] as an assertion.
    ///
    /// # Panics
    /// With all violations.
    pub fn assert(&self) {
        if let Err(violations) = self.check() {
            let list: Vec<_> = violations.iter().map(ToString::to_string).collect();
            panic!("the mapper breaks {} rules:\n{}", list.len(), list.join("\n"));
        }
    }
}
