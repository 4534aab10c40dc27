//! OIDs of common built-in types, the same on every server (`pg_type.dat`).

use crate::relation::Oid;

/// `boolean`.
pub const BOOL: Oid = 16;
/// `bytea`.
pub const BYTEA: Oid = 17;
/// `bigint`.
pub const INT8: Oid = 20;
/// `smallint`.
pub const INT2: Oid = 21;
/// `integer`.
pub const INT4: Oid = 23;
/// `text`.
pub const TEXT: Oid = 25;
/// `json`.
pub const JSON: Oid = 114;
/// `real`.
pub const FLOAT4: Oid = 700;
/// `double precision`.
pub const FLOAT8: Oid = 701;
/// `character(n)`.
pub const BPCHAR: Oid = 1042;
/// `character varying`.
pub const VARCHAR: Oid = 1043;
/// `date`: days since 2000-01-01, an `i32`.
pub const DATE: Oid = 1082;
/// `time`: microseconds since midnight, an `i64`.
pub const TIME: Oid = 1083;
/// `timestamp`: microseconds since 2000-01-01, an `i64`.
pub const TIMESTAMP: Oid = 1114;
/// `timestamptz`: microseconds since 2000-01-01 UTC, an `i64`.
pub const TIMESTAMPTZ: Oid = 1184;
/// `interval`.
pub const INTERVAL: Oid = 1186;
/// `numeric`.
pub const NUMERIC: Oid = 1700;
/// `uuid`.
pub const UUID: Oid = 2950;
/// `jsonb`: the byte 1, then its text.
pub const JSONB: Oid = 3802;
