//! What of the tables that a statement reads never comes in the stream: nothing that is done later could make
//! up for it.

use regraft_core::sql::quote;
use regraft_core::{Code, Error, Oid, ReplicaIdentity, Result};
use regraft_mapping::Statement;
use regraft_postgres::catalog::Table;
use regraft_postgres::classify;

use super::Side;
use crate::finding::Finding;

/// `oid`, also as the base of the domain `lo`.
const OID: Oid = 26;

/// Refuses a table that has rows whose changes are not in the log.
pub(super) fn logged(table: &Table, statement: &Statement) -> Result<()> {
    let parts = table.not_logged.join(", ");
    let (what, remedy) = if table.not_logged.is_empty() {
        return Ok(());
    } else if *table.not_logged == [table.name.quoted()] || table.kind != 'p' {
        let what =
            format!("{} is unlogged or temporary: its changes are not in the log", table.name);
        (what, format!("ALTER TABLE {} SET LOGGED", table.name.quoted()))
    } else {
        let what = format!(
            "partitions of {} are unlogged or foreign tables, whose changes are not in the log: {parts}",
            table.name
        );
        let remedy = "ALTER TABLE … SET LOGGED for an unlogged one; DETACH a foreign one, and map it where \
                      it is";
        (what, remedy.to_owned())
    };
    Err(Error::new(Code::NotStreamable, what).at(statement.place()).remedy(remedy))
}

/// Refuses a key that the stream does not carry whole.
pub(super) fn carried(table: &Table, key: &[String], statement: &Statement) -> Result<()> {
    let Some(column) = table.generated_among(key) else { return Ok(()) };
    let what = format!(
        "the key ({}) of {} has the generated column {}, which the stream does not carry",
        key.join(", "),
        table.name,
        quote(&column.name)
    );
    let quoted = table.name.quoted();
    let full = match table.identity {
        ReplicaIdentity::Full => "",
        _ => ", which REPLICA IDENTITY FULL takes by itself",
    };
    Err(Error::new(Code::SourceKeyMissing, what).at(statement.place()).remedy(format!(
        "ALTER TABLE {quoted} REPLICA IDENTITY USING INDEX … with a unique index over NOT NULL columns that \
         are not generated, such as those that it is computed from{full}"
    )))
}

/// Warns of output columns that name large objects, whose content stays behind.
pub(super) async fn large_objects(
    side: &Side,
    columns: &[(String, Oid, i32)],
    statement: &Statement,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let names = columns.iter().filter(|(_, oid, _)| *oid == OID).map(|(name, ..)| quote(name));
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return Ok(());
    }
    let sql = "SELECT EXISTS (SELECT FROM pg_largeobject_metadata)";
    let row = side.client.query_one(sql, &[]).await;
    if row.map_err(|error| classify(&error, &side.place))?.get(0) {
        findings.push(Finding::warning(
            format!("{} may name large objects: only their numbers are copied", names.join(", ")),
            statement.place(),
            "the stream carries no large objects: put their content into a column (bytea) first, by lo_get, \
             or copy them by other means",
        ));
    }
    Ok(())
}
