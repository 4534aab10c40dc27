//! The typed form of an expression, and its evaluation.

use std::sync::Arc;

use regraft_core::{Cell, Tuple};
use smallvec::SmallVec;

use crate::evaluation::functions::array::{self, ArrayOp};
use crate::evaluation::functions::cast::Cast;
use crate::evaluation::functions::{Prepared, Run};
use crate::evaluation::order::{Compare, Element, Order, compare};
use crate::values::types::Type;
use crate::values::value::{Evaluated, Fail, Value};

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Const(Value<'static>),
    /// A column of the source; `slot` counts the columns that the mapper reads.
    Column {
        slot: usize,
        kind: Type,
    },
    /// An output of the lateral function number `level`.
    Lateral {
        level: usize,
        column: usize,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsNull {
        operand: Box<Expr>,
        negated: bool,
    },
    IsBool {
        operand: Box<Expr>,
        wanted: bool,
        negated: bool,
    },
    Compare {
        compare: Compare,
        order: Order,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Distinct {
        order: Order,
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    In {
        order: Order,
        operand: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    Case {
        arms: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Coalesce(Vec<Expr>),
    NullIf {
        order: Order,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Extreme {
        order: Order,
        list: Vec<Expr>,
        greatest: bool,
    },
    Call {
        run: Run,
        strict: bool,
        arguments: Vec<Expr>,
    },
    Prepared {
        function: Arc<dyn Prepared>,
        arguments: Vec<Expr>,
    },
    Cast {
        cast: Cast,
        operand: Box<Expr>,
    },
    /// A call that PostgreSQL's planner does not compute, though its arguments be constants, for the
    /// function is declared STABLE.
    Stable(Box<Expr>),
    Array {
        op: ArrayOp,
        element: Element,
        arguments: Vec<Expr>,
    },
}

/// The outputs of the lateral functions around an expression, innermost first.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'e> {
    pub(crate) level: usize,
    pub(crate) values: &'e [Value<'e>],
    pub(crate) outer: Option<&'e Frame<'e>>,
}

/// What an expression reads.
#[derive(Clone, Copy)]
pub(crate) struct Env<'e> {
    pub(crate) tuple: &'e Tuple,
    /// Index in the tuple for each slot.
    pub(crate) index: &'e [usize],
    pub(crate) frame: Option<&'e Frame<'e>>,
}

impl<'e> Env<'e> {
    pub(crate) fn cell(&self, slot: usize) -> Result<Cell<'e>, Fail> {
        self.index
            .get(slot)
            .and_then(|i| self.tuple.get(*i))
            .ok_or(Fail::Wire("a row has fewer columns than its relation"))
    }

    fn lateral(&self, level: usize, column: usize) -> Evaluated<'e> {
        let mut frame = self.frame;
        while let Some(found) = frame {
            if found.level == level {
                return Ok(found.values.get(column).map_or(Value::Null, Value::share));
            }
            frame = found.outer;
        }
        // Outside the function's rows: only asked when a patch is tried.
        Err(Fail::Unchanged)
    }
}

fn truth(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        _ => None,
    }
}

