//! The compiled SELECT: from a row image to output rows.

use regraft_core::mapper::{Count, Input, Output};
use regraft_core::{
    Cell, Code, Declaration, Error, Mapped, Mapper, Oid, Relation, Result, Rows, TableName, Tuple,
};
use smallvec::SmallVec;

use crate::evaluation::expr::{Env, Expr, Frame};
use crate::evaluation::functions::set::SetFunction;
use crate::evaluation::plan::{Placed, Plan, ReadColumn, passes};
use crate::values::types::{SourceTable, TypeNames, type_name};
use crate::values::value::{Fail, Value};

/// A SELECT over one table, compiled: see [`crate::compile()`].
#[derive(Clone, Debug)]
pub struct CompiledMapper {
    table: TableName,
    types: TypeNames,
    place: String,
    plan: Plan,
    /// For each column that is read, its index in the images to come.
    index: Vec<usize>,
    version: String,
    /// Target columns, if the statement lists them.
    names: Vec<String>,
}

impl CompiledMapper {
    /// What runs `plan`, which was made of the statement at `place` over `table`. `version` tells it from
    /// others, and `names` are the target columns that the statement lists.
    pub(crate) fn new(
        plan: Plan,
        table: &SourceTable,
        place: String,
        version: String,
        names: Vec<String>,
    ) -> Self {
        let place_of = |read: &ReadColumn| table.columns.iter().position(|c| c.name == read.name);
        let index = plan.columns.iter().map(|read| place_of(read).unwrap_or(0)).collect();
        let (table, types) = (table.name.clone(), table.types.clone());
        Self { table, types, place, plan, index, version, names }
    }

    /// The type of each output column as PostgreSQL describes it (a domain as what it is based on).
    /// To be compared with what the source says when it prepares the SELECT.
    pub fn output_types(&self) -> Vec<Oid> {
        self.plan.outputs.iter().map(|output| output.kind.oid()).collect()
    }

    /// The type modifier of each output column; -1 for none.
    pub fn output_modifiers(&self) -> Vec<i32> {
        self.plan.outputs.iter().map(|output| output.modifier).collect()
    }

    /// The source column that an output copies.
    fn copied(&self, output: &Placed) -> Option<&ReadColumn> {
        match output.expr {
            Expr::Column { slot, .. } => {
                self.plan.columns.get(slot).filter(|c| c.kind == output.kind)
            }
            _ => None,
        }
    }

    /// Outputs that are literals other than NULL: the output's index and the literal's SQL.
    pub fn constants(&self) -> Vec<(usize, String)> {
        let literal = |(i, output): (usize, &Placed)| Some((i, output.literal.clone()?));
        self.plan.outputs.iter().enumerate().filter_map(literal).collect()
    }

    /// The error for a failed expression at `place`. It holds no values of the row.
    fn error(&self, place: &str, fail: Fail) -> Error {
        match fail {
            Fail::Error { state, what } => {
                Error::new(Code::ExpressionFailed, format!("{what} ({state})")).at(place).remedy(
                    format!(
                        "correct the row of {} in the source, or the expression in the mapping",
                        self.table
                    ),
                )
            }
            Fail::Wire(what) => {
                Error::new(Code::Protocol, what).at(format!("{place}, {}", self.table))
            }
            // Both are turned into Read before they get here.
            Fail::Unchanged | Fail::Doubt => {
                Error::new(Code::Internal, "an undecided expression was taken as an error")
                    .at(place)
            }
        }
    }

    fn finish(&self, outcome: Outcome<'_>, mapped: Mapped) -> Result<Mapped> {
        match outcome {
            Ok(()) => Ok(mapped),
            Err((_, Fail::Unchanged | Fail::Doubt)) => Ok(Mapped::Read),
            Err((place, fail)) => Err(self.error(place, fail)),
        }
    }

    /// Appends the rows of one image.
    fn rows<'m>(&'m self, env: &Env<'_>, out: &mut Rows) -> Outcome<'m> {
        if !passes(&self.plan.filters, env)? {
            return Ok(());
        }
        self.level(0, env, out)
    }

