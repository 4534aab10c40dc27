//! What types are called, and what they are made of.

use regraft_core::{Oid, Result};
use tokio_postgres::Client;

use crate::classify;

/// The kind of a type, of an array's elements, and the labels of an enum.
const KIND: &str = "
    SELECT t.typtype, ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder)
    FROM pg_type a JOIN pg_type t ON t.oid = CASE
        WHEN a.typsubscript = 'array_subscript_handler'::regproc THEN a.typelem ELSE a.oid END
    WHERE a.oid = $1";

/// What a type is; of an array, its elements.
#[derive(Clone, Debug)]
pub struct Kind {
    /// `pg_type.typtype`.
    pub kind: i8,
    /// Of an enum, in their order.
    pub labels: Vec<String>,
}

/// What a type is.
///
/// # Errors
/// When the server cannot be asked.
pub async fn kind(client: &Client, place: &str, oid: Oid) -> Result<Kind> {
    let row = client.query_one(KIND, &[&oid]).await;
    let row = row.map_err(|error| classify(&error, place))?;
    Ok(Kind { kind: row.get(0), labels: row.get(1) })
}

/// A type with its modifier, as SQL has it.
///
/// # Errors
/// When the server cannot be asked.
pub async fn printed(client: &Client, place: &str, oid: Oid, modifier: i32) -> Result<String> {
    let row = client.query_one("SELECT format_type($1, $2)", &[&oid, &modifier]).await;
    Ok(row.map_err(|error| classify(&error, place))?.get(0))
}

/// A type without its modifier and with it, as SQL has them.
///
/// # Errors
/// When the server cannot be asked.
pub async fn printed_without_modifier(
    client: &Client,
    place: &str,
    oid: Oid,
    modifier: i32,
) -> Result<(String, String)> {
    // With a modifier, of -1: `character` and `bit` without one are of one character, or bit.
    let sql = "SELECT format_type($1, -1), format_type($1, $2)";
    let row = client.query_one(sql, &[&oid, &modifier]).await;
    let row = row.map_err(|error| classify(&error, place))?;
    Ok((row.get(0), row.get(1)))
}
