//! A row image as the stream carries it: bytes, not values.

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::row::WIDE;

/// One column of a row image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// SQL NULL.
    Null,
    /// The stream did not carry the value: an out-of-line (TOAST) value that the change left as it
    /// was. It is never NULL. Neither a value nor NULL may ever be put in its place by a guess.
    Unchanged,
    /// The value in the type's binary send format.
    Binary(&'a [u8]),
    /// The value in the type's text output format (types without a binary send function).
    Text(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// The bytes of a value that is present.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Cell::Binary(bytes) | Cell::Text(bytes) => Some(bytes),
            Cell::Null | Cell::Unchanged => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellKind {
    Null,
    Unchanged,
    Binary,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CellRange {
    kind: CellKind,
    start: u32,
    len: u32,
}

/// A row image: one buffer, and the range of each column in it.
///
/// A tuple that came out of the decoder shares the network buffer, which may be far bigger than the
/// row; whoever keeps it beyond the current events calls [`Tuple::detach`] first.
#[derive(Clone, Debug)]
pub struct Tuple {
    buffer: Bytes,
    cells: SmallVec<[CellRange; 12]>,
}

impl Tuple {
    /// Number of columns.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// True for a row of no columns.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Column `index`, or `None` beyond the last.
    pub fn get(&self, index: usize) -> Option<Cell<'_>> {
        let cell = self.cells.get(index)?;
        let bytes = || &self.buffer[cell.start as usize..(cell.start + cell.len) as usize];
        Some(match cell.kind {
            CellKind::Null => Cell::Null,
            CellKind::Unchanged => Cell::Unchanged,
            CellKind::Binary => Cell::Binary(bytes()),
            CellKind::Text => Cell::Text(bytes()),
        })
    }

    /// All columns in order.
    pub fn iter(&self) -> impl Iterator<Item = Cell<'_>> {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    /// True when some column is [`Cell::Unchanged`].
    pub fn has_unchanged(&self) -> bool {
        self.cells.iter().any(|cell| cell.kind == CellKind::Unchanged)
    }

    /// Bytes of memory that the values take.
    pub fn size(&self) -> usize {
        self.cells.iter().map(|cell| cell.len as usize).sum::<usize>()
            + self.cells.len() * size_of::<CellRange>()
    }

    /// The values alone make it wide ([`WIDE`]). Costs nothing for a row in a small buffer.
    pub fn is_wide(&self) -> bool {
        self.buffer.len() >= WIDE && self.size() >= WIDE
    }

    /// The same row in a buffer of its own, so that the network buffer can be freed. A wide row keeps
    /// that buffer, if it is most of it.
    #[must_use]
    pub fn detach(&self) -> Tuple {
        if self.is_wide() && self.size() >= self.buffer.len() / 4 {
            return self.clone();
        }
        let mut builder = TupleBuilder::with_capacity(self.len(), self.size());
        self.iter().for_each(|cell| builder.push(cell));
        builder.finish()
    }

    /// This row, with every unchanged column for which `older` `has` a value taken from there.
    ///
    /// Correct only when `older` is the image of the same row directly before this change.
    #[must_use]
    pub fn filled_from(&self, older: &Tuple, has: impl Fn(usize) -> bool) -> Tuple {
        if self.buffer.as_ptr_range() == older.buffer.as_ptr_range() {
            let filled = |(at, cell): (usize, &CellRange)| match older.cells.get(at) {
                Some(older) if cell.kind == CellKind::Unchanged && has(at) => *older,
                _ => *cell,
            };
            let cells = self.cells.iter().enumerate().map(filled).collect();
            return Self { buffer: self.buffer.clone(), cells };
        }
        let mut builder = TupleBuilder::with_capacity(self.len(), self.size() + older.size());
        for (i, cell) in self.iter().enumerate() {
            builder.push(match cell {
                Cell::Unchanged if has(i) => older.get(i).unwrap_or(Cell::Unchanged),
                present => present,
            });
        }
        builder.finish()
    }
}

impl PartialEq for Tuple {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

/// Builds a [`Tuple`], either by copying cells or by pointing into a given frame.
pub struct TupleBuilder {
    buffer: BytesMut,
    cells: SmallVec<[CellRange; 12]>,
}

impl TupleBuilder {
    /// A builder with room for `columns` columns and `bytes` bytes of values.
    pub fn with_capacity(columns: usize, bytes: usize) -> Self {
        Self { buffer: BytesMut::with_capacity(bytes), cells: SmallVec::with_capacity(columns) }
    }

    /// Appends a column, copying its bytes.
    ///
    /// # Panics
    /// If the row grows beyond 4 GiB; PostgreSQL's limit for a row is 1.6 TB in theory and 1 GB for
    /// every message in practice.
    pub fn push(&mut self, cell: Cell<'_>) {
        let (kind, bytes): (_, &[u8]) = match cell {
            Cell::Null => (CellKind::Null, &[]),
            Cell::Unchanged => (CellKind::Unchanged, &[]),
            Cell::Binary(bytes) => (CellKind::Binary, bytes),
            Cell::Text(bytes) => (CellKind::Text, bytes),
        };
        let start = u32::try_from(self.buffer.len()).expect("a row image is below 4 GiB");
        let len = u32::try_from(bytes.len()).expect("a row image is below 4 GiB");
        self.buffer.put_slice(bytes);
        self.cells.push(CellRange { kind, start, len });
    }

    /// The row.
    pub fn finish(self) -> Tuple {
        Tuple { buffer: self.buffer.freeze(), cells: self.cells }
    }
}

/// Points into a frame of the wire without copying: the decoder's way to make a [`Tuple`].
///
/// The decoder has to check each range against the frame; [`FrameTuple::push`] refuses others.
pub struct FrameTuple {
    frame: Bytes,
    cells: SmallVec<[CellRange; 12]>,
}

impl FrameTuple {
    /// A tuple over `frame` with room for `columns` columns.
    pub fn new(frame: Bytes, columns: usize) -> Self {
        Self { frame, cells: SmallVec::with_capacity(columns.min(1664)) }
    }

    /// Appends a column whose bytes are `start..start + len` of the frame; `None` when they are not.
    /// `text` says which of the two value formats it is.
    pub fn push_value(&mut self, text: bool, start: usize, len: usize) -> Option<()> {
        let end = start.checked_add(len)?;
        if end > self.frame.len() {
            return None;
        }
        let kind = if text { CellKind::Text } else { CellKind::Binary };
        self.cells.push(CellRange {
            kind,
            start: u32::try_from(start).ok()?,
            len: u32::try_from(len).ok()?,
        });
        Some(())
    }

    /// Appends a NULL.
    pub fn push_null(&mut self) {
        self.cells.push(CellRange { kind: CellKind::Null, start: 0, len: 0 });
    }

    /// Appends a value that the stream did not carry.
    pub fn push_unchanged(&mut self) {
        self.cells.push(CellRange { kind: CellKind::Unchanged, start: 0, len: 0 });
    }

    /// The row.
    pub fn finish(self) -> Tuple {
        Tuple { buffer: self.frame, cells: self.cells }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(cells: &[Cell<'_>]) -> Tuple {
        let mut builder = TupleBuilder::with_capacity(cells.len(), 16);
        cells.iter().for_each(|cell| builder.push(*cell));
        builder.finish()
    }

    #[test]
    fn unchanged_is_neither_null_nor_a_value() {
        let row = tuple(&[Cell::Null, Cell::Unchanged, Cell::Binary(b"ab"), Cell::Text(b"")]);
        assert_eq!(row.get(1), Some(Cell::Unchanged));
        assert!(row.has_unchanged());
        assert_eq!(row.detach(), row);
        assert_eq!(row.get(4), None);
    }

    #[test]
    fn only_unchanged_columns_are_filled() {
        let new = tuple(&[Cell::Unchanged, Cell::Null, Cell::Binary(b"new"), Cell::Unchanged]);
        let old = tuple(&[Cell::Binary(b"big"), Cell::Binary(b"x"), Cell::Null, Cell::Unchanged]);
        let filled = new.filled_from(&old, |_| true);
        let want = [Cell::Binary(b"big"), Cell::Null, Cell::Binary(b"new"), Cell::Unchanged];
        assert_eq!(filled, tuple(&want));
        assert_eq!(new.filled_from(&old, |at| at != 0), new);
    }

    #[test]
    fn images_of_one_message_and_wide_ones_are_shared() {
        let frame = Bytes::from(vec![7; WIDE + 1]);
        let (mut old, mut new) = (FrameTuple::new(frame.clone(), 2), FrameTuple::new(frame, 2));
        old.push_value(false, 0, WIDE).unwrap();
        old.push_null();
        new.push_unchanged();
        new.push_value(true, WIDE, 1).unwrap();
        let (old, new) = (old.finish(), new.finish());
        let filled = new.filled_from(&old, |_| true);
        assert_eq!(filled, tuple(&[Cell::Binary(&[7; WIDE]), Cell::Text(&[7])]));
        assert_eq!(filled.buffer.as_ptr(), old.buffer.as_ptr());
        assert_eq!(filled.detach().buffer.as_ptr(), old.buffer.as_ptr());
        assert_ne!(new.detach().buffer.as_ptr(), old.buffer.as_ptr());
    }

    #[test]
    fn a_range_beyond_the_frame_is_refused() {
        let mut tuple = FrameTuple::new(Bytes::from_static(b"abc"), 1);
        assert!(tuple.push_value(false, 1, 3).is_none());
        assert!(tuple.push_value(false, usize::MAX, 2).is_none());
        assert!(tuple.push_value(false, 1, 2).is_some());
        assert_eq!(tuple.finish().get(0), Some(Cell::Binary(b"bc")));
    }
}
