//! What a compiled SELECT is made of.

use regraft_core::row::{put_null, put_value};
use regraft_core::{Cell, Oid};

use crate::evaluation::expr::{Env, Expr};
use crate::evaluation::functions::set::SetFunction;
use crate::values::types::Type;
use crate::values::value::{Fail, Value};

/// The parts of a compiled SELECT.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) columns: Vec<ReadColumn>,
    /// Parts of WHERE over the table's own columns.
    pub(crate) filters: Vec<Placed>,
    pub(crate) levels: Vec<Level>,
    pub(crate) outputs: Vec<Placed>,
}

/// A column that the mapping reads.
#[derive(Clone, Debug)]
pub(crate) struct ReadColumn {
    pub(crate) name: String,
    pub(crate) oid: Oid,
    pub(crate) kind: Type,
    /// Part of the source table's key.
    pub(crate) key: bool,
}

/// A condition or an output, with its place in the file.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) expr: Expr,
    pub(crate) kind: Type,
    pub(crate) modifier: i32,
    pub(crate) place: String,
    pub(crate) reads: Reads,
    /// SQL of the literal, when it is one that is not NULL.
    pub(crate) literal: Option<String>,
}

/// One set-returning function of FROM, or VALUES.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    pub(crate) function: SetFunction,
    pub(crate) inputs: Vec<Placed>,
    pub(crate) ordinality: bool,
    pub(crate) left: bool,
    /// Number of its columns, the ordinality included.
    pub(crate) width: usize,
    /// Of the join; rows that fail it do not join.
    pub(crate) condition: Option<Placed>,
    /// Parts of WHERE that can be decided once this function's row is known.
    pub(crate) filters: Vec<Placed>,
}

/// What an expression reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) slots: Vec<usize>,
    pub(crate) levels: Vec<usize>,
}

impl Reads {
    pub(crate) fn of(expr: &Expr) -> Self {
        let mut reads = Reads::default();
        expr.walk(&mut |part| match part {
            Expr::Column { slot, .. } if !reads.slots.contains(slot) => reads.slots.push(*slot),
            Expr::Lateral { level, .. } if !reads.levels.contains(level) => {
                reads.levels.push(*level)
            }
            _ => {}
        });
        reads
    }
}

/// True when every condition is true. One that is false wins over one that fails: PostgreSQL is free
/// to ask in either order.
pub(crate) fn passes<'m>(conditions: &'m [Placed], env: &Env<'_>) -> Result<bool, (&'m str, Fail)> {
    let mut failed = None;
    for condition in conditions {
        match condition.expr.eval(env) {
            Ok(Value::Bool(true)) => {}
            Ok(_) => return Ok(false),
            Err(fail) => failed = failed.or(Some((condition.place.as_str(), fail))),
        }
    }
    failed.map_or(Ok(true), Err)
}

impl Placed {
    /// Appends the cell of an output. A plain column is copied as it came.
    pub(crate) fn write(&self, env: &Env<'_>, out: &mut Vec<u8>) -> Result<(), Fail> {
        if let Expr::Column { slot, kind } = self.expr
            && (kind == self.kind || (kind.is_textual() && self.kind.is_textual()))
        {
            match env.cell(slot)? {
                Cell::Binary(bytes) => put_value(out, bytes),
                Cell::Text(bytes) if kind.comes_as_text() => put_value(out, bytes),
                Cell::Text(_) => return Err(Fail::Wire("a value came in text format")),
                Cell::Null => put_null(out),
                Cell::Unchanged => return Err(Fail::Unchanged),
            }
            return Ok(());
        }
        self.expr.eval(env)?.encode(self.kind, out);
        Ok(())
    }
}
