//! Rows of values that are given to a statement as parameters.
//!
//! One array per column, which `unnest` takes apart in the select list: in FROM it would take row types
//! apart, too, into their columns. An array of arrays it takes apart down to the elements, in either place:
//! rows with such a column are given value by value.

use regraft_core::Key;
use regraft_core::segment::RouteColumn;
use tokio_postgres::types::ToSql;

use crate::chunks::KeyColumn;
use crate::raw::{RawArray, RawParameter};

/// Values of one statement that are given one by one; the protocol has room for 65,535.
const VALUES_MAX: usize = 16_384;

/// A column that is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried<'a> {
    /// SQL name of its type.
    pub(crate) sql_type: &'a str,
    /// Its values come as their texts.
    pub(crate) text: bool,
}

impl<'a> From<&'a RouteColumn> for Carried<'a> {
    fn from(column: &'a RouteColumn) -> Self {
        Self { sql_type: &column.sql_type, text: column.text }
    }
}

impl<'a> From<&'a KeyColumn> for Carried<'a> {
    fn from(column: &'a KeyColumn) -> Self {
        Self { sql_type: &column.sql_type, text: column.text }
    }
}

impl<'a> Carried<'a> {
    /// SQL name of the type in which the values come.
    pub(crate) fn comes_as(self) -> &'a str {
        if self.text { "text" } else { self.sql_type }
    }

    /// Such a value in its type.
    pub(crate) fn cast(self, value: &str) -> String {
        if self.text { format!("{value}::{}", self.sql_type) } else { value.to_owned() }
    }

    /// Whether `unnest` takes the values apart.
    pub(crate) fn is_array(self) -> bool {
        self.comes_as().ends_with("[]")
    }
}

/// `SELECT unnest($1::uuid[]) AS c0, unnest($2::text[]) AS c1`, where no value is an array.
pub(crate) fn unnested<'a>(columns: impl IntoIterator<Item = Carried<'a>>, first: usize) -> String {
    let columns = columns.into_iter().enumerate().map(|(at, column)| {
        let value = format!("unnest(${}::{}[])", first + at, column.comes_as());
        format!("{} AS c{at}", column.cast(&value))
    });
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
    /// Rows with these columns, as many for each statement as it can take.
    pub(crate) fn parts<'t>(
        columns: impl Iterator<Item = Carried<'t>> + Clone,
        rows: &'a [Key],
    ) -> Vec<Given<'a>> {
        let width = columns.clone().count();
        if !columns.clone().any(Carried::is_array) {
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
    pub(crate) fn select<'t>(&self, columns: impl Iterator<Item = Carried<'t>> + Clone) -> String {
        let Self::Values(values) = self else { return unnested(columns, 1) };
        let columns: Vec<_> = columns.collect();
        let row = |first: usize| {
            let values = columns.iter().enumerate();
            let values = values.map(|(at, column)| {
                column.cast(&format!("${}::{}", first + at, column.comes_as()))
            });
            format!("({})", values.collect::<Vec<_>>().join(", "))
        };
        let rows = (1..=values.len()).step_by(columns.len().max(1)).map(row);
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

    fn types<'a>(of: &'a [(&'a str, bool)]) -> impl Iterator<Item = Carried<'a>> + Clone {
        of.iter().map(|&(sql_type, text)| Carried { sql_type, text })
    }

    #[test]
    fn values_are_given_as_arrays_where_they_are_none() {
        let keys = [key(&[b"a", b"b", b"e"]), key(&[b"c", b"d", b"f"])];
        let types = || types(&[("uuid", false), ("public.pair", false), ("public.isbn", true)]);
        let parts = Given::parts(types(), &keys);
        assert_eq!(
            parts.iter().map(|part| part.select(types())).collect::<Vec<_>>(),
            ["SELECT unnest($1::uuid[]) AS c0, unnest($2::public.pair[]) AS c1, \
              unnest($3::text[])::public.isbn AS c2"]
        );
        assert_eq!(parts[0].parameters().len(), 3);
    }

    #[test]
    fn arrays_are_given_one_by_one() {
        let keys = [key(&[b"a", b"b"]), key(&[b"c", b"d"])];
        let types = || types(&[("integer[]", false), ("public.seg[]", true)]);
        let parts = Given::parts(types(), &keys);
        assert_eq!(
            parts.iter().map(|part| part.select(types())).collect::<Vec<_>>(),
            [
                "VALUES ($1::integer[], $2::text::public.seg[]), ($3::integer[], $4::text::public.seg[])"
            ]
        );
        assert_eq!(parts[0].parameters().len(), 4);
        let keys = vec![key(&[b"a", b"b"]); VALUES_MAX];
        let parts = Given::parts(types(), &keys);
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.parameters().len() == VALUES_MAX));
    }
}
