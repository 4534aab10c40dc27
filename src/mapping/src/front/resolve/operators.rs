//! Operators and functions: which of PostgreSQL's is meant, given the types.

use super::expression::{Resolved, later};
use super::is_null_constant;
use super::scope::Scope;
use crate::evaluation::expr::Expr;
use crate::evaluation::functions::{
    self, Entry, Literal, Run, bytes, calendar, cast::implicit, number, text, variadic,
};
use crate::evaluation::order::{Compare, Order};
use crate::front::syntax::Stop;
use crate::front::syntax::ast::Node;
use crate::values::types::Type;
use crate::values::value::Value;

type Found = Result<Resolved, Stop>;

/// Two values of types that compare.
pub(crate) struct Pair {
    pub(crate) left: Resolved,
    pub(crate) right: Resolved,
    pub(crate) order: Order,
}

/// The comparison that an operator asks.
pub(crate) fn comparison(operator: &str) -> Option<Compare> {
    Some(match operator {
        "=" => Compare::Equal,
        "<>" => Compare::NotEqual,
        "<" => Compare::Less,
        "<=" => Compare::LessEqual,
        ">" => Compare::Greater,
        ">=" => Compare::GreaterEqual,
        _ => return None,
    })
}

impl Scope<'_> {
    pub(crate) fn no_operator(
        &self,
        operator: &str,
        left: Option<Type>,
        right: Option<Type>,
        at: usize,
    ) -> Stop {
        let left = left.map(|kind| self.type_name(Some(kind)) + " ").unwrap_or_default();
        let right = self.type_name(right);
        later(at, &format!("the operator {left}{operator} {right}"))
    }

    pub(crate) fn binary(
        &mut self,
        operator: &str,
        left: Resolved,
        right: Resolved,
        at: usize,
    ) -> Found {
        if !self.settings.utf8 {
            return Err(later(at, "an operator in a database whose encoding is not UTF8"));
        }
        if let Some(compare) = comparison(operator) {
            return self.compare(compare, left, right, at);
        }
        if self.is_array_operator(operator, &left, &right) {
            return self.array_operator(operator, left, right, at);
        }
        match operator {
            "||" if left.kind == Some(Type::Jsonb) || right.kind == Some(Type::Jsonb) => {
                self.json_operator(operator, left, right, at)
            }
            "||" => self.concatenation(left, right, at),
            "-" if left.kind == Some(Type::Jsonb) => self.json_operator(operator, left, right, at),
            "&" | "|" | "#" | "<<" | ">>" => self.bits(operator, left, right, at),
            "+" | "-" | "*" | "/" | "%" => self.arithmetic(operator, left, right, at),
            "@?" | "@@" => {
                let no_operator = self.no_operator(operator, left.kind, right.kind, at);
                self.path_query(operator, &[left, right], at).unwrap_or(Err(no_operator))
            }
            "~" | "~*" | "!~" | "!~*" => self.regex_operator(operator, left, right, at),
            _ => self.json_operator(operator, left, right, at),
        }
    }

    pub(crate) fn compare(
        &mut self,
        compare: Compare,
        left: Resolved,
        right: Resolved,
        at: usize,
    ) -> Found {
        let pair = self.comparable(left, right, compare, at)?;
        let expr = Expr::Compare {
            compare,
            order: pair.order,
            left: Box::new(pair.left.expr),
            right: Box::new(pair.right.expr),
        };
        self.fold(Resolved::new(expr, Type::Bool, at))
    }

    /// Both values as the comparison operator takes them.
    pub(crate) fn comparable(
        &self,
        left: Resolved,
        right: Resolved,
        compare: Compare,
        at: usize,
    ) -> Result<Pair, Stop> {
        let (a, b) = match (left.kind, right.kind) {
            (None, None) => (Type::Text, Type::Text),
            (Some(a), None) => (a, a),
            (None, Some(b)) => (b, b),
            (Some(a), Some(b)) => (a, b),
        };
        let text = |kind| matches!(kind, Type::Text | Type::Varchar);
        let exact = |kind: Type| kind.is_integer() || kind == Type::Numeric;
        let (to_left, to_right) = match (a, b) {
            _ if text(a) && text(b) => (Type::Text, Type::Text),
            _ if a == b => (a, b),
            // There are operators for each pair of integers, and for the two floats.
            _ if a.is_integer() && b.is_integer() => (a, b),
            (Type::Float4, Type::Float8) | (Type::Float8, Type::Float4) => (a, b),
            (Type::Date, Type::Timestamp) | (Type::Timestamp, Type::Date) => {
                (Type::Timestamp, Type::Timestamp)
            }
            (Type::Date | Type::Timestamp, Type::Timestamptz)
            | (Type::Timestamptz, Type::Date | Type::Timestamp) => {
                (Type::Timestamptz, Type::Timestamptz)
            }
            _ if exact(a) && exact(b) => (Type::Numeric, Type::Numeric),
            _ if exact(a) && b == Type::Float8 => (b, b),
            _ if exact(b) && a == Type::Float8 => (a, a),
            _ => {
                let found = format!(
                    "a comparison of {} with {}",
                    self.type_name(Some(a)),
                    self.type_name(Some(b))
                );
                return Err(later(at, &found));
            }
        };
        let kept = if left.kind == Some(to_left) { left.modifier } else { -1 };
        let left = Resolved { modifier: kept, ..self.convert(left, to_left, at)? };
        let right = self.convert(right, to_right, at)?;
        let order = self.order(to_left, compare, &left, at)?;
        self.order(to_right, compare, &right, at)?;
        Ok(Pair { left, right, order })
    }

    fn arithmetic(&mut self, operator: &str, left: Resolved, right: Resolved, at: usize) -> Found {
        let (a, b) = match (left.kind, right.kind) {
            (Some(a), None) => (a, a),
            (None, Some(b)) => (b, b),
            (Some(a), Some(b)) => (a, b),
            (None, None) => return Err(self.no_operator(operator, None, None, at)),
        };
        // Nothing can be added to a timestamp but an interval, so a literal beside it is one.
        let stamp = |kind| matches!(kind, Type::Timestamp | Type::Timestamptz);
        let (a, b) = match (left.kind, right.kind) {
            (Some(a), None) if operator == "+" && stamp(a) => (a, Type::Interval),
            (None, Some(b)) if operator == "+" && stamp(b) => (Type::Interval, b),
            _ => (a, b),
        };
        if let Some((to_left, to_right, run, kind)) = calendar::operator(operator, a, b) {
            let zoned = [a, b].contains(&Type::Timestamptz);
            if zoned && !self.settings.utc_iso {
                return Err(self.no_operator(operator, Some(a), Some(b), at));
            }
            let left = self.convert(left, to_left, at)?;
            let right = self.convert(right, to_right, at)?;
            let mut arguments = vec![left.expr, right.expr];
            if calendar::commutes(operator, a, b) {
                arguments.reverse();
            }
            return Ok(Resolved::new(Expr::Call { run, strict: true, arguments }, kind, at));
        }
        let exact = |kind: Type| kind.is_integer() || kind == Type::Numeric;
        let (to_left, to_right, kind) = match (a, b) {
            _ if a.is_integer() && b.is_integer() => {
                let wide = if implicit(a, b) { b } else { a };
                (a, b, wide)
            }
            (Type::Float4, Type::Float4) | (Type::Float8, Type::Float8) => (a, b, a),
            (Type::Float4, Type::Float8) | (Type::Float8, Type::Float4) => {
                (Type::Float8, Type::Float8, Type::Float8)
            }
            _ if exact(a) && exact(b) => (Type::Numeric, Type::Numeric, Type::Numeric),
            _ if (exact(a) && b == Type::Float8) || (exact(b) && a == Type::Float8) => {
                (Type::Float8, Type::Float8, Type::Float8)
            }
            (Type::Date, Type::Int4) if matches!(operator, "+" | "-") && right.kind.is_some() => {
                (a, b, Type::Date)
            }
            (Type::Date, Type::Date) if operator == "-" => (a, b, Type::Int4),
            _ => return Err(self.no_operator(operator, Some(a), Some(b), at)),
        };
        let Some(run) = number::operator(operator, to_left, kind) else {
            return Err(self.no_operator(operator, Some(a), Some(b), at));
        };
        let left = self.convert(left, to_left, at)?;
        let right = self.convert(right, to_right, at)?;
        let expr = Expr::Call { run, strict: true, arguments: vec![left.expr, right.expr] };
        Ok(Resolved::new(expr, kind, at))
    }

    fn concatenation(&mut self, left: Resolved, right: Resolved, at: usize) -> Found {
        let bytea = |kind: Option<Type>| kind.is_none_or(|kind| kind == Type::Bytea);
        let typed = left.kind.is_some() || right.kind.is_some();
        if typed && bytea(left.kind) && bytea(right.kind) {
            let left = self.convert(left, Type::Bytea, at)?;
            let right = self.convert(right, Type::Bytea, at)?;
            let arguments = vec![left.expr, right.expr];
            let expr = Expr::Call { run: bytes::concatenate, strict: true, arguments };
            return Ok(Resolved::new(expr, Type::Bytea, at));
        }
        let text = |kind: Option<Type>| {
            kind.is_none_or(|kind| matches!(kind, Type::Text | Type::Varchar | Type::Bpchar))
        };
        if !text(left.kind) && !text(right.kind) {
            return Err(self.no_operator("||", left.kind, right.kind, at));
        }
        // With jsonb, arrays and unknown literals PostgreSQL has operators of its own.
        for (side, other) in [(&left, &right), (&right, &left)] {
            let odd = side.kind.is_some_and(|kind| {
                matches!(
                    kind,
                    Type::Jsonb | Type::Json | Type::Bytea | Type::Other(_) | Type::Enum(_)
                )
            });
            let untyped = other.kind.is_none() && !text(side.kind);
            if odd || (untyped && side.kind == Some(Type::Jsonb)) {
                return Err(self.no_operator("||", left.kind, right.kind, at));
            }
        }
        let left = self.printed(left, at)?;
        let right = self.printed(right, at)?;
        let arguments = vec![left.expr, right.expr];
        let expr = Expr::Call { run: text::concatenate, strict: true, arguments };
        Ok(Resolved::new(expr, Type::Text, at))
    }

    /// The value as text, by a cast.
    pub(super) fn printed(&self, value: Resolved, at: usize) -> Found {
        self.refuse_collated(&value, true)?;
        self.convert(value, Type::Text, at)
    }

    fn bits(&self, operator: &str, left: Resolved, right: Resolved, at: usize) -> Found {
        let no_operator = self.no_operator(operator, left.kind, right.kind, at);
        let shift = matches!(operator, "<<" | ">>");
        let (a, b) = match (left.kind, right.kind) {
            (Some(a), Some(b)) => (a, b),
            (Some(a), None) if !shift => (a, a),
            (None, Some(b)) if !shift => (b, b),
            _ => return Err(no_operator),
        };
        if !a.is_integer() || !b.is_integer() || (shift && b == Type::Int8) {
            return Err(no_operator);
        }
        let kind = if shift || implicit(b, a) { a } else { b };
        let Some(run) = number::bits(operator, kind) else { return Err(no_operator) };
        let left = self.convert(left, kind, at)?;
        let right = self.convert(right, if shift { Type::Int4 } else { kind }, at)?;
        let expr = Expr::Call { run, strict: true, arguments: vec![left.expr, right.expr] };
        Ok(Resolved::new(expr, kind, at))
    }

    pub(crate) fn like(
        &mut self,
        operand: &Node,
        pattern: &Node,
        escape: Option<&Node>,
        insensitive: bool,
        at: usize,
    ) -> Found {
        if insensitive && !self.settings.c_ctype {
            return Err(Stop::new(
                at,
                "ILIKE depends on the locale of the source's database, which is not C",
            )
            .remedy("compute it in the target"));
        }
        let value = self.resolve(operand)?;
        let pattern = self.resolve(pattern)?;
        let text = |kind: Option<Type>| {
            kind.is_none_or(|kind| matches!(kind, Type::Text | Type::Varchar | Type::Bpchar))
        };
        if !text(value.kind)
            || !text(pattern.kind)
            || pattern.kind == Some(Type::Bpchar)
            || !self.settings.utf8
        {
            return Err(self.no_operator("~~", value.kind, pattern.kind, at));
        }
        self.refuse_collated(&value, true)?;
        self.refuse_collated(&pattern, true)?;
        // LIKE takes character with its blanks.
        let value = if value.kind == Some(Type::Bpchar) {
            value
        } else {
            self.convert(value, Type::Text, at)?
        };
        let pattern = self.convert(pattern, Type::Text, at)?;
        let escape = match escape {
            None => Value::text("\\"),
            Some(node) => match self.resolve(node)?.expr {
                Expr::Const(Value::Text(text)) if text.chars().count() <= 1 => Value::Text(text),
                _ => return Err(later(node.at, "an ESCAPE that is not one character")),
            },
        };
        let arguments = vec![value.expr, pattern.expr, Expr::Const(escape)];
        let run: Run = if insensitive { text::ilike } else { text::like };
        Ok(Resolved::new(Expr::Call { run, strict: true, arguments }, Type::Bool, at))
    }

    /// A function by its name and the types of its arguments.
    pub(crate) fn function(&mut self, name: &str, arguments: Vec<Resolved>, at: usize) -> Found {
        if !self.settings.utf8 {
            return Err(later(at, "a function in a database whose encoding is not UTF8"));
        }
        for argument in &arguments {
            self.refuse_collated(argument, true)?;
        }
        if let Some(found) = variadic::find(name, arguments.len()) {
            return self.variadic(found, arguments, at);
        }
        let by_literal = self.regex_function(name, &arguments, at);
        if let Some(found) = by_literal.or_else(|| self.path_query(name, &arguments, at)) {
            return found;
        }
        if let [argument] = arguments.as_slice() {
            match name {
                "quote_literal" => return self.quoted(argument.clone(), false, at),
                "quote_nullable" => return self.quoted(argument.clone(), true, at),
                "to_jsonb" if argument.kind.is_some() => {
                    return self.to_jsonb(argument.clone(), at);
                }
                _ => {}
            }
        }
        if functions::named(name).any(|entry| entry.by_locale) && !self.settings.c_ctype {
            let message =
                format!("{name}() depends on the locale of the source's database, which is not C");
            return Err(Stop::new(at, message).remedy("compute it in the target"));
        }
        let arguments = if name == "timezone" { self.zone(arguments, at)? } else { arguments };
        let kinds: Vec<Option<Type>> = arguments.iter().map(|argument| argument.kind).collect();
        let known = functions::named(name).all(|e| e.since <= self.settings.server_version);
        let Some(entry) = functions::select(name, &kinds).filter(|_| known) else {
            let list: Vec<_> = kinds.iter().map(|kind| self.type_name(*kind)).collect();
            return Err(later(at, &format!("the function {name}({})", list.join(", "))));
        };
        let zoned =
            entry.result == Type::Timestamptz || entry.arguments.contains(&Type::Timestamptz);
        if zoned && !self.settings.utc_iso {
            return Err(later(at, &format!("{name}() in a session whose time zone is not UTC")));
        }
        if let Some(Literal { argument, known }) = &entry.literal
            && let Some(Resolved { expr: Expr::Const(Value::Text(text)), at, .. }) =
                arguments.get(*argument)
            && !known(text)
        {
            return Err(later(*at, &format!("{name}() with \"{text}\"")));
        }
        let mut list = Vec::new();
        for (argument, kind) in arguments.into_iter().zip(entry.arguments) {
            let argument = if *kind == Type::Other(1009) { self.path(argument)? } else { argument };
            list.push(self.convert(argument, *kind, at)?.expr);
        }
        if entry.inlined && is_null_constant(&list[0]) {
            return Ok(Resolved::new(Expr::Const(Value::Null), entry.result, at));
        }
        let Entry { run, strict, result, stable, .. } = *entry;
        let call = Expr::Call { run, strict, arguments: list };
        let expr = if stable { Expr::Stable(Box::new(call)) } else { call };
        Ok(Resolved::new(expr, result, at))
    }

    /// The arguments of AT TIME ZONE, the zone as its offset from UTC. What other names mean, the
    /// source's own time zone data decides.
    fn zone(&self, mut arguments: Vec<Resolved>, at: usize) -> Result<Vec<Resolved>, Stop> {
        let Some(zone) = arguments.first_mut() else { return Ok(arguments) };
        if zone.kind.is_none_or(|kind| kind == Type::Text) {
            let utc = match &zone.expr {
                Expr::Const(Value::Text(name)) => name.eq_ignore_ascii_case("utc"),
                _ => false,
            };
            if !utc {
                return Err(later(
                    at,
                    "AT TIME ZONE with something other than 'UTC' or an interval",
                ));
            }
            *zone =
                Resolved::new(Expr::Const(Value::Interval(Default::default())), Type::Interval, at);
        }
        Ok(arguments)
    }
}
