//! What a source gives, and which statements cannot be over it for that reason.

use crate::error::{Code, Error, Result};
use crate::segment::Route;

/// What a source gives beside its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gives {
    /// It can be asked for rows as they are now. Without it, what there is comes by the stream or not at all:
    /// nothing is copied, nothing is compared, and a statement is made of one row of the stream.
    pub reads: bool,
}

impl Gives {
    /// Whatever a statement may need.
    pub const EVERYTHING: Gives = Gives { reads: true };

    /// That a statement can be over the source. `streamed`: it is made of each row of the stream by itself.
    ///
    /// # Errors
    /// [`Code::SourceCannotGive`], with the place of the statement.
    pub fn fits(&self, route: &Route, streamed: bool) -> Result<()> {
        let source = &route.source;
        let (what, remedy) = match (self.reads, streamed, route.keyless) {
            (true, ..) | (false, true, false) => return Ok(()),
            (false, false, _) => (
                format!(
                    "only the source can evaluate it, and that of {source} cannot be asked for rows"
                ),
                "write it over one row of one table, with functions that regraft knows: `regraft check` names them",
            ),
            (false, true, true) => (
                format!(
                    "rows of {source} have no key: they begin with a copy, and their source cannot be asked for rows"
                ),
                "give the source table a key",
            ),
        };
        Err(Error::new(Code::SourceCannotGive, what).at(&route.place).remedy(remedy))
    }

    /// A row that the stream does not carry whole has to be read.
    ///
    /// # Errors
    /// [`Code::SourceCannotGive`]
    pub fn left_to_read(&self, table: &crate::TableName) -> Result<()> {
        if self.reads {
            return Ok(());
        }
        let what = format!(
            "the stream does not carry a row of {table} whole, and its source cannot be asked for rows"
        );
        Err(Error::new(Code::SourceCannotGive, what)
            .at(table.to_string())
            .remedy("have the source send whole rows: of PostgreSQL REPLICA IDENTITY FULL does it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TableName;
    use crate::takes::tests::route;

    #[test]
    fn a_source_that_cannot_be_asked_has_streamed_statements_over_rows_with_a_key() {
        let (plain, mut keyless) = (route(), route());
        keyless.keyless = true;
        let stream = Gives { reads: false };
        for (route, streamed, fits) in
            [(&plain, true, true), (&plain, false, false), (&keyless, true, false)]
        {
            assert!(Gives::EVERYTHING.fits(route, streamed).is_ok());
            assert_eq!(stream.fits(route, streamed).is_ok(), fits, "{streamed} {route:?}");
        }
        let error = stream.fits(&plain, false).unwrap_err();
        assert_eq!(
            (error.code(), error.place()),
            (Code::SourceCannotGive, Some("mapping.sql:3:1"))
        );
        let table = TableName::new("public", "s");
        assert!(Gives::EVERYTHING.left_to_read(&table).is_ok());
        assert!(stream.left_to_read(&table).is_err());
    }
}
