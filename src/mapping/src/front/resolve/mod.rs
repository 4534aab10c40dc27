//! From names and untyped text to typed expressions, by PostgreSQL's rules.

mod arrays;
mod conversion;
mod documents;
mod expression;
mod fold;
mod operators;
mod regex;
mod scope;
mod sets;
mod variadic;

use regraft_core::sql::{literal, quote};
use regraft_core::{Code, Error};

use crate::evaluation::expr::Expr;
use crate::evaluation::mapper::CompiledMapper;
use crate::evaluation::plan::{Level, Placed, Plan, Reads};
use crate::front::statement::Statement;
use crate::front::syntax::ast::{Ast, Item, Lateral, Node, Select};
use crate::front::syntax::select::select;
use crate::front::syntax::{Stop, line_and_column};
use crate::values::types::{Settings, SourceTable, Type};
use crate::values::value::Value;

pub(crate) use expression::Resolved;
use scope::Scope;

/// Why a SELECT cannot be streamed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Line in the file, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// One sentence without a full stop.
    pub message: String,
    /// What to do instead.
    pub remedy: String,
}

impl Refusal {
    /// The refusal as an error about `file`.
    pub fn to_error(&self, file: &str) -> Error {
        Error::new(Code::NotStreamable, self.message.clone())
            .at(format!("{file}:{}:{}", self.line, self.column))
            .remedy(self.remedy.clone())
    }
}

const REMEDY: &str = "write it with columns, literals, casts, operators and functions that can be streamed, \
                      or compute it in the target";

/// Compiles the SELECT of a statement over `table`.
///
/// # Errors
/// A [`Refusal`] with line and column when some part of it is not certain to give what PostgreSQL
/// gives, or is wrong.
pub fn compile(
    statement: &Statement,
    table: &SourceTable,
    settings: &Settings,
) -> Result<CompiledMapper, Refusal> {
    let plan = plan(statement, table, settings)?;
    let names = statement.columns().unwrap_or_default().to_vec();
    Ok(CompiledMapper::new(plan, table, statement.place(), statement.fingerprint(), names))
}

fn plan(statement: &Statement, table: &SourceTable, settings: &Settings) -> Result<Plan, Refusal> {
    let resolved = select(statement.select_tokens()).and_then(|select| {
        Planner { statement, scope: Scope::new(table, settings, &select)? }.plan(&select)
    });
    resolved.map_err(|stop| {
        let (line, column) = line_and_column(statement.text(), stop.at);
        let remedy = stop.remedy.unwrap_or_else(|| REMEDY.to_owned());
        Refusal { line, column, message: stop.message, remedy }
    })
}

struct Planner<'a> {
    statement: &'a Statement,
    scope: Scope<'a>,
}

