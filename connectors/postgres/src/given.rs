//! Rows of values that are given to a statement as parameters.
//!
//! One array per column, which `unnest` takes apart in the select list: in FROM it would take row types
//! apart, too, into their columns. An array of arrays it takes apart down to the elements, in either place:
//! rows with such a column are given value by value.

use regraft_core::Key;
use tokio_postgres::types::ToSql;

use crate::raw::{RawArray, RawParameter};

/// Values of one statement that are given one by one; the protocol has room for 65,535.
const VALUES_MAX: usize = 16_384;

/// Whether `unnest` takes values of the type apart.
pub(crate) fn is_array(sql_type: &str) -> bool {
    sql_type.ends_with("[]")
}

/// `SELECT unnest($1::uuid[]) AS c0, unnest($2::text[]) AS c1`, for types that are no arrays.
pub(crate) fn unnested<'a>(types: impl IntoIterator<Item = &'a str>, first: usize) -> String {
    let columns = types.into_iter().enumerate();
    let columns = columns.map(|(at, kind)| format!("unnest(${}::{kind}[]) AS c{at}", first + at));
    format!("SELECT {}", columns.collect::<Vec<_>>().join(", "))
}

/// Rows for one statement.
pub(crate) enum Given<'a> {
    /// One array per column.
    Arrays(Vec<RawArray>),
    /// Row by row.
    Values(Vec<RawParameter<'a>>),
}

impl<'a> Given<'a> {
    /// Rows with columns of these types, as many for each statement as it can take.
    pub(crate) fn parts<'t>(
        types: impl Iterator<Item = &'t str> + Clone,
        rows: &'a [Key],
    ) -> Vec<Given<'a>> {
        let width = types.clone().count();
        if !types.clone().any(is_array) {
            let mut arrays = vec![RawArray::default(); width];
            for row in rows {
                arrays.iter_mut().zip(row.row().cells()).for_each(|(a, cell)| a.push(cell));
            }
            return vec![Self::Arrays(arrays)];
        }
        let parts = rows.chunks((VALUES_MAX / width.max(1)).max(1));
        let values = |row: &'a Key| row.row().cells().map(RawParameter);
        parts.map(|rows| Self::Values(rows.iter().flat_map(values).collect())).collect()
    }

    /// The rows as a subselect, which gives them in their order.
    pub(crate) fn select<'t>(&self, types: impl Iterator<Item = &'t str> + Clone) -> String {
        let Self::Values(values) = self else { return unnested(types, 1) };
        let types: Vec<_> = types.collect();
        let row = |first: usize| {
            let values = types.iter().enumerate();
            let values = values.map(|(at, kind)| format!("${}::{kind}", first + at));
            format!("({})", values.collect::<Vec<_>>().join(", "))
        };
        let rows = (1..=values.len()).step_by(types.len().max(1)).map(row);
        format!("VALUES {}", rows.collect::<Vec<_>>().join(", "))
    }

    /// The parameters of [`Self::select`].
    pub(crate) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        match self {
            Self::Arrays(arrays) => arrays.iter().map(|array| array as _).collect(),
            Self::Values(values) => values.iter().map(|value| value as _).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use regraft_core::row;

    use super::*;

    fn key(cells: &[&[u8]]) -> Key {
        let mut bytes = Vec::new();
        cells.iter().for_each(|cell| row::put_value(&mut bytes, cell));
        Key(bytes.into_boxed_slice())
    }

    #[test]
    fn values_are_given_as_arrays_where_they_are_none() {
        let keys = [key(&[b"a", b"b"]), key(&[b"c", b"d"])];
        let types = || ["uuid", "public.pair"].into_iter();
        let parts = Given::parts(types(), &keys);
        assert_eq!(
            parts.iter().map(|part| part.select(types())).collect::<Vec<_>>(),
            ["SELECT unnest($1::uuid[]) AS c0, unnest($2::public.pair[]) AS c1"]
        );
        assert_eq!(parts[0].parameters().len(), 2);
    }

    #[test]
    fn arrays_are_given_one_by_one() {
        let keys = [key(&[b"a", b"b"]), key(&[b"c", b"d"])];
        let types = || ["integer[]", "text"].into_iter();
        let parts = Given::parts(types(), &keys);
        assert_eq!(
            parts.iter().map(|part| part.select(types())).collect::<Vec<_>>(),
            ["VALUES ($1::integer[], $2::text), ($3::integer[], $4::text)"]
        );
        assert_eq!(parts[0].parameters().len(), 4);
        let keys = vec![key(&[b"a", b"b"]); VALUES_MAX];
        let parts = Given::parts(types(), &keys);
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.parameters().len() == VALUES_MAX));
    }
}
