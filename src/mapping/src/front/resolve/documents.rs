//! Operators of jsonb and json.

use std::sync::Arc;

use super::expression::{Resolved, later};
use super::scope::Scope;
use crate::evaluation::expr::Expr;
use crate::evaluation::functions::Run;
use crate::evaluation::functions::jsonpath::{self, Query};
use crate::evaluation::functions::{json, json_edit, json_raw};
use crate::evaluation::jsonpath::Path;
use crate::front::syntax::Stop;
use crate::values::types::Type;
use crate::values::value::Value;

type Found = Result<Resolved, Stop>;

/// text[]
const PATH: Type = Type::Other(1009);

fn jsonb_run(operator: &str, right: Type) -> Option<(Run, Type)> {
    let (run, kind): (Run, Type) = match (operator, right) {
        ("->", Type::Text) => (json::field, Type::Jsonb),
        ("->>", Type::Text) => (json::field_text, Type::Text),
        ("->", Type::Int4) => (json::element, Type::Jsonb),
        ("->>", Type::Int4) => (json::element_text, Type::Text),
        ("?", Type::Text) => (json::exists, Type::Bool),
        ("#>", PATH) => (json::path, Type::Jsonb),
        ("#>>", PATH) => (json::path_text, Type::Text),
        ("?|", PATH) => (json::exists_any, Type::Bool),
        ("?&", PATH) => (json::exists_all, Type::Bool),
        ("-", Type::Text) => (json_edit::delete_key, Type::Jsonb),
        ("-", Type::Int4) => (json_edit::delete_index, Type::Jsonb),
        ("-", PATH) => (json_edit::delete_keys, Type::Jsonb),
        ("#-", PATH) => (json_edit::delete_path, Type::Jsonb),
        ("||", Type::Jsonb) => (json_edit::concatenate, Type::Jsonb),
        ("@>", Type::Jsonb) => (json_edit::contains, Type::Bool),
        ("<@", Type::Jsonb) => (json_edit::contained, Type::Bool),
        _ => return None,
    };
    Some((run, kind))
}

fn json_run(operator: &str, right: Type) -> Option<(Run, Type)> {
    let (run, kind): (Run, Type) = match (operator, right) {
        ("->", Type::Text | Type::Int4) | ("#>", PATH) => (json_raw::pick, Type::Json),
        ("->>", Type::Text | Type::Int4) | ("#>>", PATH) => (json_raw::pick_text, Type::Text),
        _ => return None,
    };
    Some((run, kind))
}

impl Scope<'_> {
    pub(super) fn json_operator(
        &self,
        operator: &str,
        left: Resolved,
        right: Resolved,
        at: usize,
    ) -> Found {
        let no_operator = self.no_operator(operator, left.kind, right.kind, at);
        let whole = matches!(operator, "||" | "@>" | "<@");
        let wanted = match right.kind {
            // A literal without a type is a second document beside these; otherwise a path where the
            // operator takes nothing else, and else a key, never an index.
            None if whole => Type::Jsonb,
            None if matches!(operator, "#>" | "#>>" | "?|" | "?&" | "#-") => PATH,
            None | Some(Type::Text | Type::Varchar) => Type::Text,
            Some(Type::Int4 | Type::Int2) => Type::Int4,
            Some(kind) => kind,
        };
        let left = match (left.kind, right.kind) {
            (None, Some(Type::Jsonb)) if whole => self.convert(left, Type::Jsonb, at)?,
            _ => left,
        };
        let known = match left.kind {
            Some(Type::Jsonb) => jsonb_run(operator, wanted),
            Some(Type::Json) => json_run(operator, wanted),
            _ => None,
        };
        let Some((run, kind)) = known else { return Err(no_operator) };
        self.refuse_collated(&right, true)?;
        let right =
            if wanted == PATH { self.path(right)? } else { self.convert(right, wanted, at)? };
        let expr = Expr::Call { run, strict: true, arguments: vec![left.expr, right.expr] };
        Ok(Resolved::new(expr, kind, at))
    }

    /// A literal as a jsonpath; `None` for NULL.
    pub(super) fn json_path(&self, value: &Resolved) -> Result<Option<Arc<Path>>, Stop> {
        match (&value.expr, value.kind) {
            (Expr::Const(Value::Null), None) => Ok(None),
            (Expr::Const(Value::Text(text)), None) => match Path::new(text) {
                Some(path) => Ok(Some(Arc::new(path))),
                None => Err(later(value.at, "such a jsonpath").remedy(
                    "write it in lax mode with members, subscripts, filters, .type() and .size()",
                )),
            },
            _ => Err(later(value.at, "a jsonpath that is no literal")),
        }
    }

    /// An operator or function of a jsonb and a jsonpath, `None` when there is none of this name.
    pub(super) fn path_query(
        &self,
        name: &str,
        arguments: &[Resolved],
        at: usize,
    ) -> Option<Found> {
        let (usage, kind) = jsonpath::usage(name)?;
        let [document, path] = arguments else { return None };
        if document.kind != Some(Type::Jsonb) {
            return None;
        }
        Some(self.json_path(path).map(|path| {
            let expr = match path {
                Some(path) => Expr::Prepared {
                    function: Arc::new(Query { usage, path }),
                    arguments: vec![document.expr.clone()],
                },
                None => Expr::Const(Value::Null),
            };
            Resolved::new(expr, kind, at)
        }))
    }

    /// A text array: a literal `{a,b}` as the binary form of one, or a column.
    pub(super) fn path(&self, value: Resolved) -> Found {
        let at = value.at;
        if let Expr::Const(Value::Text(literal)) = &value.expr
            && value.kind.is_none()
        {
            let Some(bytes) = json::text_array(literal) else {
                return Err(later(at, "this way to write an array"));
            };
            let expr = Expr::Const(Value::Bytes(bytes.into()));
            return Ok(Resolved::new(expr, PATH, at));
        }
        Ok(value)
    }
}