impl Planner<'_> {
    fn plan(mut self, select: &Select) -> Result<Plan, Stop> {
        let mut levels = Vec::new();
        for lateral in &select.laterals {
            levels.push(self.level(lateral)?);
        }
        let mut filters = Vec::new();
        if let Some(node) = &select.filter {
            let mut parts = Vec::new();
            conjuncts(node, &mut parts);
            for part in parts {
                let placed = self.condition(part)?;
                match placed.reads.levels.iter().max() {
                    // Of LEFT JOINs too: WHERE sees the row that the join made.
                    Some(level) => levels[*level].filters.push(placed),
                    None => filters.push(placed),
                }
            }
        }
        let mut outputs = Vec::new();
        for item in &select.items {
            self.outputs(item, &mut outputs)?;
        }
        Ok(Plan { columns: self.scope.columns, filters, levels, outputs })
    }

    fn place(&self, at: usize) -> String {
        let (line, column) = line_and_column(self.statement.text(), at);
        format!("{}:{line}:{column}", self.statement.file())
    }

    fn placed(&self, resolved: Resolved, literal: Option<String>) -> Placed {
        Placed {
            reads: Reads::of(&resolved.expr),
            // A literal that nothing gave a type is text.
            kind: resolved.kind.unwrap_or(Type::Text),
            modifier: resolved.modifier,
            place: self.place(resolved.at),
            expr: resolved.expr,
            literal,
        }
    }

    fn condition(&mut self, node: &Node) -> Result<Placed, Stop> {
        let resolved = self.scope.resolve_as(node, Type::Bool, "WHERE and ON")?;
        Ok(self.placed(resolved, None))
    }

    fn level(&mut self, lateral: &Lateral) -> Result<Level, Stop> {
        let at = lateral.at;
        let (function, inputs, mut columns) = match &lateral.values {
            Some(rows) => self.scope.values(rows, lateral.explicit, at)?,
            None => {
                let mut arguments = Vec::new();
                for node in &lateral.arguments {
                    arguments.push(self.scope.resolve(node)?);
                }
                self.scope.set_function(&lateral.function, arguments, at)?
            }
        };
        let inputs = inputs.into_iter().map(|input| self.placed(input, None)).collect();
        let scalar = columns.len() == 1 && !lateral.ordinality && lateral.values.is_none();
        let alias = lateral.alias.clone().unwrap_or_else(|| lateral.function.clone());
        if columns.len() == 1 && columns[0].0.is_empty() {
            columns[0].0 = alias.clone();
        }
        if lateral.ordinality {
            columns.push(("ordinality".to_owned(), Type::Int8));
        }
        if lateral.columns.len() > columns.len() {
            let message = format!("{} has only {} columns", quote(&alias), columns.len());
            return Err(Stop::new(lateral.at, message).remedy("name fewer columns"));
        }
        for (column, name) in columns.iter_mut().zip(&lateral.columns) {
            column.0.clone_from(name);
        }
        let width = columns.len();
        self.scope.add_level(alias, columns, scalar, lateral.at)?;
        let condition = match &lateral.condition {
            Some(node) => Some(self.condition(node)?),
            None => None,
        };
        Ok(Level {
            function,
            inputs,
            ordinality: lateral.ordinality,
            left: lateral.left,
            width,
            condition,
            filters: Vec::new(),
        })
    }

    fn outputs(&mut self, item: &Item, outputs: &mut Vec<Placed>) -> Result<(), Stop> {
        match item {
            Item::Star { at, of } => {
                for resolved in self.scope.star(*at, of.as_deref())? {
                    outputs.push(self.placed(resolved, None));
                }
            }
            Item::Expression(node) => {
                let resolved = self.scope.resolve(node)?;
                let literal = literal_sql(node);
                outputs.push(self.placed(resolved, literal));
            }
        }
        Ok(())
    }
}

/// The parts of a condition that all have to be true.
fn conjuncts<'n>(node: &'n Node, parts: &mut Vec<&'n Node>) {
    match &node.kind {
        Ast::And(left, right) => {
            conjuncts(left, parts);
            conjuncts(right, parts);
        }
        _ => parts.push(node),
    }
}

/// SQL of a literal that is not NULL.
fn literal_sql(node: &Node) -> Option<String> {
    match &node.kind {
        Ast::Text(text) => Some(literal(text).trim_start().to_owned()),
        Ast::Number(number) => Some(number.clone()),
        Ast::Bool(value) => Some(if *value { "TRUE" } else { "FALSE" }.to_owned()),
        Ast::Unary("-", operand) => match &operand.kind {
            Ast::Number(number) => Some(format!("-{number}")),
            _ => None,
        },
        Ast::Cast(operand, type_ref) if type_ref.modifiers.is_empty() && !type_ref.array => {
            let inner = literal_sql(operand)?;
            let schema = type_ref.schema.as_deref().map(|s| format!("{}.", quote(s)));
            let name = quote(&type_ref.name);
            Some(format!("CAST({inner} AS {}{name})", schema.unwrap_or_default()))
        }
        _ => None,
    }
}

/// A constant that is NULL, or `None`.
pub(crate) fn is_null_constant(expr: &Expr) -> bool {
    matches!(expr, Expr::Const(Value::Null))
}
