//! The mapper contract: from one source row image to the target rows that it contributes.

use crate::error::Result;
use crate::relation::{Relation, TableName};
use crate::row::Rows;
use crate::tuple::Tuple;

/// What a mapper made of one row image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// The whole contribution of the source row was appended to the output: 0, 1 or n rows.
    Rows(usize),
    /// The image lacks values, but the contribution still has the rows it had before the change;
    /// only these columns of them are new, the same in every row.
    Patch(Patch),
    /// The image lacks values that decide the contribution: Postgres has to evaluate it.
    Read,
}

/// New values for some columns of a contribution whose rows are otherwise as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Indexes of the output columns, ascending.
    pub columns: Vec<usize>,
    /// Their new values, laid out as a [`crate::Row`].
    pub cells: Vec<u8>,
    /// What was left out reads key columns: the patch is right only if the key is as before.
    pub assumes_key: bool,
}

/// Turns row images of one source table into rows of one target table.
///
/// A mapper is a pure function of the image: the same image gives the same rows, at any time and on
/// any machine. It neither blocks nor does I/O.
pub trait Mapper: Send + Sync {
    /// The source table whose images this mapper reads.
    fn source(&self) -> &TableName;

    /// Accepts the shape that the images to come have.
    ///
    /// # Errors
    /// When a column that the mapper reads is gone or has another type. The pipeline then stops
    /// before the first image of that shape.
    fn bind(&mut self, relation: &Relation) -> Result<()>;

    /// Maps one image, appending the rows of its contribution to `out`, each with all output columns
    /// in order. When it answers [`Mapped::Patch`] or [`Mapped::Read`], or fails, it appends nothing.
    ///
    /// # Errors
    /// When an expression fails as it would in PostgreSQL (a cast that does not parse, a division by
    /// zero). The message never contains values of the row.
    fn map(&self, image: &Tuple, out: &mut Rows) -> Result<Mapped>;
}
