//! The mapper contract: from one source row image to the target rows that it contributes.
//!
//! regraft has two mappers of its own, the compiled SELECT and the SELECT that the source evaluates; a
//! program that embeds the library adds others by name (`regraft::Mappers`). All of them promise the
//! same:
//!
//! 1. **Pure.** The same image gives the same rows, at any time, on any machine, in any thread and in any
//!    instance that is bound to the same shape. No I/O, no clock, no state that one image leaves for
//!    the next.
//! 2. **Declared.** Rows depend on the columns of [`Declaration::reads`] and on nothing else; they have
//!    the columns of [`Declaration::outputs`], and [`Source::Copy`] is a copy to the byte.
//! 3. **Whole.** An image in which each column that is read has its value or NULL is answered by
//!    [`Mapped::Rows`], or by an error. (The mappers of a SELECT may answer [`Mapped::Read`]:
//!    PostgreSQL can evaluate for them.)
//! 4. **Unchanged is no value.** [`Cell::Unchanged`] is a value that the stream did not carry; it is not
//!    NULL. The answer may be `Rows` only if every value that fits in its place gives these very rows,
//!    [`Mapped::Patch`] only as that says, and [`Mapped::Read`] always.
//! 5. **Bound.** [`Mapper::bind`] refuses a table without a column that is read, or with another type in
//!    it.
//! 6. **No panic**, whatever the bytes are, and no value of a row in a message.
//!
//! `regraft-conformance` tests a mapper for all of this.

use crate::error::{Code, Error, Result};
use crate::relation::{Oid, Relation};
use crate::row::Rows;
use crate::tuple::{Cell, Tuple};

/// What a mapper made of one row image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// The whole contribution of the source row was appended to the output: 0, 1 or n rows.
    Rows(usize),
    /// The image lacks values, but the contribution still has the rows it had before the change;
    /// only these columns of them are new, the same in every row.
    Patch(Patch),
    /// The image lacks values that decide the contribution: the row has to be read from the source.
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

/// What a mapper says of itself. It says the same at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Tells the mapper from others that would give other rows for the same images. The ledger remembers
    /// it with the rows in the target, and a pipeline does not go on with another one.
    pub version: String,
    /// Columns of the source that it reads, each once.
    pub reads: Vec<Input>,
    /// Columns of its rows, in order.
    pub outputs: Vec<Output>,
    /// How many rows it gives for a source row.
    pub rows: Count,
}

impl Declaration {
    /// For each of these key columns, the output that copies it; `None` when there is no key, or some
    /// column of it is not copied.
    pub fn owner(&self, key: &[String]) -> Option<Vec<usize>> {
        let copies = |name: &String| self.outputs.iter().position(|o| o.copies() == Some(name));
        if key.is_empty() { None } else { key.iter().map(copies).collect() }
    }
}

/// A column that a mapper reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name in the source table.
    pub name: String,
    /// Its type; `None` for any, because the mapper only copies it.
    pub type_oid: Option<Oid>,
}

impl Input {
    /// A column of any type, to be copied.
    pub fn any(name: impl Into<String>) -> Self {
        Self { name: name.into(), type_oid: None }
    }

    /// A column of this type, see [`crate::oid`].
    pub fn of(name: impl Into<String>, type_oid: Oid) -> Self {
        Self { name: name.into(), type_oid: Some(type_oid) }
    }
}

/// A column of a mapper's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What it is called in messages, and in a target table that `regraft check --ddl` proposes. The
    /// statement says to which target column it goes.
    pub name: String,
    /// Where its values come from.
    pub source: Source,
}

/// Where the values of an [`Output`] come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The value of this source column, as it came, in every row; the type is that column's. Copies of
    /// the whole key of a source row are the owner columns, by which its rows are found again.
    Copy(String),
    /// Made by the mapper, in the binary send format of this type.
    Made(Oid),
}

impl Output {
    /// A copy of the source column `column`.
    pub fn copy(name: impl Into<String>, column: impl Into<String>) -> Self {
        Self { name: name.into(), source: Source::Copy(column.into()) }
    }

    /// Values of this built-in type, see [`crate::oid`].
    pub fn made(name: impl Into<String>, type_oid: Oid) -> Self {
        Self { name: name.into(), source: Source::Made(type_oid) }
    }

    /// The source column that it copies, if it does.
    pub fn copies(&self) -> Option<&str> {
        match &self.source {
            Source::Copy(column) => Some(column),
            Source::Made(_) => None,
        }
    }
}

/// How many rows come from a source row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly one.
    One,
    /// One or none.
    AtMostOne,
    /// Any number.
    Any,
}

/// Turns row images of one source table into rows of one target table. The module says what it
/// promises.
pub trait Mapper: Send + Sync {
    /// What it reads and gives.
    fn declaration(&self) -> Declaration;

