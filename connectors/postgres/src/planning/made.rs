//! What a pipeline makes at the source, and what is set there that it has to know of.

use regraft_core::sql::quote;
use regraft_core::{Code, Error, Result, TableName};
use tokio_postgres::Client;

use crate::classify;

/// Why the role may not make the publication.
///
/// # Errors
/// When the source cannot be asked.
pub async fn may_publish(
    client: &Client,
    place: &str,
    name: &str,
    tables: &[TableName],
    create: &str,
) -> Result<Option<Error>> {
    let list: Vec<_> = tables.iter().map(TableName::quoted).collect();
    let sql = "SELECT has_database_privilege(current_database(), 'CREATE'), \
               coalesce((SELECT bool_and(pg_has_role(c.relowner, 'USAGE')) FROM pg_class c \
                         WHERE c.oid = ANY($1::text[]::regclass[])), true)";
    let row = client.query_one(sql, &[&list]).await;
    let row = row.map_err(|error| classify(&error, place))?;
    let why = match (row.get(0), row.get(1)) {
        (true, true) => return Ok(None),
        (false, _) => "it lacks CREATE on the database",
        (true, false) => "it does not own the tables",
    };
    let what = format!("the role may not make the publication {name}: {why}");
    let remedy = format!("have the tables' owner run: {create}");
    Ok(Some(Error::new(Code::PrivilegeMissing, what).at(place).remedy(remedy)))
}

/// `synchronous_standby_names` and `synchronous_commit`.
///
/// # Errors
/// When the source cannot be asked.
pub async fn standbys(client: &Client, place: &str) -> Result<(String, String)> {
    let sql = "SELECT current_setting('synchronous_standby_names'), \
               current_setting('synchronous_commit')";
    let row = client.query_one(sql, &[]).await;
    let row = row.map_err(|error| classify(&error, place))?;
    Ok((row.get(0), row.get(1)))
}

/// Which of the publications, and whether the slot, are there.
///
/// # Errors
/// When the source cannot be asked.
pub async fn there(
    client: &Client,
    place: &str,
    publications: &[String],
    slot: &str,
) -> Result<(Vec<String>, bool)> {
    let sql = "SELECT ARRAY(SELECT pubname::text FROM pg_publication WHERE pubname = ANY ($1)), \
               EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $2)";
    let row = client.query_one(sql, &[&publications, &slot]).await;
    let row = row.map_err(|error| classify(&error, place))?;
    Ok((row.get(0), row.get(1)))
}

/// Drops a slot.
///
/// # Errors
/// When the source refuses.
pub async fn drop_slot(client: &Client, place: &str, name: &str) -> Result<()> {
    let dropped = client.execute("SELECT pg_drop_replication_slot($1)", &[&name]).await;
    dropped.map(drop).map_err(|error| classify(&error, place))
}

/// Drops a publication.
///
/// # Errors
/// When the source refuses.
pub async fn drop_publication(client: &Client, place: &str, name: &str) -> Result<()> {
    let dropped = client.batch_execute(&format!("DROP PUBLICATION {}", quote(name))).await;
    dropped.map_err(|error| classify(&error, place))
}
