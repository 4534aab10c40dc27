//! jsonpath in lax mode, as `jsonpath_exec.c` runs it: members, elements, filters, and methods that
//! cannot fail. So no path that is taken here raises an error.

mod syntax;

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::values::jsonb::{Kind, kind, parts, string_content, unescape};
use crate::values::numeric::Numeric;
use crate::values::value::Fail;
use syntax::{Operand, Operator, Place, Predicate, Step, Walk, Whole};

/// Items that one path may give; more are left to PostgreSQL.
const ITEMS_MAX: usize = 1_000_000;

/// A path that was read.
#[derive(Clone, Debug)]
pub(crate) struct Path(Whole);

/// Parts of a document, or values that the path made.
pub(crate) type Items<'t> = Vec<Cow<'t, str>>;

/// The document, and the item that `@` means.
#[derive(Clone, Copy)]
struct Context<'t, 'c> {
    root: &'t str,
    current: &'c Cow<'t, str>,
}

impl Path {
    /// Reads a path; `None` for one that is not taken.
    pub(crate) fn new(path: &str) -> Option<Self> {
        syntax::read(path).map(Self)
    }

    /// The items that the path leads to in a document in canonical form.
    pub(crate) fn items<'t>(&'t self, document: &'t str) -> Result<Items<'t>, Fail> {
        let root = Cow::Borrowed(document);
        let context = Context { root: document, current: &root };
        match &self.0 {
            Whole::Walk(walk) => context.walk(walk),
            Whole::Predicate(predicate) => {
                Ok(vec![Cow::Borrowed(match context.holds(predicate)? {
                    Some(true) => "true",
                    Some(false) => "false",
                    None => "null",
                })])
            }
        }
    }
}

/// Parts of an item; what a path made has none.
fn inside<'t>(item: &Cow<'t, str>) -> impl Iterator<Item = (&'t str, &'t str)> + use<'t> {
    match item {
        Cow::Borrowed(text) => Some(parts(text)),
        Cow::Owned(_) => None,
    }
    .into_iter()
    .flatten()
}

fn elements<'t>(item: &Cow<'t, str>) -> impl Iterator<Item = Cow<'t, str>> + use<'t> {
    inside(item).map(|(_, value)| Cow::Borrowed(value))
}