    /// Accepts the shape that the images to come have. Called before the first image, and again whenever
    /// the table has changed. [`Binding`] does what most mappers need.
    ///
    /// # Errors
    /// When a column that the mapper reads is gone or has another type. The pipeline then stops
    /// before the first image of that shape.
    fn bind(&mut self, relation: &Relation) -> Result<()>;

    /// Maps one image, appending the rows of its contribution to `out`, each with all output columns
    /// in order. When it answers [`Mapped::Patch`] or [`Mapped::Read`], or fails, it appends nothing:
    /// [`Rows::abandon_row`] and [`Rows::truncate`] take back what was begun.
    ///
    /// # Errors
    /// When the row cannot be mapped, usually [`Code::ExpressionFailed`]: the pipeline is held there until
    /// the row or the mapper is mended. The message never contains values of the row.
    fn map(&self, image: &Tuple, out: &mut Rows) -> Result<Mapped>;
}

/// Where the columns that a mapper reads are in the images to come.
#[derive(Clone, Debug, Default)]
pub struct Binding(Vec<(usize, Oid)>);

impl Binding {
    /// Finds the columns. One of any type keeps the type that it has first.
    ///
    /// # Errors
    /// [`Code::ShapeChanged`] when a column is missing, or has another type; the binding stays as it was.
    pub fn bind(&mut self, reads: &[Input], relation: &Relation) -> Result<()> {
        let table = &relation.table;
        let changed = |what: String| {
            Error::new(Code::ShapeChanged, what).remedy(format!(
                "give the column its name and type back, or have the mapper read the new shape and run \
                 with --recopy {table}"
            ))
        };
        let mut bound = Vec::with_capacity(reads.len());
        for (number, read) in reads.iter().enumerate() {
            let name = &read.name;
            let at = relation.column(name).ok_or_else(|| {
                changed(format!("the change stream has no column \"{name}\" of {table}"))
            })?;
            let now = relation.columns[at].type_oid;
            let wanted = read.type_oid.or(self.0.get(number).map(|(_, before)| *before));
            if wanted.is_some_and(|wanted| wanted != now) {
                return Err(changed(format!("column \"{name}\" of {table} has another type")));
            }
            bound.push((at, now));
        }
        self.0 = bound;
        Ok(())
    }

    /// The cell of column number `read` of those that were bound. Of a column that the image does not
    /// have, nothing is known: [`Cell::Unchanged`].
    pub fn cell<'t>(&self, image: &'t Tuple, read: usize) -> Cell<'t> {
        self.0.get(read).and_then(|(at, _)| image.get(*at)).unwrap_or(Cell::Unchanged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oid;
    use crate::relation::{Column, ReplicaIdentity, TableName};
    use crate::tuple::TupleBuilder;

    fn relation(columns: &[(&str, Oid)]) -> Relation {
        let column = |(name, type_oid): &(&str, Oid)| Column {
            name: (*name).to_owned(),
            type_oid: *type_oid,
            type_modifier: -1,
            key: false,
        };
        Relation {
            oid: 1,
            table: TableName::new("public", "t"),
            identity: ReplicaIdentity::Default,
            columns: columns.iter().map(column).collect(),
        }
    }

    #[test]
    fn columns_are_found_by_name_and_keep_their_types() {
        let reads = [Input::of("b", oid::BYTEA), Input::any("a")];
        let mut binding = Binding::default();
        binding.bind(&reads, &relation(&[("a", 20), ("x", 25), ("b", 17)])).unwrap();
        binding.bind(&reads, &relation(&[("b", 17), ("a", 20)])).unwrap();
        for other in [&[("a", 20)][..], &[("b", 25), ("a", 20)], &[("b", 17), ("a", 23)]] {
            let error = binding.bind(&reads, &relation(other)).unwrap_err();
            assert_eq!(error.code(), Code::ShapeChanged, "{error}");
        }
        let mut image = TupleBuilder::with_capacity(1, 1);
        image.push(Cell::Binary(b"1"));
        let image = image.finish();
        assert_eq!(binding.cell(&image, 0), Cell::Binary(b"1"));
        assert_eq!(binding.cell(&image, 1), Cell::Unchanged);
    }

    #[test]
    fn an_owner_copies_the_whole_key_in_its_order() {
        let declaration = Declaration {
            version: String::new(),
            reads: vec![Input::any("a"), Input::any("b")],
            outputs: vec![
                Output::copy("x", "b"),
                Output::made("n", oid::INT4),
                Output::copy("y", "a"),
            ],
            rows: Count::Any,
        };
        let owner = |key: &[&str]| {
            declaration.owner(&key.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(owner(&["a", "b"]), Some(vec![2, 0]));
        assert_eq!(owner(&["a", "c"]), None);
        assert_eq!(owner(&[]), None);
    }
}
