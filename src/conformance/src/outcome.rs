//! What came of mapping one image.

use std::panic::{AssertUnwindSafe, catch_unwind};

use regraft_core::mapper::Patch;
use regraft_core::{Mapped, Mapper, Row, Rows, Tuple, row};

pub(crate) type Cells = Vec<Option<Vec<u8>>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// In an order of no meaning: sorted.
    Rows(Vec<Cells>),
    Patch(Patch),
    Read,
    Failed(String),
    Panicked,
    /// The output is not what the answer says.
    Spoilt(&'static str),
}

/// Maps an image behind a row that is in the output already.
pub(crate) fn outcome(mapper: &dyn Mapper, image: &Tuple) -> Outcome {
    let mut out = Rows::new();
    row::put_value(out.buffer(), b"earlier");
    out.end_row();
    let earlier = out.size();
    let Ok(mapped) = catch_unwind(AssertUnwindSafe(|| mapper.map(image, &mut out))) else {
        return Outcome::Panicked;
    };
    let size = out.size();
    out.abandon_row();
    if size != out.size() {
        return Outcome::Spoilt("a row was begun and not ended");
    }
    if out.get(0).and_then(|row| row.cell(0)) != Some(Some(b"earlier")) {
        return Outcome::Spoilt("rows that were in the output before are gone");
    }
    let added = out.len() - 1;
    match mapped {
        Ok(Mapped::Rows(count)) if count == added => {
            let rows: Option<Vec<_>> = out.iter().skip(1).map(cells).collect();
            match rows {
                None => Outcome::Spoilt("a row has more bytes than cells"),
                Some(mut rows) => {
                    rows.sort();
                    Outcome::Rows(rows)
                }
            }
        }
        Ok(Mapped::Rows(_)) => Outcome::Spoilt("other rows are in the output than it says"),
        _ if out.size() != earlier => {
            Outcome::Spoilt("rows are in the output beside another answer")
        }
        Ok(Mapped::Patch(patch)) => Outcome::Patch(patch),
        Ok(Mapped::Read) => Outcome::Read,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// The cells of a row; `None` when there are other bytes in it.
pub(crate) fn cells(row: Row<'_>) -> Option<Cells> {
    let mut cells = row.cells();
    let found = cells.by_ref().map(|cell| cell.map(<[u8]>::to_vec)).collect();
    cells.rest().is_empty().then_some(found)
}
