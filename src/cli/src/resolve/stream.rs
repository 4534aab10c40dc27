//! What of the tables that a statement reads never comes in the stream: nothing that is done later could make
//! up for it.

use std::collections::HashMap;

use regraft_core::sql::quote;
use regraft_core::{Code, Error, Oid, ReplicaIdentity, Result};
use regraft_mapping::Statement;
use regraft_postgres::catalog::{BinaryForm, Table, TableColumn};
use regraft_postgres::planning::{Described, DescribedColumn, has_large_objects};

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
        let remedy = format!("ALTER TABLE {} SET LOGGED", table.name.quoted());
        (what, remedy)
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

/// Refuses a table whose rows the server cannot send, whether or not the column is mapped; and a key that cannot
/// be given back to it.
pub(super) fn sent(table: &Table, key: &[String], statement: &Statement) -> Result<()> {
    let mut columns = table.columns.iter().filter(|column| !column.generated);
    if let Some(column) = columns.clone().find(|column| column.binary.broken) {
        let what = format!(
            "the server cannot send the column {} of {}: a type inside of {} has no binary form",
            quote(&column.name),
            table.name,
            column.full_type
        );
        return Err(Error::new(Code::NotStreamable, what).at(statement.place()).remedy(
            "the stream carries whole rows: move the column to another table, or ALTER it to a type that is \
             made of types with a binary form, such as text[]",
        ));
    }
    let unread = |column: &&TableColumn| column.binary.unread && !column.binary.missing;
    let Some(column) = columns.find(|column| key.contains(&column.name) && unread(column)) else {
        return Ok(());
    };
    let what = format!(
        "the key column {} of {} has the type {}, whose binary form the server does not always read",
        quote(&column.name),
        table.name,
        column.full_type
    );
    Err(Error::new(Code::SourceKeyMissing, what).at(statement.place()).remedy(format!(
        "ALTER TABLE {} REPLICA IDENTITY USING INDEX … with a unique index over other columns",
        table.name.quoted()
    )))
}

/// Why a SELECT cannot be streamed that copies values whose binary form, which the stream carries, the server does
/// not read.
pub(super) fn unread(
    statement: &Statement,
    prepared: &Described,
    forms: &HashMap<Oid, BinaryForm>,
) -> Option<Error> {
    let unread = |column: &&DescribedColumn| {
        let form = forms.get(&column.type_oid).copied().unwrap_or_default();
        form.is_text() && !form.missing
    };
    let column = prepared.columns.iter().find(unread)?;
    let what = format!(
        "the binary form of {}, the type of {}, is not always read",
        column.type_name,
        quote(&column.name)
    );
    Some(Error::new(Code::NotStreamable, what).at(statement.place()))
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
    if has_large_objects(&side.client, &side.place).await? {
        findings.push(Finding::warning(
            format!("{} may name large objects: only their numbers are copied", names.join(", ")),
            statement.place(),
            "the stream carries no large objects: put their content into a column (bytea) first, by lo_get, \
             or copy them by other means",
        ));
    }
    Ok(())
}
