//! Arrays: constructors, literals, subscripts, operators and functions.

use std::sync::Arc;

use smallvec::SmallVec;

use super::expression::{Resolved, later};
use super::scope::Scope;
use crate::evaluation::expr::Expr;
use crate::evaluation::functions::array::ArrayOp;
use crate::evaluation::functions::cast::{Cast, implicit};
use crate::evaluation::order::{Compare, Element, Order};
use crate::front::syntax::Stop;
use crate::front::syntax::ast::{Ast, Index, Node};
use crate::values::array::{self, Array, Dimension};
use crate::values::types::Type;
use crate::values::value::Value;

type Found = Result<Resolved, Stop>;

impl Scope<'_> {
    fn element(&self, kind: Option<Type>) -> Option<Type> {
        kind.and_then(|kind| kind.element(&self.table.types))
    }

    fn array_of(&self, element: Type, at: usize) -> Result<Type, Stop> {
        element
            .array(&self.table.types)
            .ok_or_else(|| later(at, &format!("an array of {}", self.type_name(Some(element)))))
    }

    fn array_expr(
        &self,
        op: ArrayOp,
        element: Element,
        list: Vec<Resolved>,
        kind: Type,
        at: usize,
    ) -> Found {
        if !self.settings.utf8 {
            return Err(later(at, "arrays in a database whose encoding is not UTF8"));
        }
        let arguments = list.into_iter().map(|item| item.expr).collect();
        Ok(Resolved::new(Expr::Array { op, element, arguments }, kind, at))
    }

    /// `ARRAY[…]`; with a target its elements are cast to that array's, as `ARRAY[…]::type[]` does.
    pub(crate) fn array(&mut self, items: &[Node], target: Option<Type>, at: usize) -> Found {
        let mut list = Vec::new();
        for item in items {
            let resolved = match &item.kind {
                Ast::Array(inner) => {
                    let resolved = self.array(inner, target, item.at)?;
                    self.fold(resolved)?
                }
                _ => self.resolve(item)?,
            };
            list.push(resolved);
        }
        let (list, common, kind) = match target {
            Some(target) => {
                let element = self.element(Some(target)).unwrap_or(Type::Text);
                let nested = list.iter().any(|item| self.element(item.kind).is_some());
                let wanted = if nested { target } else { element };
                let mut cast = Vec::new();
                for item in list {
                    let place = item.at;
                    cast.push(self.explicit_cast(item, wanted, -1, place)?);
                }
                (cast, wanted, target)
            }
            None if list.is_empty() => {
                return Err(Stop::new(at, "an empty ARRAY[] has no type")
                    .remedy("cast it, as in ARRAY[]::text[]"));
            }
            None => {
                let (list, common) = self.unify(list, "ARRAY", at)?;
                let nested = self.element(Some(common)).is_some();
                let kind = if nested { common } else { self.array_of(common, at)? };
                (list, common, kind)
            }
        };
        let element = self.element(Some(kind)).unwrap_or(common);
        let op = if common == kind { ArrayOp::Nest } else { ArrayOp::Build };
        let modifier = super::expression::common_modifier(&list);
        let element = Element { kind: element, order: Order::Plain };
        let modifier = if list.is_empty() { -1 } else { modifier };
        Ok(Resolved { modifier, ..self.array_expr(op, element, list, kind, at)? })
    }

    /// A literal `{…}` as a value of an array type.
    pub(crate) fn array_literal(&self, text: &str, kind: Type, at: usize) -> Found {
        let odd = || later(at, "this way to write an array");
        let element = self.element(Some(kind)).ok_or_else(odd)?;
        let (items, lengths) = array::parse(text).ok_or_else(odd)?;
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            let Some(item) = item else {
                found.push(None);
                continue;
            };
            let literal = Resolved {
                kind: None,
                ..Resolved::new(Expr::Const(Value::text(item)), Type::Text, at)
            };
            let Expr::Const(value) = self.literal_as(literal, element)?.expr else {
                return Err(odd());
            };
            let mut cell = Vec::new();
            value.encode(element, &mut cell);
            found.push(Some(cell.split_off(4.min(cell.len())).into()));
        }
        let mut array = Array::list(found);
        array.dimensions = lengths
            .iter()
            .map(|length| Dimension { length: i32::try_from(*length).unwrap_or(i32::MAX), low: 1 })
            .collect::<SmallVec<_>>();
        let bytes = array.encode(element.oid());
        Ok(Resolved::new(Expr::Const(Value::Bytes(bytes.into())), kind, at))
    }

    pub(crate) fn subscript(&mut self, base: &Node, indexes: &[Index], at: usize) -> Found {
        let base = self.resolve(base)?;
        let Some(element) = self.element(base.kind) else {
            return Err(later(at, "a subscript of something that is no array"));
        };
        let (kind, modifier) = (base.kind.unwrap_or(element), base.modifier);
        let mut list = vec![base];
        let slices = indexes.iter().any(|index| index.slice);
        let mut given = Vec::new();
        for index in indexes {
            let mut low = index.low.as_ref();
            let mut high = index.high.as_ref();
            if slices && !index.slice {
                // Beside a slice, [n] is [1:n].
                (low, high) = (None, low);
                let one = Expr::Const(Value::Int(1));
                list.push(Resolved::new(one, Type::Int4, at));
            }
            given.push((low.is_some() || !index.slice, high.is_some()));
            for node in [low, high].into_iter().flatten() {
                let value = self.resolve(node)?;
                list.push(match value.kind {
                    Some(Type::Int4 | Type::Int2) => value,
                    None => self.literal_as(value, Type::Int4)?,
                    Some(_) => return Err(later(node.at, "a subscript that is no integer")),
                });
            }
        }
        let element = Element { kind: element, order: Order::Plain };
        let (op, kind) = if slices {
            (ArrayOp::Slice(given.into()), kind)
        } else {
            (ArrayOp::Subscript, element.kind)
        };
        Ok(Resolved { modifier, ..self.array_expr(op, element, list, kind, at)? })
    }

    /// `left operator ANY (right)` or ALL.
    pub(crate) fn quantified(
        &mut self,
        left: Resolved,
        compare: Compare,
        right: Resolved,
        all: bool,
        at: usize,
    ) -> Found {
        let string = |kind| matches!(kind, Type::Text | Type::Varchar);
        let right = match (right.kind, left.kind) {
            (None, Some(kind)) => {
                let kind = if string(kind) { Type::Text } else { kind };
                let array = self.array_of(kind, at)?;
                self.literal_as(right, array)?
            }
            _ => right,
        };
        let Some(kind) = self.element(right.kind) else {
            return Err(later(at, "ANY or ALL of something that is no array"));
        };
        let float = |kind| matches!(kind, Type::Float4 | Type::Float8);
        let alike = match left.kind {
            None => true,
            Some(found) => {
                found == kind
                    || (string(found) && string(kind))
                    || (found.is_integer() && kind.is_integer())
                    || (float(found) && float(kind))
            }
        };
        if !alike {
            return Err(later(at, "ANY or ALL of an array of another type"));
        }
        // What an element is compared as; the array itself stays as it is.
        let sample = Resolved { kind: Some(kind), modifier: -1, ..right.clone() };
        let pair = self.comparable(left, sample, compare, at)?;
        let element = Element { kind, order: pair.order };
        let op = ArrayOp::Quantified { compare, all };
        self.array_expr(op, element, vec![pair.left, right], Type::Bool, at)
    }

    /// The element type with the way to compare for equality, where there is one.
    fn equality(&self, kind: Type, value: &Resolved, at: usize) -> Result<Element, Stop> {
        Ok(Element { kind, order: self.order(kind, Compare::Equal, value, at)? })
    }

    /// How elements are printed; `None` for those that are text already or boolean.
    fn printing(&self, kind: Type, at: usize) -> Result<Option<Cast>, Stop> {
        if kind.is_textual() || matches!(kind, Type::Bool | Type::Jsonb) {
            return Ok(None);
        }
        match Cast::between(kind, Type::Text, self.settings) {
            Some(cast) => Ok(Some(cast)),
            None => Err(later(at, &format!("the text of {}", self.type_name(Some(kind))))),
        }
    }

    /// A value as an element of an array.
    fn as_element(&self, value: Resolved, element: Type, at: usize) -> Found {
        let fits = match value.kind {
            None => true,
            Some(kind) => {
                kind == element
                    || (kind.is_integer() && element.is_integer() && implicit(kind, element))
                    || (kind == Type::Varchar && element == Type::Text)
            }
        };
        if fits {
            self.convert(value, element, at)
        } else {
            Err(later(at, "an array and an element of another type"))
        }
    }

    /// Two arrays of one type, one of which may be an untyped literal.
    fn two_arrays(
        &self,
        left: Resolved,
        right: Resolved,
        at: usize,
    ) -> Result<(Resolved, Resolved, Type), Stop> {
        let kind = match (self.element(left.kind), self.element(right.kind)) {
            (Some(_), _) => left.kind,
            _ => right.kind,
        };
        match kind {
            Some(kind)
                if left.kind.is_none_or(|k| k == kind) && right.kind.is_none_or(|k| k == kind) =>
            {
                Ok((self.convert(left, kind, at)?, self.convert(right, kind, at)?, kind))
            }
            _ => Err(later(at, "arrays of different types")),
        }
    }

    /// True for `||`, `@>`, `<@` and `&&` where an operand is an array.
    pub(crate) fn is_array_operator(
        &self,
        operator: &str,
        left: &Resolved,
        right: &Resolved,
    ) -> bool {
        let array = |side: &Resolved| self.element(side.kind).is_some();
        matches!(operator, "||" | "@>" | "<@" | "&&") && (array(left) || array(right))
    }

    pub(crate) fn array_operator(
        &mut self,
        operator: &str,
        left: Resolved,
        right: Resolved,
        at: usize,
    ) -> Found {
        self.refuse_collated(&left, true)?;
        self.refuse_collated(&right, true)?;
        let op = match operator {
            "@>" => ArrayOp::Contains,
            "<@" => ArrayOp::Contained,
            "&&" => ArrayOp::Overlaps,
            _ => {
                // An untyped literal beside an array is an array.
                return match (self.element(left.kind), self.element(right.kind)) {
                    (Some(_), None) if right.kind.is_some() => {
                        self.extend(ArrayOp::Append, left, right, at)
                    }
                    (None, Some(_)) if left.kind.is_some() => {
                        self.extend(ArrayOp::Prepend, right, left, at)
                    }
                    _ => self.join_arrays(left, right, at),
                };
            }
        };
        let (left, right, kind) = self.two_arrays(left, right, at)?;
        let kind = self.element(Some(kind)).unwrap_or(kind);
        let element = self.equality(kind, &left, at)?;
        self.array_expr(op, element, vec![left, right], Type::Bool, at)
    }

    fn join_arrays(&self, left: Resolved, right: Resolved, at: usize) -> Found {
        let (left, right, kind) = self.two_arrays(left, right, at)?;
        let element = self.element(Some(kind)).unwrap_or(kind);
        let element = Element { kind: element, order: Order::Plain };
        self.array_expr(ArrayOp::Concatenate, element, vec![left, right], kind, at)
    }

    fn extend(&self, op: ArrayOp, array: Resolved, item: Resolved, at: usize) -> Found {
        let (Some(kind), Some(element)) = (array.kind, self.element(array.kind)) else {
            return Err(later(at, "an array function of something that is no array"));
        };
        // The first of text and varchar is the common type.
        if matches!(op, ArrayOp::Prepend)
            && item.kind == Some(Type::Varchar)
            && element == Type::Text
        {
            return Err(later(at, "an array and an element of another type before it"));
        }
        let item = self.as_element(item, element, at)?;
        let list = match op {
            ArrayOp::Prepend => vec![item, array],
            _ => vec![array, item],
        };
        let element = Element { kind: element, order: Order::Plain };
        self.array_expr(op, element, list, kind, at)
    }

    /// A function over arrays; the arguments back when it is none of them.
    pub(crate) fn array_function(
        &mut self,
        name: &str,
        list: Vec<Resolved>,
        at: usize,
    ) -> Result<Found, Vec<Resolved>> {
        if name == "string_to_array" && matches!(list.len(), 2 | 3) {
            return Ok(self.string_to_array(list, at));
        }
        let place = usize::from(name == "array_prepend");
        let kind = list.get(place).and_then(|array| array.kind);
        match (kind, self.element(kind)) {
            (Some(kind), Some(element)) if name.starts_with("array_") || name == "cardinality" => {
                Ok(self.known_array_function(name, list, (kind, element), at))
            }
            _ => Err(list),
        }
    }

    fn known_array_function(
        &mut self,
        name: &str,
        mut list: Vec<Resolved>,
        (kind, element): (Type, Type),
        at: usize,
    ) -> Found {
        for item in &list {
            self.refuse_collated(item, true)?;
        }
        let plain = Element { kind: element, order: Order::Plain };
        let unknown = || later(at, &format!("the function {name}() with these arguments"));
        let count = list.len();
        let (op, result) = match (name, count) {
            ("array_length", 2) => (ArrayOp::Length, Type::Int4),
            ("array_lower", 2) => (ArrayOp::Lower, Type::Int4),
            ("array_upper", 2) => (ArrayOp::Upper, Type::Int4),
            ("array_ndims", 1) => (ArrayOp::Dimensions, Type::Int4),
            ("array_dims", 1) => (ArrayOp::Bounds, Type::Text),
            ("cardinality", 1) => (ArrayOp::Cardinality, Type::Int4),
            ("array_append", 2) => {
                let item = list.remove(1);
                return self.extend(ArrayOp::Append, list.remove(0), item, at);
            }
            ("array_prepend", 2) => {
                let array = list.remove(1);
                return self.extend(ArrayOp::Prepend, array, list.remove(0), at);
            }
            ("array_cat", 2) => {
                let right = list.remove(1);
                return self.join_arrays(list.remove(0), right, at);
            }
            ("array_position", 2) => (ArrayOp::Position, Type::Int4),
            ("array_positions", 2) => (ArrayOp::Positions, self.array_of(Type::Int4, at)?),
            ("array_remove", 2) => (ArrayOp::Remove, kind),
            ("array_replace", 3) => (ArrayOp::Replace, kind),
            ("array_to_string", 2 | 3) => (ArrayOp::Join(self.printing(element, at)?), Type::Text),
            _ => return Err(unknown()),
        };
        let wanted = match op {
            ArrayOp::Length | ArrayOp::Lower | ArrayOp::Upper => Some(Type::Int4),
            ArrayOp::Join(_) => Some(Type::Text),
            _ => None,
        };
        let searches = matches!(
            op,
            ArrayOp::Position | ArrayOp::Positions | ArrayOp::Remove | ArrayOp::Replace
        );
        let found = if searches { self.equality(element, &list[0], at)? } else { plain };
        let mut arguments = vec![list.remove(0)];
        for item in list {
            arguments.push(match (wanted, item.kind) {
                (Some(wanted), Some(kind)) if !implicit(kind, wanted) => return Err(unknown()),
                (Some(wanted), _) => self.convert(item, wanted, at)?,
                (None, _) => self.as_element(item, element, at)?,
            });
        }
        self.array_expr(op, found, arguments, result, at)
    }

    fn string_to_array(&mut self, list: Vec<Resolved>, at: usize) -> Found {
        let mut arguments = Vec::new();
        for item in list {
            self.refuse_collated(&item, true)?;
            if item.kind.is_some_and(|kind| !implicit(kind, Type::Text)) {
                return Err(later(at, "string_to_array() of something that is no text"));
            }
            arguments.push(self.convert(item, Type::Text, at)?);
        }
        let element = Element { kind: Type::Text, order: Order::Plain };
        let kind = self.array_of(Type::Text, at)?;
        self.array_expr(ArrayOp::Split, element, arguments, kind, at)
    }

    /// An explicit cast from an array; `None` when the operand is none.
    pub(crate) fn array_cast(&self, operand: &Resolved, to: Type, at: usize) -> Option<Found> {
        let from = self.element(operand.kind)?;
        if operand.kind == Some(to) {
            return None;
        }
        let list = vec![operand.clone()];
        if let Some(element) = self.element(Some(to)) {
            let cast = Cast::between(from, element, self.settings)?;
            let op = ArrayOp::Convert { from, cast };
            let element = Element { kind: element, order: Order::Plain };
            return Some(self.array_expr(op, element, list, to, at));
        }
        if !matches!(to, Type::Text | Type::Varchar) {
            return None;
        }
        let cast = match self.printing(from, at) {
            Ok(cast) => cast,
            Err(stop) => return Some(Err(stop)),
        };
        let element = Element { kind: from, order: Order::Plain };
        Some(self.array_expr(ArrayOp::Print(cast), element, list, to, at))
    }

    /// How arrays are compared: for equality only.
    pub(crate) fn array_order(
        &self,
        kind: Type,
        compare: Compare,
        value: &Resolved,
        at: usize,
    ) -> Option<Result<Order, Stop>> {
        let element = self.element(Some(kind))?;
        if !matches!(compare, Compare::Equal | Compare::NotEqual) {
            return None;
        }
        let found = self.equality(element, value, at);
        Some(found.map(|element| Order::Array(Arc::new(element))))
    }
}
