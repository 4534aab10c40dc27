//! Row images, made up.

use std::collections::BTreeMap;
use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use regraft_core::{Cell, Column, Relation, Tuple, TupleBuilder};

use crate::value::well_formed;

/// A column of an image, owned.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Given {
    Null,
    Unchanged,
    Value(Vec<u8>),
    Text(Vec<u8>),
}

impl Given {
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Given::Value(bytes) | Given::Text(bytes) => Some(bytes),
            Given::Null | Given::Unchanged => None,
        }
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Null => f.write_str("NULL"),
            Given::Unchanged => f.write_str("unchanged"),
            Given::Value(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Given::Text(bytes) => write!(f, "text \"{}\"", bytes.escape_ascii()),
        }
    }
}

pub(crate) type Image = Vec<Given>;

pub(crate) fn tuple<'a>(image: impl ExactSizeIterator<Item = &'a Given>) -> Tuple {
    let mut builder = TupleBuilder::with_capacity(image.len(), 64);
    for given in image {
        builder.push(match given {
            Given::Null => Cell::Null,
            Given::Unchanged => Cell::Unchanged,
            Given::Value(bytes) => Cell::Binary(bytes),
            Given::Text(bytes) => Cell::Text(bytes),
        });
    }
    builder.finish()
}

/// What a rule is tried with.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// A row whose values are valid for their types, and whose key columns are not NULL.
    pub(crate) row: Image,
    /// Another such row.
    pub(crate) other: Image,
    /// Any bytes at all, as values.
    pub(crate) wild: Image,
    /// Some columns.
    pub(crate) some: Vec<bool>,
}

/// Cases for a table.
pub(crate) fn cases(
    relation: &Relation,
    values: &BTreeMap<String, BoxedStrategy<Vec<u8>>>,
) -> impl Strategy<Value = Case> + use<> {
    let columns = &relation.columns;
    let row = || columns.iter().map(|c| formed(c, values.get(&c.name))).collect::<Vec<_>>();
    let wild = columns.iter().map(|c| wild(c, values.get(&c.name))).collect::<Vec<_>>();
    let some = vec(any::<bool>(), columns.len());
    (row(), row(), wild, some).prop_map(|(row, other, wild, some)| Case { row, other, wild, some })
}

fn formed(column: &Column, values: Option<&BoxedStrategy<Vec<u8>>>) -> BoxedStrategy<Given> {
    let known = match (values.cloned(), well_formed(column.type_oid)) {
        (Some(given), Some(known)) => prop_oneof![3 => given, 1 => known].boxed(),
        (Some(given), None) => given,
        (None, Some(known)) => known,
        // Of a type that nobody described there is no value but NULL; a key has some bytes.
        (None, None) if column.key => vec(any::<u8>(), 0..8).boxed(),
        (None, None) => return Just(Given::Null).boxed(),
    };
    let value = known.prop_map(Given::Value);
    if column.key { value.boxed() } else { prop_oneof![1 => Just(Given::Null), 6 => value].boxed() }
}

fn wild(column: &Column, values: Option<&BoxedStrategy<Vec<u8>>>) -> BoxedStrategy<Given> {
    let bytes = || vec(any::<u8>(), 0..48);
    // Valid at first, cut off or changed in one place: what a check at the beginning lets through.
    let spoilt = (formed(column, values), any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    let spoilt = spoilt.prop_map(|(given, at, byte, cut)| {
        let Given::Value(mut bytes) = given else { return given };
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(if cut { at } else { bytes.len() });
        }
        Given::Value(bytes)
    });
    prop_oneof![
        3 => bytes().prop_map(Given::Value),
        1 => bytes().prop_map(Given::Text),
        3 => spoilt,
        1 => Just(Given::Null),
        1 => Just(Given::Unchanged),
    ]
    .boxed()
}
