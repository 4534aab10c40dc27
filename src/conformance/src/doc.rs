//! A mapper for examples in the documentation: the length of a text.

use regraft_core::mapper::{Binding, Count, Input, Output};
use regraft_core::row::{put, put_null, put_value};
use regraft_core::{Cell, Declaration, Mapped, Mapper, Relation, Result, Rows, Tuple, oid};

/// Gives the id of a note and how many bytes it has.
#[derive(Clone, Default)]
pub struct Lengths(Binding);

impl Mapper for Lengths {
    fn declaration(&self) -> Declaration {
        Declaration {
            version: "1".to_owned(),
            reads: vec![Input::any("id"), Input::of("note", oid::TEXT)],
            outputs: vec![Output::copy("id", "id"), Output::made("length", oid::INT8)],
            rows: Count::One,
        }
    }

    fn bind(&mut self, relation: &Relation) -> Result<()> {
        self.0.bind(&self.declaration().reads, relation)
    }

    fn map(&self, image: &Tuple, out: &mut Rows) -> Result<Mapped> {
        let (id, note) = (self.0.cell(image, 0), self.0.cell(image, 1));
        if id == Cell::Unchanged || note == Cell::Unchanged {
            return Ok(Mapped::Read);
        }
        put(out.buffer(), id.bytes());
        match note.bytes() {
            Some(note) => put_value(out.buffer(), &(note.len() as u64).to_be_bytes()),
            None => put_null(out.buffer()),
        }
        out.end_row();
        Ok(Mapped::Rows(1))
    }
}
