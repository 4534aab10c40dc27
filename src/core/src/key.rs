//! Source row keys: the identity of a row in the stream, in chunks and in the net effect.

use crate::row;
use crate::tuple::{Cell, Tuple};

/// The key columns of a source row, each in binary send format, laid out as a [`crate::Row`].
///
/// Two rows are the same row exactly when these bytes are equal: both the stream and a chunk read
/// carry the stored value through the same send function, and PostgreSQL reports an old key whenever
/// the stored bytes of a key column change.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Box<[u8]>);

impl Key {
    /// The key of a row image, given the indexes of its key columns. `None` when a key column is
    /// missing, NULL or unchanged, or when there is none.
    pub fn of(tuple: &Tuple, columns: &[usize]) -> Option<Key> {
        if columns.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(columns.len() * 20);
        for &column in columns {
            match tuple.get(column)? {
                Cell::Binary(bytes) | Cell::Text(bytes) => row::put_value(&mut out, bytes),
                Cell::Null | Cell::Unchanged => return None,
            }
        }
        Some(Key(out.into_boxed_slice()))
    }

    /// The key as a row of its columns.
    pub fn row(&self) -> row::Row<'_> {
        row::Row(&self.0)
    }
}
