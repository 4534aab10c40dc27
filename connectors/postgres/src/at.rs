//! Positions in the ledger's tables: text with its kind, see [`Position::stored`].

use std::error::Error as StdError;

use bytes::BytesMut;
use regraft_core::{Code, Error, Lsn, Position, Result};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, PgLsn, ToSql, Type, to_sql_checked};

/// A position, as a column of the ledger has it.
#[derive(Clone, Debug)]
pub(crate) struct At(pub(crate) Position);

impl ToSql for At {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.0.stored().to_sql(&Type::TEXT, out)
    }

    fn accepts(ty: &Type) -> bool {
        <String as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for At {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        // A ledger that is looked at may be of an earlier version.
        if *ty == Type::PG_LSN {
            return Ok(Self(Position::Lsn(Lsn(PgLsn::from_sql(ty, raw)?.into()))));
        }
        Ok(Self(Position::from_stored(<&str>::from_sql(ty, raw)?)?))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::PG_LSN || <&str as FromSql>::accepts(ty)
    }
}

/// The position in a column.
///
/// # Errors
/// [`Code::LedgerNewer`] for one of a form that is not known.
pub(crate) fn position(row: &Row, column: usize) -> Result<Position> {
    optional(row, column)?.ok_or_else(Position::unknown)
}

/// The position in a column that may be NULL.
///
/// # Errors
/// As [`position`].
pub(crate) fn optional(row: &Row, column: usize) -> Result<Option<Position>> {
    let read = row.try_get::<_, Option<At>>(column).map_err(|_| Position::unknown());
    read.map(|at| at.map(|At(position)| position))
}

/// The LSN of a position that a PostgreSQL source has given out.
///
/// # Errors
/// [`Code::SourceReplaced`] for one of another kind of source.
pub(crate) fn lsn(position: &Position) -> Result<Lsn> {
    match position {
        Position::Lsn(lsn) => Ok(*lsn),
        _ => {
            let what =
                format!("the position {position} in the ledger is none of a PostgreSQL source");
            Err(Error::new(Code::SourceReplaced, what)
                .remedy("point [source] at what the pipeline was made for, or give the pipeline another name"))
        }
    }
}

#[cfg(test)]
mod tests {
    use regraft_core::Offsets;

    use super::*;

    #[test]
    fn a_position_is_read_from_either_layout() {
        let lsn = At::from_sql(&Type::PG_LSN, &0x16_B374_D848_u64.to_be_bytes()).unwrap().0;
        assert_eq!(lsn.to_string(), "16/B374D848");
        for position in [lsn, Offsets::new([("a", 0, 1)]).into()] {
            let mut stored = BytesMut::new();
            At(position.clone()).to_sql(&Type::TEXT, &mut stored).unwrap();
            assert_eq!(At::from_sql(&Type::TEXT, &stored).unwrap().0, position);
        }
        assert!(At::from_sql(&Type::TEXT, b"gtid:7").is_err());
    }

    #[test]
    fn offsets_are_no_position_of_this_source() {
        assert_eq!(lsn(&Offsets::default().into()).unwrap_err().code(), Code::SourceReplaced);
    }
}
