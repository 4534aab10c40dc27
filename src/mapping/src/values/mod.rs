//! Types, and values as PostgreSQL has them: how they are read, printed and computed with.

pub(crate) mod array;
pub(crate) mod datetime;
pub(crate) mod interval;
pub(crate) mod jsonb;
pub(crate) mod numeric;
pub(crate) mod types;
pub(crate) mod value;
