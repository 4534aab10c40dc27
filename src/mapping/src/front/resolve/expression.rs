//! Expressions: each kind of node to its typed form.

use regraft_core::sql::quote;

use super::scope::Scope;
use crate::evaluation::expr::Expr;
use crate::evaluation::functions;
use crate::evaluation::functions::cast::Cast;
use crate::evaluation::order::Compare;
use crate::front::syntax::Stop;
use crate::front::syntax::ast::{Ast, Node, Test, TypeRef};
pub(crate) use crate::front::syntax::parser::later;
use crate::front::syntax::parser::volatile;
use crate::values::numeric::Numeric;
use crate::values::types::{Type, TypeKind};
use crate::values::value::Value;

/// A typed expression.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) expr: Expr,
    /// `None` for a string literal or NULL that nothing has given a type yet.
    pub(crate) kind: Option<Type>,
    /// Type modifier, -1 for none.
    pub(crate) modifier: i32,
    pub(crate) at: usize,
}

impl Resolved {
    pub(crate) fn new(expr: Expr, kind: Type, at: usize) -> Self {
        Self { expr, kind: Some(kind), modifier: -1, at }
    }

    fn unknown(value: Value<'static>, at: usize) -> Self {
        Self { expr: Expr::Const(value), kind: None, modifier: -1, at }
    }
}

type Found = Result<Resolved, Stop>;