    /// Runs lateral function number `number` and all further ones, or writes the row when there are
    /// no more.
    fn level<'m>(&'m self, number: usize, env: &Env<'_>, out: &mut Rows) -> Outcome<'m> {
        let Some(level) = self.plan.levels.get(number) else { return self.row(env, out) };
        let mut inputs: SmallVec<[Value<'_>; 4]> = SmallVec::new();
        for input in &level.inputs {
            inputs.push(input.expr.eval(env).map_err(|fail| {
                // PostgreSQL may pull VALUES up, and need not compute what nobody reads.
                let fail = match (&level.function, fail) {
                    (SetFunction::Values(_), Fail::Error { .. }) => Fail::Doubt,
                    (_, fail) => fail,
                };
                (input.place.as_str(), fail)
            })?);
        }
        let place = level.inputs.first().map_or("", |input| input.place.as_str());
        let mut matched = false;
        // The place of a failure inside the rows; the iteration itself carries only the failure.
        let mut inner: Option<&'m str> = None;
        let mut ordinal = 0;
        let result = level.function.each(&inputs, &mut |columns: &[Value<'_>]| {
            ordinal += 1;
            let mut values: SmallVec<[Value<'_>; 4]> = columns.iter().map(Value::share).collect();
            if level.ordinality {
                values.push(Value::Int(ordinal));
            }
            let frame = Frame { level: number, values: &values, outer: env.frame };
            let inside = Env { frame: Some(&frame), ..*env };
            let mut step = || -> Outcome<'m> {
                if let Some(condition) = &level.condition
                    && !passes(std::slice::from_ref(condition), &inside)?
                {
                    return Ok(());
                }
                matched = true;
                if passes(&level.filters, &inside)? {
                    self.level(number + 1, &inside, out)?;
                }
                Ok(())
            };
            step().map_err(|(place, fail)| {
                inner = Some(place);
                fail
            })
        });
        result.map_err(|fail| (inner.unwrap_or(place), fail))?;
        if level.left && !matched {
            let values: SmallVec<[Value<'_>; 4]> =
                std::iter::repeat_n(Value::Null, level.width).collect();
            let frame = Frame { level: number, values: &values, outer: env.frame };
            let inside = Env { frame: Some(&frame), ..*env };
            if passes(&level.filters, &inside)? {
                self.level(number + 1, &inside, out)?;
            }
        }
        Ok(())
    }

    fn row<'m>(&'m self, env: &Env<'_>, out: &mut Rows) -> Outcome<'m> {
        for output in &self.plan.outputs {
            output.write(env, out.buffer()).map_err(|fail| (output.place.as_str(), fail))?;
        }
        out.end_row();
        Ok(())
    }

    /// True when some column that the mapping reads came without its value.
    fn lacks(&self, image: &Tuple) -> bool {
        image.has_unchanged() && self.index.iter().any(|i| image.get(*i) == Some(Cell::Unchanged))
    }
}

/// A step that may fail, with the place of the expression that did.
pub(crate) type Outcome<'m> = Result<(), (&'m str, Fail)>;

impl Mapper for CompiledMapper {
    fn declaration(&self) -> Declaration {
        let output = |(at, output): (usize, &Placed)| {
            let copied = self.copied(output).map(|column| &column.name);
            // What PostgreSQL calls a column without a name.
            let name = self.names.get(at).or(copied).map_or("?column?", String::as_str);
            match copied {
                Some(column) => Output::copy(name, column),
                None => Output::made(name, output.kind.oid()),
            }
        };
        Declaration {
            version: self.version.clone(),
            reads: self.plan.columns.iter().map(|c| Input::of(&c.name, c.oid)).collect(),
            outputs: self.plan.outputs.iter().enumerate().map(output).collect(),
            rows: match (self.plan.levels.is_empty(), self.plan.filters.is_empty()) {
                (true, true) => Count::One,
                (true, false) => Count::AtMostOne,
                (false, _) => Count::Any,
            },
        }
    }

    fn bind(&mut self, relation: &Relation) -> Result<()> {
        let table = &self.table;
        let changed = |what: String| {
            Error::new(Code::ShapeChanged, what).at(self.place.clone()).remedy(format!(
                "change the mapping to the table's new shape, then start again: with \
                     --accept-mapping if rows of the target stay as they are (a renamed column), \
                     else with --recopy {table}"
            ))
        };
        let mut index = Vec::with_capacity(self.plan.columns.len());
        for column in &self.plan.columns {
            let Some(found) = relation.column(&column.name) else {
                return Err(changed(format!(
                    "the change stream has no column \"{}\" of {table} any more, which the mapping \
                     reads: it was dropped or renamed, is generated, or is not published",
                    column.name
                )));
            };
            let now = relation.columns[found].type_oid;
            if now != column.oid {
                return Err(changed(format!(
                    "column \"{}\" of {table} had the type {} and now has {}",
                    column.name,
                    type_name(column.oid, &self.types),
                    type_name(now, &self.types),
                )));
            }
            index.push(found);
        }
        self.index = index;
        Ok(())
    }

    fn map(&self, image: &Tuple, out: &mut Rows) -> Result<Mapped> {
        let env = Env { tuple: image, index: &self.index, frame: None };
        let before = out.len();
        let outcome = self.rows(&env, out);
        if outcome.is_err() {
            out.truncate(before);
            if self.lacks(image) {
                return Ok(self.plan.partial(&env));
            }
        }
        let count = out.len() - before;
        self.finish(outcome, Mapped::Rows(count))
    }
}
