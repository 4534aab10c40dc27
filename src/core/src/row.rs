//! Output rows: what a mapper produces and a sink writes.
//!
//! A row is stored as PostgreSQL's binary COPY stores a tuple without its column count: for each
//! column an `i32` length in network order (-1 for NULL) and that many bytes in the binary send
//! format of the column's type, or its text where that format is missing on a server. A chunk read by
//! COPY, a row computed by a mapper, an array element of `unnest` and a row of a COPY into the target
//! are therefore the same bytes.
//!
//! <https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS>

use std::ops::Range;

/// A row of so many bytes is *wide*. Memory for it is not had several times over: it is shared instead of
/// copied, written in pieces, and given back once it is written. One is under way at a time.
pub const WIDE: usize = 8 << 20;

/// Many rows in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl Rows {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of finished rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True when there is no finished row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.data.len()
    }

    /// Some row is wide.
    pub fn has_wide(&self) -> bool {
        self.size() >= WIDE && self.iter().any(|row| row.0.len() >= WIDE)
    }

    /// The buffer to append cells of the next row to, by [`put_null`] and [`put_value`].
    /// The row exists once [`Rows::end_row`] is called.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// Ends the row whose cells were appended since the last one.
    pub fn end_row(&mut self) {
        self.ends.push(self.data.len());
    }

    /// Drops cells appended since the last finished row.
    pub fn abandon_row(&mut self) {
        self.data.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// Drops finished rows beyond the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.abandon_row();
    }

    /// Appends a copy of a whole row.
    pub fn push(&mut self, row: Row<'_>) {
        self.data.extend_from_slice(row.0);
        self.end_row();
    }

    /// Row `index`, or `None` beyond the last.
    pub fn get(&self, index: usize) -> Option<Row<'_>> {
        self.range(index).map(|range| Row(&self.data[range]))
    }

    /// All rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        (0..self.len()).map(|i| self.get(i).unwrap_or(Row(&[])))
    }

    fn range(&self, index: usize) -> Option<Range<usize>> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |previous| self.ends[previous]);
        Some(start..end)
    }
}

/// One row; see the module for its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row<'a>(pub &'a [u8]);

impl<'a> Row<'a> {
    /// The cells in order: `None` is NULL. Stops at bytes that are no cell.
    pub fn cells(self) -> Cells<'a> {
        Cells { rest: self.0 }
    }

    /// The cell at `index`: outer `None` beyond the last column, inner `None` for NULL.
    pub fn cell(self, index: usize) -> Option<Option<&'a [u8]>> {
        self.cells().nth(index)
    }
}

/// Iterator over the cells of a [`Row`].
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    rest: &'a [u8],
}

impl<'a> Cells<'a> {
    /// The bytes after the cells taken so far.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.rest.split_first_chunk::<4>()?;
        match usize::try_from(i32::from_be_bytes(*head)) {
            Err(_) => {
                self.rest = rest;
                Some(None)
            }
            Ok(len) => {
                let (cell, rest) = rest.split_at_checked(len)?;
                self.rest = rest;
                Some(Some(cell))
            }
        }
    }
}

/// Appends a NULL cell.
pub fn put_null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i32).to_be_bytes());
}

/// Appends a cell with a value.
///
/// # Panics
/// If the value is 2 GiB or larger; PostgreSQL's limit for a value is 1 GB.
pub fn put_value(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = i32::try_from(bytes.len()).expect("a value is below 2 GiB");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a cell.
pub fn put(out: &mut Vec<u8>, cell: Option<&[u8]>) {
    match cell {
        Some(bytes) => put_value(out, bytes),
        None => put_null(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_give_back_their_cells() {
        let mut rows = Rows::new();
        put_value(rows.buffer(), b"ab");
        put_null(rows.buffer());
        rows.end_row();
        put_value(rows.buffer(), b"lost");
        rows.abandon_row();
        put_value(rows.buffer(), b"");
        rows.end_row();
        assert_eq!(rows.len(), 2);
        let first: Vec<_> = rows.get(0).unwrap().cells().collect();
        assert_eq!(first, [Some(&b"ab"[..]), None]);
        assert_eq!(rows.get(1).unwrap().cell(0), Some(Some(&b""[..])));
        assert_eq!(rows.get(1).unwrap().cell(1), None);
        rows.truncate(1);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows.size(), 10);
    }

    #[test]
    fn a_cut_cell_ends_the_row() {
        assert_eq!(Row(&[0, 0, 0, 9, 1]).cells().count(), 0);
    }
}