impl Scope<'_> {
    pub(crate) fn type_name(&self, kind: Option<Type>) -> String {
        kind.map_or_else(|| "unknown".to_owned(), |kind| kind.name(&self.table.types))
    }

    pub(crate) fn resolve(&mut self, node: &Node) -> Found {
        let resolved = self.resolve_node(node)?;
        self.fold(resolved)
    }

    fn resolve_node(&mut self, node: &Node) -> Found {
        let at = node.at;
        match &node.kind {
            Ast::Column(parts) => self.column(parts, at),
            Ast::Text(text) => Ok(Resolved::unknown(Value::text(text.clone()), at)),
            Ast::Null => Ok(Resolved::unknown(Value::Null, at)),
            Ast::Bool(value) => Ok(Resolved::new(Expr::Const(Value::Bool(*value)), Type::Bool, at)),
            Ast::Number(number) => number_literal(number, at),
            Ast::Unary(sign, operand) => self.sign(sign, operand, at),
            Ast::Binary(operator, left, right) => {
                let left = self.resolve(left)?;
                let right = self.resolve(right)?;
                self.binary(operator, left, right, at)
            }
            Ast::And(..) | Ast::Or(..) => {
                let mut list = Vec::new();
                self.connected(node, matches!(node.kind, Ast::And(..)), &mut list)?;
                let expr = if matches!(node.kind, Ast::And(..)) {
                    Expr::And(list)
                } else {
                    Expr::Or(list)
                };
                Ok(Resolved::new(expr, Type::Bool, at))
            }
            Ast::Not(operand) => {
                let operand = self.resolve_as(operand, Type::Bool, "NOT")?;
                Ok(Resolved::new(Expr::Not(Box::new(operand.expr)), Type::Bool, at))
            }
            Ast::Is { operand, test, negated } => self.is(operand, *test, *negated, at),
            Ast::Distinct { left, right, negated } => {
                let left = self.resolve(left)?;
                let right = self.resolve(right)?;
                let pair = self.comparable(left, right, Compare::Equal, at)?;
                let expr = Expr::Distinct {
                    order: pair.order,
                    left: Box::new(pair.left.expr),
                    right: Box::new(pair.right.expr),
                    negated: *negated,
                };
                Ok(Resolved::new(expr, Type::Bool, at))
            }
            Ast::In { operand, list, negated } => self.in_list(operand, list, *negated, at),
            Ast::Between { operand, low, high, symmetric } => {
                self.between(operand, low, high, *symmetric, at)
            }
            Ast::Like { operand, pattern, escape, insensitive } => {
                self.like(operand, pattern, escape.as_deref(), *insensitive, at)
            }
            Ast::Similar { operand, pattern, escape } => {
                self.similar(operand, pattern, escape.as_deref(), at)
            }
            Ast::Array(items) => self.array(items, None, at),
            Ast::Subscript(base, indexes) => self.subscript(base, indexes, at),
            Ast::Quantified { left, operator, right, all } => {
                let left = self.resolve(left)?;
                let right = self.resolve(right)?;
                let Some(compare) = super::operators::comparison(operator) else {
                    return Err(later(at, &format!("{operator} with ANY or ALL")));
                };
                self.quantified(left, compare, right, *all, at)
            }
            Ast::Cast(operand, type_ref) => {
                if let (Ast::Array(items), true) = (&operand.kind, type_ref.array) {
                    let (kind, _) = self.type_of(type_ref)?;
                    return self.array(items, Some(kind), at);
                }
                let operand = self.resolve(operand)?;
                let (kind, modifier) = self.type_of(type_ref)?;
                self.explicit_cast(operand, kind, modifier, at)
            }
            Ast::Case { operand, arms, otherwise } => {
                self.case(operand.as_deref(), arms, otherwise.as_deref(), at)
            }
            Ast::Call(name, arguments) => self.call(name, arguments, at),
        }
    }

    /// An expression that has to be of a type, as the operand of `what`.
    pub(crate) fn resolve_as(&mut self, node: &Node, kind: Type, what: &str) -> Found {
        let resolved = self.resolve(node)?;
        match resolved.kind {
            None => self.literal_as(resolved, kind),
            Some(found) if found == kind => Ok(resolved),
            Some(found) => {
                let message = format!(
                    "{what} needs {}, but this is {}",
                    self.type_name(Some(kind)),
                    self.type_name(Some(found))
                );
                Err(Stop::new(node.at, message))
            }
        }
    }

    fn connected(&mut self, node: &Node, and: bool, list: &mut Vec<Expr>) -> Result<(), Stop> {
        match &node.kind {
            Ast::And(left, right) if and => {
                self.connected(left, and, list)?;
                self.connected(right, and, list)
            }
            Ast::Or(left, right) if !and => {
                self.connected(left, and, list)?;
                self.connected(right, and, list)
            }
            _ => {
                list.push(self.resolve_as(node, Type::Bool, if and { "AND" } else { "OR" })?.expr);
                Ok(())
            }
        }
    }

    fn sign(&mut self, sign: &str, operand: &Node, at: usize) -> Found {
        if let (Ast::Number(number), "-") = (&operand.kind, sign) {
            return number_literal(&format!("-{number}"), at);
        }
        let operand = self.resolve(operand)?;
        let Some(kind) = operand.kind else { return Err(later(at, "a sign before a string")) };
        if sign == "~" {
            if !kind.is_integer() {
                return Err(self.no_operator("~", None, Some(kind), at));
            }
            let run = functions::number::inverted;
            let expr = Expr::Call { run, strict: true, arguments: vec![operand.expr] };
            return Ok(Resolved::new(expr, kind, at));
        }
        if sign == "+" {
            let number =
                kind.is_integer() || matches!(kind, Type::Numeric | Type::Float4 | Type::Float8);
            return if number {
                Ok(Resolved { at, modifier: -1, ..operand })
            } else {
                Err(self.no_operator("+", None, Some(kind), at))
            };
        }
        let run = match kind {
            Type::Interval => Some(functions::calendar::negated as functions::Run),
            _ => functions::number::negation(kind),
        };
        let Some(run) = run else {
            return Err(self.no_operator("-", None, Some(kind), at));
        };
        let expr = Expr::Call { run, strict: true, arguments: vec![operand.expr] };
        Ok(Resolved::new(expr, kind, at))
    }

    fn is(&mut self, operand: &Node, test: Test, negated: bool, at: usize) -> Found {
        let expr = match test {
            Test::Null => {
                let resolved = self.resolve(operand)?;
                if !resolved.kind.is_none_or(|kind| kind.is_scalar(&self.table.types)) {
                    return Err(later(at, "IS NULL of a row type"));
                }
                Expr::IsNull { operand: Box::new(resolved.expr), negated }
            }
            Test::Unknown => {
                let resolved = self.resolve_as(operand, Type::Bool, "IS UNKNOWN")?;
                Expr::IsNull { operand: Box::new(resolved.expr), negated }
            }
            Test::True | Test::False => {
                let resolved = self.resolve_as(operand, Type::Bool, "IS TRUE and IS FALSE")?;
                let operand = Box::new(resolved.expr);
                Expr::IsBool { operand, wanted: test == Test::True, negated }
            }
        };
        Ok(Resolved::new(expr, Type::Bool, at))
    }

    /// As `transformAExprIn`: two and more constants are one array of their common type, every other
    /// item is a comparison of its own.
    fn in_list(&mut self, operand: &Node, list: &[Node], negated: bool, at: usize) -> Found {
        let operand = self.resolve(operand)?;
        let mut items = Vec::new();
        for node in list {
            items.push(self.resolve(node)?);
        }
        let is_constant = |item: &Resolved| matches!(item.expr, Expr::Const(_));
        let mut parts = Vec::new();
        if items.iter().filter(|item| is_constant(item)).count() > 1 {
            let mut all = vec![operand.clone()];
            let constants;
            (constants, items) = items.into_iter().partition(is_constant);
            all.extend(constants);
            let (mut all, kind) = self.unify(all, "IN", at)?;
            let operand = all.remove(0);
            let order = self.order(kind, Compare::Equal, &operand, at)?;
            let expr = Expr::In {
                order,
                operand: Box::new(operand.expr),
                list: all.into_iter().map(|item| item.expr).collect(),
                negated: false,
            };
            parts.push(self.fold(Resolved::new(expr, Type::Bool, at))?.expr);
        }
        for item in items {
            parts.push(self.compare(Compare::Equal, operand.clone(), item, at)?.expr);
        }
        let any = self.fold(Resolved::new(Expr::Or(parts), Type::Bool, at))?.expr;
        let expr = if negated { Expr::Not(Box::new(any)) } else { any };
        Ok(Resolved::new(expr, Type::Bool, at))
    }

    fn between(
        &mut self,
        operand: &Node,
        low: &Node,
        high: &Node,
        symmetric: bool,
        at: usize,
    ) -> Found {
        let value = self.resolve(operand)?;
        let low = self.resolve(low)?;
        let high = self.resolve(high)?;
        let mut within = |low: Resolved, high: Resolved| -> Found {
            let above = self.compare(Compare::GreaterEqual, value.clone(), low, at)?;
            let below = self.compare(Compare::LessEqual, value.clone(), high, at)?;
            Ok(Resolved::new(Expr::And(vec![above.expr, below.expr]), Type::Bool, at))
        };
        if !symmetric {
            return within(low, high);
        }
        let (up, down) = (within(low.clone(), high.clone())?, within(high, low)?);
        let (up, down) = (self.fold(up)?, self.fold(down)?);
        Ok(Resolved::new(Expr::Or(vec![up.expr, down.expr]), Type::Bool, at))
    }

    fn case(
        &mut self,
        operand: Option<&Node>,
        arms: &[(Node, Node)],
        otherwise: Option<&Node>,
        at: usize,
    ) -> Found {
        let operand = match operand {
            Some(node) => {
                let resolved = self.resolve(node)?;
                // An untyped literal is text here, whatever it is compared with.
                Some(match resolved.kind {
                    None => self.literal_as(resolved, Type::Text)?,
                    Some(_) => resolved,
                })
            }
            None => None,
        };
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        // PostgreSQL asks ELSE first when it looks for the common type.
        let default = match otherwise {
            Some(node) => self.resolve(node)?,
            None => Resolved::unknown(Value::Null, at),
        };
        values.push(default);
        for (when, then) in arms {
            conditions.push(match &operand {
                Some(operand) => {
                    let when_value = self.resolve(when)?;
                    self.compare(Compare::Equal, operand.clone(), when_value, when.at)?.expr
                }
                None => self.resolve_as(when, Type::Bool, "CASE WHEN")?.expr,
            });
            values.push(self.resolve(then)?);
        }
        let (mut values, kind) = self.unify(values, "CASE", at)?;
        let modifier = common_modifier(&values);
        let default = values.remove(0);
        let expr = Expr::Case {
            arms: conditions.into_iter().zip(values.into_iter().map(|value| value.expr)).collect(),
            otherwise: Some(Box::new(default.expr)),
        };
        Ok(Resolved { modifier, ..Resolved::new(expr, kind, at) })
    }

    fn call(&mut self, name: &str, arguments: &[Node], at: usize) -> Found {
        refuse_kind(name, at)?;
        let mut list = Vec::new();
        for node in arguments {
            list.push(self.resolve(node)?);
        }
        match (name, list.len()) {
            ("coalesce", 1..) => {
                let (list, kind) = self.unify(list, "COALESCE", at)?;
                let modifier = common_modifier(&list);
                let expr = Expr::Coalesce(list.into_iter().map(|item| item.expr).collect());
                Ok(Resolved { modifier, ..Resolved::new(expr, kind, at) })
            }
            ("greatest" | "least", 1..) => self.extreme(name == "greatest", list, at),
            ("nullif", 2) => {
                let right = list.remove(1);
                let left = list.remove(0);
                // PostgreSQL compares a date with a timestamp as they are, and gives the first one.
                let moment = |kind: Option<Type>| {
                    matches!(kind, Some(Type::Date | Type::Timestamp | Type::Timestamptz))
                };
                if moment(left.kind) && moment(right.kind) && left.kind != right.kind {
                    return Err(later(at, "NULLIF of a date and a timestamp"));
                }
                let pair = self.comparable(left, right, Compare::Equal, at)?;
                let (kind, modifier) = (pair.left.kind, pair.left.modifier);
                let expr = Expr::NullIf {
                    order: pair.order,
                    left: Box::new(pair.left.expr),
                    right: Box::new(pair.right.expr),
                };
                Ok(Resolved { expr, kind, modifier, at })
            }
            _ => match self.array_function(name, list, at) {
                Ok(found) => found,
                Err(list) => self.function(name, list, at),
            },
        }
    }

    fn extreme(&mut self, greatest: bool, list: Vec<Resolved>, at: usize) -> Found {
        let what = if greatest { "GREATEST" } else { "LEAST" };
        let (list, kind) = self.unify(list, what, at)?;
        let order = self.order(kind, Compare::Less, &list[0], at)?;
        for item in &list {
            self.order(kind, Compare::Less, item, at)?;
        }
        let modifier = common_modifier(&list);
        let list = list.into_iter().map(|item| item.expr).collect();
        let expr = Expr::Extreme { order, list, greatest };
        Ok(Resolved { modifier, ..Resolved::new(expr, kind, at) })
    }

    /// The type that a cast names, and its modifier.
    fn type_of(&self, type_ref: &TypeRef) -> Result<(Type, i32), Stop> {
        let at = type_ref.at;
        if type_ref.array {
            let element = TypeRef { array: false, ..type_ref.clone() };
            let (kind, modifier) = self.type_of(&element)?;
            return match kind.array(&self.table.types) {
                Some(array) if modifier < 0 => Ok((array, -1)),
                _ => Err(later(at, "a cast to this array")),
            };
        }
        let builtin = type_ref.schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
        if builtin && let Some(kind) = Type::named(&type_ref.name) {
            return Ok((kind, self.modifier_of(kind, type_ref)?));
        }
        let mut matching = self.table.types.0.iter().filter(|(oid, user)| {
            user.name == type_ref.name
                && matches!(user.kind, TypeKind::Enum(_))
                && match type_ref.schema.as_deref() {
                    Some(schema) => schema == user.schema,
                    // Another type of the name may come first in the search path.
                    None => self.table.meant.get(&type_ref.name).is_none_or(|meant| meant == *oid),
                }
        });
        match (matching.next(), matching.next()) {
            (Some((oid, _)), None) => Ok((Type::Enum(*oid), -1)),
            _ => Err(later(at, &format!("a cast to {}", quote(&type_ref.name)))),
        }
    }

    fn modifier_of(&self, kind: Type, type_ref: &TypeRef) -> Result<i32, Stop> {
        let at = type_ref.at;
        match (kind, type_ref.modifiers.as_slice()) {
            (_, []) => Ok(-1),
            (Type::Numeric, [precision @ 1..=1000]) => Ok((precision << 16) + 4),
            (Type::Numeric, [precision @ 1..=1000, scale @ 0..=1000]) if scale <= precision => {
                Ok((precision << 16 | scale) + 4)
            }
            (Type::Varchar | Type::Bpchar, [length @ 1..=10_485_760]) => Ok(length + 4),
            (Type::Timestamp | Type::Timestamptz | Type::Time, [digits @ 0..=6]) => Ok(*digits),
            _ => Err(later(at, "this type modifier")),
        }
    }

    /// An explicit cast.
    pub(crate) fn explicit_cast(
        &self,
        operand: Resolved,
        kind: Type,
        modifier: i32,
        at: usize,
    ) -> Found {
        let operand = match operand.kind {
            None => self.literal_as(operand, kind)?,
            Some(_) => operand,
        };
        if let Some(found) = self.array_cast(&operand, kind, at) {
            self.refuse_collated(&operand, true)?;
            return match modifier {
                -1 => found,
                _ => Err(later(at, "this cast of an array")),
            };
        }
        let from = operand.kind.unwrap_or(kind);
        self.refuse_collated(
            &operand,
            from != kind && !matches!(kind, Type::Text | Type::Varchar),
        )?;
        let mut result = self.convert(operand, kind, at)?;
        if modifier >= 0 {
            let cast = Cast::modifier(kind, modifier);
            result.expr = Expr::Cast { cast, operand: Box::new(result.expr) };
        }
        Ok(Resolved { modifier, at, ..result })
    }
}

