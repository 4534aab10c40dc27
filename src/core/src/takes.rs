//! What a sink takes, and which statements it cannot have for that reason.

use crate::error::{Code, Error, Result};
use crate::segment::Route;

/// The form in which a sink takes what changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// What came of all changes of a batch, for each source row: for targets that have rows.
    Net,
    /// Each change by itself, in order: for targets that have a history, such as topics.
    Log,
}

/// What a sink takes. A statement that needs more is refused before anything runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub struct Takes {
    /// Which of the two folds the sink is given. A log says for each source row what its rows were and are, so that
    /// of what follows it needs `clearing` and `transactions` only.
    pub form: Form,
    /// New values for some columns of rows that stay as they are otherwise
    /// ([`crate::TableWrites::patches`]). Without it, rows that the stream cannot carry whole are read from the
    /// source.
    pub patches: bool,
    /// Rows are found again by their owner columns, whatever their key ([`crate::TableWrites::replaced`]).
    pub removal_by_owner: bool,
    /// Of several rows that are equal a number is taken away ([`crate::TableWrites::uncounted`]).
    pub counts: bool,
    /// All rows of a statement are removed at once ([`crate::TableWrites::clear`], [`crate::EntryKind::Cleared`]).
    pub clearing: bool,
    /// Rows, position and what is still to be read are committed together. Without it, writing the same again
    /// changes nothing, and the position is written after the rows; whatever change of a row comes first, it is
    /// taken for one of a row that was there before.
    ///
    /// A log without it has each change *at least once*: after a failure entries come again, from some change on all
    /// of them in the same order, and [`crate::Cause`] tells which have been there.
    pub transactions: bool,
}

impl Takes {
    /// Whatever a statement may need, as a net effect.
    pub const EVERYTHING: Takes = Takes {
        form: Form::Net,
        patches: true,
        removal_by_owner: true,
        counts: true,
        clearing: true,
        transactions: true,
    };

    /// That a statement can be written.
    ///
    /// # Errors
    /// [`Code::TargetCannotTake`], with the place of the statement.
    pub fn fits(&self, route: &Route) -> Result<()> {
        let refused = |why: String, remedy: &str| {
            Err(Error::new(Code::TargetCannotTake, why).at(&route.place).remedy(remedy))
        };
        let (source, target) = (&route.source, &route.target);
        if self.form == Form::Log {
            // An entry has the key of its source row and all rows of it: nothing is looked for, whatever they are.
            // Where there is no key, an entry that comes again is another row; and a copy begins with nothing.
            let lacks = match (self.transactions, self.clearing) {
                (false, _) => {
                    "may have a row of it twice after a failure, which nothing tells from another one"
                }
                (_, false) => "cannot be cleared, with which a copy of such rows begins",
                _ => return Ok(()),
            };
            if route.keyless {
                return refused(
                    format!("rows of {source} have no key, and the log of {target} {lacks}"),
                    "give the source table a key: a primary key, or a replica identity",
                );
            }
            return Ok(());
        }
        if route.keyless && !(self.counts && self.transactions) {
            return refused(
                format!(
                    "rows of {source} have no key, and the target of {target} does not count equal rows"
                ),
                "give the source table a key: a primary key, or a replica identity",
            );
        }
        // A row with another key under the same owner goes by its owner.
        let by_key = route.single && route.key_is_owner;
        if route.owner.is_some() && !by_key && !self.removal_by_owner {
            return refused(
                format!(
                    "rows of {target} are found again by the key of {source}, and its target finds them by their \
                     own key only"
                ),
                "make the key of the target the key of the source row, one row for each",
            );
        }
        Ok(())
    }

    /// That all rows of a statement may go at once.
    ///
    /// # Errors
    /// [`Code::TargetCannotTake`]
    pub fn clears(&self, route: &Route) -> Result<()> {
        if self.clearing {
            return Ok(());
        }
        let what = format!(
            "all rows of {} went at once, by a TRUNCATE or to be copied anew, which the target of {} does not take",
            route.source, route.target
        );
        Err(Error::new(Code::TargetCannotTake, what).at(&route.place).remedy(
            "clear the target by its own means, and take the statement out of the mapping and in again",
        ))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::relation::TableName;

    pub(crate) fn route() -> Route {
        Route {
            source: TableName::new("public", "s"),
            target: TableName::new("public", "t"),
            columns: Vec::new(),
            owner: Some(vec![0]),
            single: true,
            total: true,
            key_is_owner: true,
            keyless: false,
            source_key: vec!["id".to_owned()],
            rewrite: false,
            only: Vec::new(),
            place: "mapping.sql:3:1".to_owned(),
        }
    }

    #[test]
    fn a_statement_is_refused_for_what_its_sink_does_not_take_and_for_nothing_else() {
        let without = |change: fn(&mut Takes)| {
            let mut takes = Takes::EVERYTHING;
            change(&mut takes);
            takes
        };
        let (plain, mut many, mut keyless, mut unowned) = (route(), route(), route(), route());
        many.single = false;
        (keyless.keyless, keyless.owner) = (true, None);
        unowned.owner = None;
        let cases = [
            (without(|_| ()), [true; 4]),
            (without(|takes| takes.removal_by_owner = false), [true, false, true, true]),
            (without(|takes| takes.counts = false), [true, true, false, true]),
            (without(|takes| takes.transactions = false), [true, true, false, true]),
            // These are answered while it runs.
            (without(|takes| (takes.patches, takes.clearing) = (false, false)), [true; 4]),
            // A log is told whose rows they are, and what they were.
            (
                without(|takes| {
                    takes.form = Form::Log;
                    (takes.patches, takes.removal_by_owner, takes.counts) = (false, false, false);
                }),
                [true; 4],
            ),
            (
                without(|takes| (takes.form, takes.transactions) = (Form::Log, false)),
                [true, true, false, true],
            ),
            (
                without(|takes| (takes.form, takes.clearing) = (Form::Log, false)),
                [true, true, false, true],
            ),
        ];
        for (takes, expected) in cases {
            let fits = [&plain, &many, &keyless, &unowned].map(|route| takes.fits(route).is_ok());
            assert_eq!(fits, expected, "{takes:?}");
        }
        let error = without(|takes| takes.counts = false).fits(&keyless).unwrap_err();
        assert_eq!(
            (error.code(), error.place()),
            (Code::TargetCannotTake, Some("mapping.sql:3:1"))
        );
        assert!(without(|takes| takes.clearing = false).clears(&plain).is_err());
    }
}
