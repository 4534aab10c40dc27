//! Implicit conversions and common types, as `parse_coerce.c` finds them.

use std::sync::Arc;

use super::expression::{Resolved, later};
use super::is_null_constant;
use super::scope::Scope;
use crate::evaluation::expr::Expr;
use crate::evaluation::functions::cast::{Cast, implicit};
use crate::evaluation::order::{Compare, Order};
use crate::front::syntax::Stop;
use crate::values::types::{Type, TypeKind};
use crate::values::value::{Fail, Value};

impl Scope<'_> {
    /// A literal without a type as a value of `kind`, read once when the mapping is compiled.
    pub(crate) fn literal_as(&self, resolved: Resolved, kind: Type) -> Result<Resolved, Stop> {
        let at = resolved.at;
        let Expr::Const(Value::Text(text)) = &resolved.expr else {
            return Ok(Resolved { kind: Some(kind), ..resolved });
        };
        if let Type::Enum(oid) = kind {
            let labels = self.labels(oid);
            if !labels.iter().any(|label| label == text.as_ref()) {
                let message =
                    format!("\"{text}\" is no label of the enum {}", self.type_name(Some(kind)));
                return Err(Stop::new(at, message));
            }
            return Ok(Resolved { kind: Some(kind), ..resolved });
        }
        if matches!(kind, Type::Text | Type::Varchar | Type::Bpchar) {
            return Ok(Resolved { kind: Some(kind), ..resolved });
        }
        if kind.element(&self.table.types).is_some() {
            return self.array_literal(text, kind, at);
        }
        let name = self.type_name(Some(kind));
        if kind == Type::Bytea && !self.settings.utf8 && !text.is_ascii() {
            // Its bytes are those of the database's encoding.
            return Err(later(at, "such a literal of the type bytea"));
        }
        let Some(cast) = Cast::between(Type::Text, kind, self.settings) else {
            return Err(later(at, &format!("a literal of the type {name}")));
        };
        match cast.apply(Value::text(text.as_ref().to_owned())) {
            Ok(value) => Ok(Resolved {
                expr: Expr::Const(value),
                ..Resolved::new(Expr::Const(Value::Null), kind, at)
            }),
            Err(Fail::Error { what, .. }) => Err(Stop::new(at, format!("{what}: \"{text}\""))),
            Err(_) => {
                Err(Stop::new(at, format!("this way to write a {name} may depend on settings"))
                    .remedy("write it in the form that PostgreSQL prints with DateStyle ISO"))
            }
        }
    }

    pub(crate) fn labels(&self, oid: u32) -> Arc<[String]> {
        match self.table.types.0.get(&oid).map(|user| &user.kind) {
            Some(TypeKind::Enum(labels)) => labels.clone().into(),
            _ => Arc::from([]),
        }
    }

    /// The value as one of `kind`, by a conversion that exists.
    pub(crate) fn convert(
        &self,
        operand: Resolved,
        kind: Type,
        at: usize,
    ) -> Result<Resolved, Stop> {
        let Some(from) = operand.kind else { return self.literal_as(operand, kind) };
        if from == kind {
            return Ok(Resolved { modifier: -1, ..operand });
        }
        if is_null_constant(&operand.expr) {
            return Ok(Resolved { kind: Some(kind), modifier: -1, ..operand });
        }
        let (Some(cast), true) = (Cast::between(from, kind, self.settings), self.settings.utf8)
        else {
            let what = format!(
                "a cast from {} to {}",
                self.type_name(Some(from)),
                self.type_name(Some(kind))
            );
            return Err(later(at, &what));
        };
        if cast.is_relabel() {
            return Ok(Resolved { kind: Some(kind), modifier: -1, ..operand });
        }
        let at = operand.at;
        let expr = Expr::Cast { cast, operand: Box::new(operand.expr) };
        // Of a constant now, before anything around it is dropped for another reason.
        self.fold(Resolved::new(expr, kind, at))
    }

    /// All values as ones of their common type (`select_common_type`).
    pub(crate) fn unify(
        &self,
        values: Vec<Resolved>,
        what: &str,
        at: usize,
    ) -> Result<(Vec<Resolved>, Type), Stop> {
        let mut common: Option<Type> = None;
        for value in &values {
            let Some(kind) = value.kind else { continue };
            let Some(current) = common else {
                common = Some(kind);
                continue;
            };
            if current == kind {
                continue;
            }
            if !same_category(current, kind) {
                let message = format!(
                    "{what} mixes {} and {}",
                    self.type_name(Some(current)),
                    self.type_name(Some(kind))
                );
                return Err(Stop::new(value.at, message).remedy("cast one of them"));
            }
            let preferred =
                matches!(current, Type::Text | Type::Float8 | Type::Bool | Type::Timestamptz);
            if !preferred && implicit(current, kind) && !implicit(kind, current) {
                common = Some(kind);
            }
        }
        let common = common.unwrap_or(Type::Text);
        let mut out = Vec::with_capacity(values.len());
        for value in values {
            if let Some(kind) = value.kind
                && kind != common
                && !implicit(kind, common)
            {
                let message = format!(
                    "{what} mixes {} and {}",
                    self.type_name(Some(common)),
                    self.type_name(Some(kind))
                );
                return Err(Stop::new(value.at, message).remedy("cast one of them"));
            }
            let (kind, modifier) = (value.kind, value.modifier);
            let converted = self.convert(value, common, at)?;
            let kept = if kind == Some(common) { modifier } else { -1 };
            out.push(Resolved { modifier: kept, ..converted });
        }
        Ok((out, common))
    }

    /// How values of `kind` are compared; refused when that is not certain.
    pub(crate) fn order(
        &self,
        kind: Type,
        compare: Compare,
        value: &Resolved,
        at: usize,
    ) -> Result<Order, Stop> {
        self.refuse_collated(value, true)?;
        let equality = matches!(compare, Compare::Equal | Compare::NotEqual);
        let text = matches!(kind, Type::Text | Type::Varchar | Type::Bpchar);
        if text && !equality && !self.settings.c_collation {
            return Err(Stop::new(
                at,
                "text is put in order by a collation other than C, which is not known here exactly",
            )
            .remedy("compare for equality only, or compute it in the target"));
        }
        if let Some(found) = self.array_order(kind, compare, value, at) {
            return found;
        }
        match kind {
            Type::Bpchar => Ok(Order::Blank),
            Type::Enum(oid) if !equality => Ok(Order::Labels(self.labels(oid))),
            Type::Jsonb if equality => Ok(Order::Json),
            Type::Json | Type::Jsonb | Type::Other(_) => {
                let name = self.type_name(Some(kind));
                Err(later(at, &format!("a comparison of {name}")))
            }
            _ => Ok(Order::Plain),
        }
    }

    /// Refuses to compute with a column that has a collation of its own.
    pub(crate) fn refuse_collated(&self, value: &Resolved, computes: bool) -> Result<(), Stop> {
        let mut found = None;
        value.expr.walk(&mut |part| {
            if let Expr::Column { slot, .. } = part {
                let name = self.columns.get(*slot).map(|column| &column.name);
                found = found.or(name.filter(|name| self.table.collated.contains(name)));
            }
        });
        match found {
            Some(name) if computes => Err(later(
                value.at,
                &format!("an expression over \"{name}\", which has a collation of its own,"),
            )),
            _ => Ok(()),
        }
    }
}

fn category(kind: Type) -> u8 {
    match kind {
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Float4 | Type::Float8 | Type::Numeric => b'N',
        Type::Text | Type::Varchar | Type::Bpchar => b'S',
        Type::Date | Type::Time | Type::Timestamp | Type::Timestamptz => b'D',
        Type::Interval => b'T',
        Type::Bool => b'B',
        Type::Enum(_) => b'E',
        _ => b'U',
    }
}

fn same_category(a: Type, b: Type) -> bool {
    category(a) == category(b)
}
