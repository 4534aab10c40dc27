//! Constants are computed when the mapping is compiled, as PostgreSQL's planner does
//! (`eval_const_expressions`). That is faster, and it decides which errors can happen: the planner
//! meets a division by zero in a branch that no row takes, and drops an operand beside a constant
//! NULL without evaluating it.

use regraft_core::TupleBuilder;

use super::expression::Resolved;
use super::is_null_constant;
use super::scope::Scope;
use crate::evaluation::expr::{Env, Expr};
use crate::front::syntax::Stop;
use crate::values::value::{Fail, Value};

pub(super) fn is_constant(expr: &Expr) -> bool {
    let mut constant = true;
    expr.walk(&mut |part| {
        constant &= !matches!(part, Expr::Column { .. } | Expr::Lateral { .. } | Expr::Stable(_));
    });
    constant
}

/// True when a constant NULL operand makes the whole NULL.
fn is_null_by_operand(expr: &Expr) -> bool {
    match expr {
        Expr::Call { strict: true, arguments, .. } | Expr::Prepared { arguments, .. } => {
            arguments.iter().any(is_null_constant)
        }
        Expr::Array { op, arguments, .. } if op.is_strict() => {
            arguments.iter().any(is_null_constant)
        }
        Expr::Compare { left, right, .. } => is_null_constant(left) || is_null_constant(right),
        Expr::Cast { operand, .. } | Expr::Not(operand) => is_null_constant(operand),
        // This the planner sees of STABLE functions too.
        Expr::Stable(call) => is_null_constant(call) || is_null_by_operand(call),
        _ => false,
    }
}

/// True when a constant operand decides an AND or OR.
fn is_decided(list: &[Expr], decisive: bool) -> bool {
    list.iter().any(|item| matches!(item, Expr::Const(Value::Bool(value)) if *value == decisive))
}

/// COALESCE, CASE and NULLIF without the parts that constants decide.
fn simplified(expr: Expr) -> Expr {
    match expr {
        Expr::Coalesce(list) => {
            let mut kept = Vec::with_capacity(list.len());
            for item in list {
                if is_null_constant(&item) {
                    continue;
                }
                let last = matches!(item, Expr::Const(_));
                kept.push(item);
                if last {
                    break;
                }
            }
            match kept.first() {
                None => Expr::Const(Value::Null),
                Some(Expr::Const(_)) => kept.remove(0),
                Some(_) => Expr::Coalesce(kept),
            }
        }
        Expr::Case { arms, mut otherwise } => {
            let mut kept = Vec::with_capacity(arms.len());
            for (when, then) in arms {
                match when {
                    Expr::Const(Value::Bool(true)) => {
                        otherwise = Some(Box::new(then));
                        break;
                    }
                    Expr::Const(_) => {}
                    when => kept.push((when, then)),
                }
            }
            match otherwise {
                Some(value) if kept.is_empty() => *value,
                otherwise => Expr::Case { arms: kept, otherwise },
            }
        }
        // What is NULL equals nothing; the other side is not asked.
        Expr::NullIf { left, right, .. } if is_null_constant(&left) || is_null_constant(&right) => {
            *left
        }
        other => other,
    }
}

impl Scope<'_> {
    /// The expression with its constant parts computed. Its operands are folded already.
    ///
    /// # Errors
    /// When computing it fails: PostgreSQL would fail for every row.
    pub(crate) fn fold(&self, resolved: Resolved) -> Result<Resolved, Stop> {
        let resolved = Resolved { expr: simplified(resolved.expr), ..resolved };
        let constant = |value| Resolved { expr: Expr::Const(value), ..resolved.clone() };
        match &resolved.expr {
            Expr::Const(_) | Expr::Column { .. } | Expr::Lateral { .. } => return Ok(resolved),
            Expr::And(list) if is_decided(list, false) => {
                return Ok(constant(Value::Bool(false)));
            }
            Expr::Or(list) if is_decided(list, true) => return Ok(constant(Value::Bool(true))),
            expr if is_null_by_operand(expr) => return Ok(constant(Value::Null)),
            expr if !is_constant(expr) => return Ok(resolved),
            _ => {}
        }
        let tuple = TupleBuilder::with_capacity(0, 0).finish();
        let env = Env { tuple: &tuple, index: &[], frame: None };
        match resolved.expr.eval(&env) {
            Ok(value) => Ok(constant(value.into_owned())),
            Err(Fail::Error { what, .. }) => {
                Err(Stop::new(resolved.at, format!("this constant expression fails: {what}"))
                    .remedy("correct it; PostgreSQL refuses it for every row"))
            }
            Err(_) => Err(super::expression::later(resolved.at, "this constant expression")),
        }
    }
}
