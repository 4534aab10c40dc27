//! Values that pass between servers as the bytes they are.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use postgres_types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};
use regraft_core::row;

/// A column of a result, in binary send format, of any type.
pub(crate) struct RawValue<'a>(pub(crate) &'a [u8]);

impl<'a> FromSql<'a> for RawValue<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(RawValue(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A parameter in binary send format, of any type.
#[derive(Debug)]
pub(crate) struct RawParameter<'a>(pub(crate) Option<&'a [u8]>);

impl ToSql for RawParameter<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let Some(bytes) = self.0 else { return Ok(IsNull::Yes) };
        out.put_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A one-dimensional array of any element type, built from cells in binary send format.
///
/// The binary form of an array is a header, and then its elements laid out as the cells of a
/// [`regraft_core::Row`] are: `src/backend/utils/adt/arrayfuncs.c`, `array_recv`.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawArray {
    elements: Vec<u8>,
    count: i32,
    nulls: bool,
}

impl RawArray {
    /// Adds the elements of another one.
    pub(crate) fn append(&mut self, other: &RawArray) {
        self.elements.extend_from_slice(&other.elements);
        self.count += other.count;
        self.nulls |= other.nulls;
    }

    /// True without elements.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends an element.
    pub(crate) fn push(&mut self, cell: Option<&[u8]>) {
        row::put(&mut self.elements, cell);
        self.count += 1;
        self.nulls |= cell.is_none();
    }
}

impl ToSql for RawArray {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let Kind::Array(element) = ty.kind() else {
            return Err(format!("{ty} is not an array type").into());
        };
        out.reserve(20 + self.elements.len());
        out.put_i32(i32::from(self.count > 0));
        out.put_i32(i32::from(self.nulls));
        out.put_u32(element.oid());
        if self.count > 0 {
            out.put_i32(self.count);
            out.put_i32(1);
            out.put_slice(&self.elements);
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