impl Expr {
    /// The value for one row.
    pub(crate) fn eval<'e>(&'e self, env: &Env<'e>) -> Evaluated<'e> {
        match self {
            Expr::Const(value) => Ok(value.share()),
            Expr::Column { slot, kind } => Value::decode(*kind, env.cell(*slot)?),
            Expr::Lateral { level, column } => env.lateral(*level, *column),
            Expr::And(list) => connect(list, env, false),
            Expr::Or(list) => connect(list, env, true),
            Expr::Not(operand) => Ok(match truth(&operand.eval(env)?) {
                Some(value) => Value::Bool(!value),
                None => Value::Null,
            }),
            Expr::IsNull { operand, negated } => is_null(operand, *negated, env),
            Expr::IsBool { operand, wanted, negated } => {
                let found = truth(&operand.eval(env)?) == Some(*wanted);
                Ok(Value::Bool(found != *negated))
            }
            Expr::Compare { compare: asked, order, left, right } => {
                let (left, right) = (left.eval(env)?, right.eval(env)?);
                if left.is_null() || right.is_null() {
                    return Ok(Value::Null);
                }
                Ok(Value::Bool(asked.holds(compare(order, &left, &right)?)))
            }
            Expr::Distinct { order, left, right, negated } => {
                let (left, right) = (left.eval(env)?, right.eval(env)?);
                let distinct = match (left.is_null(), right.is_null()) {
                    (true, true) => false,
                    (false, false) => compare(order, &left, &right)?.is_ne(),
                    _ => true,
                };
                Ok(Value::Bool(distinct != *negated))
            }
            Expr::In { order, operand, list, negated } => {
                in_list(order, operand, list, *negated, env)
            }
            Expr::Call { run, strict, arguments } => call(run, *strict, arguments, env),
            Expr::Prepared { function, arguments } => {
                call(|values: &mut [Value<'e>]| function.run(values), true, arguments, env)
            }
            Expr::Cast { cast, operand } => {
                let value = operand.eval(env)?;
                if value.is_null() { Ok(value) } else { cast.apply(value) }
            }
            Expr::Stable(call) => call.eval(env),
            Expr::Array { op, element, arguments } => {
                let mut values: SmallVec<[Value<'e>; 4]> = SmallVec::new();
                for argument in arguments {
                    values.push(argument.eval(env)?);
                    // What is taken from an array that is NULL is not looked at.
                    let taken = matches!(op, ArrayOp::Subscript | ArrayOp::Slice(_));
                    if taken && values[0].is_null() {
                        return Ok(Value::Null);
                    }
                }
                array::run(op, element, &mut values)
            }
            _ => self.eval_choice(env),
        }
    }

    /// CASE and its relatives.
    fn eval_choice<'e>(&'e self, env: &Env<'e>) -> Evaluated<'e> {
        match self {
            Expr::Case { arms, otherwise } => {
                for (when, then) in arms {
                    if truth(&when.eval(env)?) == Some(true) {
                        return then.eval(env);
                    }
                }
                otherwise.as_ref().map_or(Ok(Value::Null), |value| value.eval(env))
            }
            Expr::Coalesce(list) => {
                for item in list {
                    let value = item.eval(env)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Value::Null)
            }
            Expr::NullIf { order, left, right } => {
                let (left, right) = (left.eval(env)?, right.eval(env)?);
                let compared = !left.is_null() && !right.is_null();
                if compared && compare(order, &left, &right)?.is_eq() {
                    return Ok(Value::Null);
                }
                Ok(left)
            }
            Expr::Extreme { order, list, greatest } => {
                let mut best = Value::Null;
                for item in list {
                    let value = item.eval(env)?;
                    if value.is_null() {
                        continue;
                    }
                    let better = best.is_null() || {
                        let found = compare(order, &value, &best)?;
                        if *greatest { found.is_gt() } else { found.is_lt() }
                    };
                    if better {
                        best = value;
                    }
                }
                Ok(best)
            }
            _ => Err(Fail::Wire("an expression of an unknown kind")),
        }
    }

    /// Calls `visit` for this expression and everything in it.
    pub(crate) fn walk(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(self);
        match self {
            Expr::Const(_) | Expr::Column { .. } | Expr::Lateral { .. } => {}
            Expr::And(list) | Expr::Or(list) | Expr::Coalesce(list) => {
                list.iter().for_each(|e| e.walk(visit));
            }
            Expr::Extreme { list, .. }
            | Expr::Call { arguments: list, .. }
            | Expr::Prepared { arguments: list, .. }
            | Expr::Array { arguments: list, .. } => {
                list.iter().for_each(|e| e.walk(visit));
            }
            Expr::Not(operand)
            | Expr::IsNull { operand, .. }
            | Expr::IsBool { operand, .. }
            | Expr::Cast { operand, .. }
            | Expr::Stable(operand) => operand.walk(visit),
            Expr::Compare { left, right, .. }
            | Expr::Distinct { left, right, .. }
            | Expr::NullIf { left, right, .. } => {
                left.walk(visit);
                right.walk(visit);
            }
            Expr::In { operand, list, .. } => {
                operand.walk(visit);
                list.iter().for_each(|e| e.walk(visit));
            }
            Expr::Case { arms, otherwise } => {
                for (when, then) in arms {
                    when.walk(visit);
                    then.walk(visit);
                }
                otherwise.iter().for_each(|e| e.walk(visit));
            }
        }
    }
}

/// AND (`decisive` false) and OR (`decisive` true): the decisive value wins even beside a value that
/// the stream did not carry, and NULL counts only when nothing decides.
fn connect<'e>(list: &'e [Expr], env: &Env<'e>, decisive: bool) -> Evaluated<'e> {
    let (mut null, mut unchanged) = (false, false);
    for item in list {
        match item.eval(env) {
            Ok(value) => match truth(&value) {
                Some(value) if value == decisive => return Ok(Value::Bool(decisive)),
                Some(_) => {}
                None => null = true,
            },
            Err(Fail::Unchanged) => unchanged = true,
            Err(other) => return Err(if unchanged { Fail::Unchanged } else { other }),
        }
    }
    if unchanged {
        Err(Fail::Unchanged)
    } else if null {
        Ok(Value::Null)
    } else {
        Ok(Value::Bool(!decisive))
    }
}

fn is_null<'e>(operand: &'e Expr, negated: bool, env: &Env<'e>) -> Evaluated<'e> {
    let null = match operand {
        // An unchanged value is not NULL, whatever it is; and a value need not be read for this.
        Expr::Column { slot, .. } => env.cell(*slot)? == Cell::Null,
        _ => operand.eval(env)?.is_null(),
    };
    Ok(Value::Bool(null != negated))
}

fn in_list<'e>(
    order: &Order,
    operand: &'e Expr,
    list: &'e [Expr],
    negated: bool,
    env: &Env<'e>,
) -> Evaluated<'e> {
    let value = operand.eval(env)?;
    let mut null = value.is_null();
    for item in list {
        // Evaluated beside a NULL too: it may fail.
        let item = item.eval(env)?;
        if value.is_null() || item.is_null() {
            null = true;
        } else if compare(order, &value, &item)?.is_eq() {
            return Ok(Value::Bool(!negated));
        }
    }
    Ok(if null { Value::Null } else { Value::Bool(negated) })
}

fn call<'e>(
    run: impl Fn(&mut [Value<'e>]) -> Evaluated<'e>,
    strict: bool,
    arguments: &'e [Expr],
    env: &Env<'e>,
) -> Evaluated<'e> {
    let mut values: SmallVec<[Value<'e>; 4]> = SmallVec::new();
    for argument in arguments {
        values.push(argument.eval(env)?);
    }
    // Only now: an argument that fails does so beside a NULL too.
    if strict && values.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    run(&mut values)
}
