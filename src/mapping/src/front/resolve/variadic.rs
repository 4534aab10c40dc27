//! Functions over any number of arguments, and the conversions that their arguments need.

use super::expression::{Resolved, later};
use super::scope::Scope;
use crate::evaluation::expr::Expr;
use crate::evaluation::functions::Run;
use crate::evaluation::functions::cast::implicit;
use crate::evaluation::functions::variadic::{Literal, Rest, Variadic};
use crate::evaluation::functions::{format, json_build, text};
use crate::front::syntax::Stop;
use crate::values::types::Type;
use crate::values::value::Value;

type Found = Result<Resolved, Stop>;

fn one(run: Run, operand: Expr) -> Expr {
    Expr::Call { run, strict: true, arguments: vec![operand] }
}

impl Scope<'_> {
    pub(super) fn variadic(
        &self,
        function: &Variadic,
        arguments: Vec<Resolved>,
        at: usize,
    ) -> Found {
        if function.rest == Rest::Members && arguments.len() % 2 == 1 {
            let message = format!("{}() needs a value for each key", function.name);
            return Err(Stop::new(at, message));
        }
        let count = arguments.len() - function.fixed.len();
        let mut list = Vec::with_capacity(arguments.len());
        for (i, argument) in arguments.into_iter().enumerate() {
            let converted = match function.fixed.get(i) {
                Some(kind) => self.fixed(function, argument, *kind, at)?,
                None => match function.rest {
                    Rest::Text => self.fixed(function, argument, Type::Text, at)?,
                    Rest::Printed => self.output(argument, at)?,
                    Rest::Any => argument,
                    Rest::Documents => self.document(argument, at)?,
                    Rest::Members if i % 2 == 0 => self.key(argument, at)?,
                    // Its conversion may fail, where a key before it that is NULL fails first.
                    Rest::Members if argument.kind == Some(Type::Json) => {
                        return Err(later(at, "a value of type json in jsonb_build_object()"));
                    }
                    Rest::Members => self.document(argument, at)?,
                },
            };
            list.push(converted.expr);
        }
        if let Some(Literal { known, refusal }) = &function.literal {
            let known = match list.first() {
                Some(Expr::Const(Value::Text(text))) => known(text, count),
                _ => false,
            };
            if !known {
                return Err(later(at, refusal));
            }
        }
        let Variadic { run, strict, stable, result, .. } = *function;
        let call = Expr::Call { run, strict, arguments: list };
        let expr = if stable { Expr::Stable(Box::new(call)) } else { call };
        Ok(Resolved::new(expr, result, at))
    }

    /// An argument of a certain type.
    fn fixed(&self, function: &Variadic, argument: Resolved, kind: Type, at: usize) -> Found {
        if argument.kind.is_some_and(|found| !implicit(found, kind)) {
            let name = self.type_name(argument.kind);
            return Err(later(at, &format!("the function {}() over {name}", function.name)));
        }
        self.convert(argument, kind, at)
    }

    /// A value as its type prints it, which for boolean and character is not what the cast to text
    /// gives.
    fn output(&self, value: Resolved, at: usize) -> Found {
        match value.kind {
            Some(Type::Bool) => {
                Ok(Resolved::new(one(text::print_bool, value.expr), Type::Text, at))
            }
            Some(Type::Bpchar) => Ok(value),
            _ => self.printed(value, at),
        }
    }

    /// A key of `jsonb_build_object`.
    fn key(&self, value: Resolved, at: usize) -> Found {
        match value.kind {
            None => self.convert(value, Type::Text, at),
            Some(Type::Bpchar) => Ok(value),
            Some(kind) if prints_alike(kind) => self.printed(value, at),
            kind => Err(later(at, &format!("a key of type {}", self.type_name(kind)))),
        }
    }

    /// `to_jsonb`
    pub(super) fn to_jsonb(&self, value: Resolved, at: usize) -> Found {
        let document = self.document(value, at)?;
        Ok(Resolved { expr: Expr::Stable(Box::new(document.expr)), ..document })
    }

    /// A value as jsonb, as `to_jsonb` makes it, NULL for NULL.
    pub(super) fn document(&self, value: Resolved, at: usize) -> Found {
        let kind = value.kind.unwrap_or(Type::Text);
        let expr = match kind {
            Type::Jsonb => value.expr,
            Type::Json => self.convert(value, Type::Jsonb, at)?.expr,
            // true and false are the same in JSON.
            Type::Bool => self.printed(value, at)?.expr,
            Type::Bpchar => one(json_build::from_string, value.expr),
            Type::Text | Type::Varchar | Type::Uuid | Type::Enum(_) => {
                one(json_build::from_string, self.printed(value, at)?.expr)
            }
            // Printed in ISO form and UTC, or refused.
            Type::Date | Type::Timestamp | Type::Timestamptz => {
                one(json_build::from_moment, self.printed(value, at)?.expr)
            }
            _ if prints_alike(kind) => one(json_build::from_number, self.printed(value, at)?.expr),
            _ => {
                return Err(later(at, &format!("a {} in jsonb", self.type_name(Some(kind)))));
            }
        };
        Ok(Resolved::new(expr, Type::Jsonb, at))
    }

    /// `quote_literal` and `quote_nullable`, which take what has a cast to text.
    pub(super) fn quoted(&self, value: Resolved, nullable: bool, at: usize) -> Found {
        let arguments = vec![self.printed(value, at)?.expr];
        let run: Run = if nullable { format::quote_nullable } else { format::quote_literal };
        Ok(Resolved::new(Expr::Call { run, strict: !nullable, arguments }, Type::Text, at))
    }
}

/// Types whose text in JSON is that of the cast. Dates and times are written in another form there.
fn prints_alike(kind: Type) -> bool {
    kind.is_integer()
        || matches!(
            kind,
            Type::Bool
                | Type::Numeric
                | Type::Float4
                | Type::Float8
                | Type::Text
                | Type::Varchar
                | Type::Uuid
                | Type::Enum(_)
        )
}
