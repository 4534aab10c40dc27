//! A mapper that unpacks pages of a data logger: a page holds many readings, as differences of variable
//! length. SQL could do it only byte by byte, in a recursive query.
//!
//! A page has the time of the first reading (seconds since 1970, 4 bytes), the seconds between two
//! readings (2 bytes), and then for each reading its difference to the one before, in hundredths: its
//! sign moved to the lowest bit (zigzag), seven bits in each byte, the low ones first, and the highest
//! bit set in all bytes but the last.

use regraft::core::mapper::{Binding, Count, Input, Output, Patch};
use regraft::core::row::{put, put_value};
use regraft::core::{
    Cell, Code, Declaration, Error, Mapped, Mapper, Relation, Result, Rows, Tuple, oid,
};

// Places in `reads`, in their order.
const ID: usize = 0;
const LOGGER: usize = 1;
const PAGE: usize = 2;

/// PostgreSQL counts from the year 2000.
const SECONDS_1970_TO_2000: i64 = 946_684_800;

/// Gives a row for each reading of a page; none for a page that is NULL.
#[derive(Clone, Default)]
pub struct UnpackPage {
    binding: Binding,
}

fn reads() -> Vec<Input> {
    vec![Input::any("id"), Input::of("logger", oid::TEXT), Input::of("page", oid::BYTEA)]
}

impl Mapper for UnpackPage {
    fn declaration(&self) -> Declaration {
        Declaration {
            version: "1".to_owned(),
            reads: reads(),
            outputs: vec![
                // Copies the key: by it the readings of a changed page are found again.
                Output::copy("page_id", "id"),
                Output::copy("logger", "logger"),
                Output::made("position", oid::INT4),
                Output::made("taken_at", oid::TIMESTAMPTZ),
                Output::made("hundredths", oid::INT8),
            ],
            rows: Count::Any,
        }
    }

    fn bind(&mut self, relation: &Relation) -> Result<()> {
        self.binding.bind(&reads(), relation)
    }

    fn map(&self, image: &Tuple, out: &mut Rows) -> Result<Mapped> {
        let [id, logger, page] = [ID, LOGGER, PAGE].map(|read| self.binding.cell(image, read));
        let page = match page {
            Cell::Null => return Ok(Mapped::Rows(0)),
            // The readings stay as they are, and so do the rows; what they copy may be new.
            Cell::Unchanged => return Ok(Mapped::Patch(copies([id, logger]))),
            Cell::Binary(bytes) | Cell::Text(bytes) => bytes,
        };
        if id == Cell::Unchanged || logger == Cell::Unchanged {
            return Ok(Mapped::Read);
        }
        let before = out.len();
        let readings = Readings::new(page).ok_or_else(|| broken("has no header"))?;
        for (position, reading) in (0_i32..).zip(readings) {
            let Some((taken_at, hundredths)) = reading else {
                out.truncate(before);
                return Err(broken("ends inside a reading, or a reading is too large"));
            };
            put(out.buffer(), id.bytes());
            put(out.buffer(), logger.bytes());
            put_value(out.buffer(), &position.to_be_bytes());
            put_value(out.buffer(), &taken_at.to_be_bytes());
            put_value(out.buffer(), &hundredths.to_be_bytes());
            out.end_row();
        }
        Ok(Mapped::Rows(out.len() - before))
    }
}

/// New values of those copied columns that the image has.
fn copies(cells: [Cell<'_>; 2]) -> Patch {
    let mut patch = Patch { assumes_key: cells[ID] == Cell::Unchanged, ..Patch::default() };
    for (column, cell) in cells.into_iter().enumerate() {
        if cell != Cell::Unchanged {
            patch.columns.push(column);
            put(&mut patch.cells, cell.bytes());
        }
    }
    patch
}

fn broken(how: &str) -> Error {
    Error::new(Code::ExpressionFailed, format!("the page {how}"))
        .remedy("correct the page in the source, or set it to NULL to leave it out")
}

/// Time in microseconds since 2000, and value in hundredths, of each reading; `None` where the page
/// is broken, after which nothing is to be asked.
struct Readings<'p> {
    rest: &'p [u8],
    seconds: i64,
    step: i64,
    value: i64,
}

impl<'p> Readings<'p> {
    fn new(page: &'p [u8]) -> Option<Self> {
        let (begin, page) = page.split_first_chunk::<4>()?;
        let (step, rest) = page.split_first_chunk::<2>()?;
        let seconds = i64::from(u32::from_be_bytes(*begin)) - SECONDS_1970_TO_2000;
        Some(Self { rest, seconds, step: u16::from_be_bytes(*step).into(), value: 0 })
    }

    fn difference(&mut self) -> Option<i64> {
        let mut zigzag = 0_u64;
        for shift in (0..63).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
            }
        }
        None
    }
}

impl Iterator for Readings<'_> {
    type Item = Option<(i64, i64)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let value = self.difference().and_then(|difference| self.value.checked_add(difference));
        Some(value.map(|value| {
            let taken_at = self.seconds * 1_000_000;
            (self.seconds, self.value) = (self.seconds + self.step, value);
            (taken_at, value)
        }))
    }
}