impl<'t> Context<'t, '_> {
    fn walk(&self, walk: &'t Walk) -> Result<Items<'t>, Fail> {
        let mut out = Vec::new();
        let start = if walk.current { self.current.clone() } else { Cow::Borrowed(self.root) };
        self.steps(&walk.steps, start, true, &mut out)?;
        Ok(out)
    }

    /// Takes the steps from an item. With `unwrap`, an array stands for its elements where a step wants
    /// something else than an array.
    fn steps(
        &self,
        steps: &'t [Step],
        item: Cow<'t, str>,
        unwrap: bool,
        out: &mut Items<'t>,
    ) -> Result<(), Fail> {
        let Some((step, rest)) = steps.split_first() else {
            out.push(item);
            return if out.len() > ITEMS_MAX { Err(Fail::Doubt) } else { Ok(()) };
        };
        let found = kind(&item);
        let takes_arrays =
            matches!(step, Step::AnyElement | Step::Elements(_) | Step::Type | Step::Size);
        if unwrap && found == Kind::Array && !takes_arrays {
            return elements(&item).try_for_each(|item| self.steps(steps, item, false, out));
        }
        match step {
            Step::Key(key) if found == Kind::Object => {
                match inside(&item).find(|(own, _)| own == key || unescape(own) == *key) {
                    Some((_, value)) => self.steps(rest, Cow::Borrowed(value), true, out),
                    None => Ok(()),
                }
            }
            Step::AnyKey if found == Kind::Object => {
                elements(&item).try_for_each(|item| self.steps(rest, item, true, out))
            }
            Step::Key(_) | Step::AnyKey => Ok(()),
            Step::AnyElement if found == Kind::Array => {
                elements(&item).try_for_each(|item| self.steps(rest, item, true, out))
            }
            // An item stands for an array of it.
            Step::AnyElement => self.steps(rest, item, true, out),
            Step::Elements(ranges) => {
                let list: Items<'t> = match found {
                    Kind::Array => elements(&item).collect(),
                    _ => vec![item],
                };
                let last = i64::try_from(list.len()).unwrap_or(i64::MAX) - 1;
                let index = |place: Place| match place {
                    Place::At(index) => index,
                    Place::Last => last,
                };
                for (from, to) in ranges {
                    for i in index(*from).max(0)..=index(*to).min(last) {
                        let item = usize::try_from(i).ok().and_then(|i| list.get(i));
                        if let Some(item) = item {
                            self.steps(rest, item.clone(), true, out)?;
                        }
                    }
                }
                Ok(())
            }
            Step::Filter(predicate) => {
                let inner = Context { root: self.root, current: &item };
                if inner.holds(predicate)? == Some(true) {
                    return self.steps(rest, item, true, out);
                }
                Ok(())
            }
            Step::Type => {
                let name = match found {
                    Kind::Object => "\"object\"",
                    Kind::Array => "\"array\"",
                    Kind::String => "\"string\"",
                    Kind::Number => "\"number\"",
                    Kind::Bool => "\"boolean\"",
                    Kind::Null => "\"null\"",
                };
                self.steps(rest, Cow::Borrowed(name), true, out)
            }
            Step::Size => {
                let size = if found == Kind::Array { elements(&item).count() } else { 1 };
                self.steps(rest, Cow::Owned(size.to_string()), true, out)
            }
        }
    }

    /// What a predicate says; `None` for unknown.
    fn holds(&self, predicate: &'t Predicate) -> Result<Option<bool>, Fail> {
        Ok(match predicate {
            Predicate::And(left, right) => match self.holds(left)? {
                Some(false) => Some(false),
                left => match self.holds(right)? {
                    Some(true) => left,
                    right => right,
                },
            },
            Predicate::Or(left, right) => match self.holds(left)? {
                Some(true) => Some(true),
                left => match self.holds(right)? {
                    Some(false) => left,
                    right => right,
                },
            },
            Predicate::Not(inner) => self.holds(inner)?.map(|holds| !holds),
            Predicate::Exists(walk) => Some(!self.walk(walk)?.is_empty()),
            Predicate::Compare(operator, left, right) => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                let mut unknown = false;
                for a in &left {
                    for b in &right {
                        match compared(*operator, a, b)? {
                            Some(true) => return Ok(Some(true)),
                            Some(false) => {}
                            None => unknown = true,
                        }
                    }
                }
                if unknown { None } else { Some(false) }
            }
        })
    }

    /// The items of an operand, arrays among them as their elements.
    fn operand(&self, operand: &'t Operand) -> Result<Items<'t>, Fail> {
        let walk = match operand {
            Operand::Literal(text) => return Ok(vec![Cow::Borrowed(text)]),
            Operand::Walk(walk) => walk,
        };
        let mut out = Vec::new();
        for item in self.walk(walk)? {
            if kind(&item) == Kind::Array {
                out.extend(elements(&item));
            } else {
                out.push(item);
            }
        }
        Ok(out)
    }
}

fn compared(operator: Operator, left: &str, right: &str) -> Result<Option<bool>, Fail> {
    let kinds = (kind(left), kind(right));
    if operator == Operator::StartsWith {
        return Ok(match kinds {
            (Kind::String, Kind::String) => {
                Some(string_content(left).starts_with(string_content(right).as_ref()))
            }
            _ => None,
        });
    }
    let order = match kinds {
        (Kind::Null, Kind::Null) => Ordering::Equal,
        (Kind::Null, _) | (_, Kind::Null) => return Ok(Some(operator == Operator::NotEqual)),
        (Kind::Number, Kind::Number) => match (Numeric::parse(left), Numeric::parse(right)) {
            (Ok(left), Ok(right)) => left.compare(&right),
            _ => return Err(Fail::Doubt),
        },
        // By code points, as bytes of UTF-8.
        (Kind::String, Kind::String) => {
            string_content(left).as_bytes().cmp(string_content(right).as_bytes())
        }
        // "false" and "true"
        (Kind::Bool, Kind::Bool) => left.cmp(right),
        _ => return Ok(None),
    };
    Ok(Some(match operator {
        Operator::Equal => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::Less => order.is_lt(),
        Operator::LessEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterEqual => order.is_ge(),
        Operator::StartsWith => false,
    }))
}