/// Refuses the kinds of function that have no value of their own for one row.
fn refuse_kind(name: &str, at: usize) -> Result<(), Stop> {
    if functions::VOLATILE.contains(&name) {
        return Err(volatile(at, &format!("{name}()")));
    }
    if functions::AGGREGATES.contains(&name) {
        return Err(later(at, &format!("the aggregate {name}()")));
    }
    if functions::WINDOWS.contains(&name) {
        return Err(later(at, &format!("the window function {name}()")));
    }
    if functions::SETS.contains(&name) {
        return Err(later(at, &format!("the set-returning function {name}() in an expression"))
            .remedy(format!("write it in FROM: CROSS JOIN LATERAL {name}(…) AS alias")));
    }
    Ok(())
}

/// The modifier that all values share, or none.
pub(crate) fn common_modifier(values: &[Resolved]) -> i32 {
    let mut modifiers = values.iter().map(|value| value.modifier);
    let first = modifiers.next().unwrap_or(-1);
    if modifiers.all(|modifier| modifier == first) { first } else { -1 }
}

/// A number as `make_const` types it: the smallest of integer, bigint and numeric that holds it.
fn number_literal(number: &str, at: usize) -> Found {
    if let Ok(value) = number.parse::<i64>() {
        let kind = if i32::try_from(value).is_ok() { Type::Int4 } else { Type::Int8 };
        return Ok(Resolved::new(Expr::Const(Value::Int(value)), kind, at));
    }
    match Numeric::parse(number) {
        Ok(value) => Ok(Resolved::new(Expr::Const(Value::Numeric(value)), Type::Numeric, at)),
        Err(_) => Err(Stop::new(at, format!("{number} is no number that PostgreSQL takes"))),
    }
}
