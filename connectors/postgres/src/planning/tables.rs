//! What is in tables, and what a target table takes.

use regraft_core::segment::Route;
use regraft_core::sql::quote_list;
use regraft_core::{Result, TableName};
use tokio_postgres::Client;

use super::described::Refusal;
use crate::classify;

/// Tables that are looked into by one query.
const AT_ONCE: usize = 100;

/// Whether a table has no rows.
///
/// # Errors
/// When the server cannot be asked.
pub async fn is_empty(client: &Client, place: &str, table: &TableName) -> Result<bool> {
    let sql = format!("SELECT NOT EXISTS (SELECT FROM {})", table.quoted());
    let row = client.query_one(&sql, &[]).await;
    Ok(row.map_err(|error| classify(&error, place))?.get(0))
}

/// For each statement, whether its target holds rows that could be its own, as far as it can tell them from others.
///
/// # Errors
/// When the target cannot be asked.
pub async fn hold_rows(client: &Client, place: &str, routes: &[Route]) -> Result<Vec<bool>> {
    let mut found = Vec::with_capacity(routes.len());
    for routes in routes.chunks(AT_ONCE) {
        let rows = routes.iter().map(|route| {
            let own =
                if route.only.is_empty() { "true".to_owned() } else { route.only.join(" AND ") };
            format!("EXISTS (SELECT FROM {} WHERE {own})", route.target.quoted())
        });
        let sql = format!("SELECT ARRAY[{}]", rows.collect::<Vec<_>>().join(", "));
        let row = client.query_one(&sql, &[]).await;
        let holds: Vec<bool> = row.map_err(|error| classify(&error, place))?.get(0);
        found.extend(holds);
    }
    Ok(found)
}

/// Lets the target type-check the assignment, with the types that the SELECT gives.
///
/// # Errors
/// Why the target does not take it.
pub async fn assignable(client: &Client, place: &str, route: &Route) -> Result<(), Refusal> {
    let names = quote_list(route.columns.iter().map(|column| &column.name));
    let values = route.columns.iter().map(|column| format!("NULL::{}", column.sql_type));
    let values = values.collect::<Vec<_>>().join(", ");
    let overriding = "OVERRIDING SYSTEM VALUE";
    let sql =
        format!("INSERT INTO {} ({names}) {overriding} SELECT {values}", route.target.quoted());
    client.prepare(&sql).await.map(drop).map_err(|error| Refusal::of(&error, place))
}

/// Whether the database has large objects.
///
/// # Errors
/// When the server cannot be asked.
pub async fn has_large_objects(client: &Client, place: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM pg_largeobject_metadata)";
    let row = client.query_one(sql, &[]).await;
    Ok(row.map_err(|error| classify(&error, place))?.get(0))
}
