//! The mapper of a SELECT that only copies columns.

use regraft_core::mapper::{Count, Input, Output};
use regraft_core::row::put;
use regraft_core::{Declaration, Mapped, Mapper, Relation, Result, Rows, Tuple};

/// Copies these columns, each with its place in the source table. Their values have to be in each image: they are
/// not out of line.
#[derive(Clone, Copy, Debug)]
pub struct Copies(pub &'static [(&'static str, usize)]);

impl Mapper for Copies {
    fn declaration(&self) -> Declaration {
        Declaration {
            version: "1".to_owned(),
            reads: self.0.iter().map(|&(name, _)| Input::any(name)).collect(),
            outputs: self.0.iter().map(|&(name, _)| Output::copy(name, name)).collect(),
            rows: Count::One,
        }
    }

    fn bind(&mut self, _: &Relation) -> Result<()> {
        Ok(())
    }

    fn map(&self, image: &Tuple, out: &mut Rows) -> Result<Mapped> {
        for (_, at) in self.0 {
            put(out.buffer(), image.get(*at).and_then(|cell| cell.bytes()));
        }
        out.end_row();
        Ok(Mapped::Rows(1))
    }
}
