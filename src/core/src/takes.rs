//! What a sink takes, and which statements it cannot have for that reason.

use crate::error::{Code, Error, Result};
use crate::segment::Route;

/// What a sink takes. A statement that needs more is refused before anything runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub struct Takes {
    /// New values for some columns of rows that stay as they are otherwise
    /// ([`crate::TableWrites::patches`]). Without it, rows that the stream cannot carry whole are read from the
    /// source.
    pub patches: bool,
    /// Rows are found again by their owner columns, whatever their key ([`crate::TableWrites::replaced`]).
    pub removal_by_owner: bool,
    /// Of several rows that are equal a number is taken away ([`crate::TableWrites::uncounted`]).
    pub counts: bool,
    /// All rows of a statement are removed at once ([`crate::TableWrites::clear`]).
    pub clearing: bool,
    /// Rows, position and what is still to be read are committed together. Without it, writing the same again
    /// changes nothing, and the position is written after the rows; whatever change of a row comes first, it is
    /// taken for one of a row that was there before.
    pub transactions: bool,
}

impl Takes {
    /// Whatever a statement may need.
    pub const EVERYTHING: Takes = Takes {
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
mod tests {
    use super::*;
    use crate::relation::TableName;

    fn route() -> Route {
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
