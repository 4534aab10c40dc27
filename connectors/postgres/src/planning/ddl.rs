//! What would have to be made at the target: tables, and the schemas and types that they need.

use std::collections::BTreeSet;

use regraft_core::sql::{quote, quote_list};
use regraft_core::{Oid, Result};
use tokio_postgres::Client;

use crate::classify;

/// A target table that does not exist, as one statement would fill it.
pub struct MissingTarget {
    /// Schema, if it was written, and table.
    pub name: (Option<String>, String),
    /// SQL that makes schemas and types that it needs and that are missing, too.
    pub before: Vec<String>,
    /// Its columns, in order.
    pub columns: Vec<MissingColumn>,
    /// Columns that copy the source key.
    pub key: Vec<String>,
    /// Columns that are constants, by which statements of one table tell their rows apart.
    pub constants: Vec<String>,
    /// More than one row may come from a source row.
    pub many: bool,
}

/// A column of it.
pub struct MissingColumn {
    /// Name.
    pub name: String,
    /// Its type, with a modifier.
    pub sql_type: String,
    /// No row of the statement has NULL there.
    pub not_null: bool,
}

/// Types of users among these and all that they are made of, innermost first: whether their name has the schema,
/// the schema, the name, and what makes them.
const TYPES: &str = "WITH RECURSIVE used(oid, depth) AS (
        SELECT oid, 0 FROM unnest($1::oid[]) AS oid
        UNION
        SELECT below.oid, depth + 1 FROM used JOIN pg_type AS t ON t.oid = used.oid, LATERAL (
            SELECT t.typelem WHERE t.typelem <> 0
            UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
            UNION ALL SELECT atttypid FROM pg_attribute WHERE t.typtype = 'c'
                AND attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped) AS below(oid))
    SELECT NOT pg_type_is_visible(t.oid), nspname::text, format_type(t.oid, NULL), CASE typtype
        WHEN 'e' THEN (SELECT 'ENUM (' || string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) || ')'
            FROM pg_enum WHERE enumtypid = t.oid)
        WHEN 'd' THEN format_type(typbasetype, typtypmod)
        ELSE (SELECT '(' || string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', '
            ORDER BY attnum) || ')'
            FROM pg_attribute WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped) END,
        typtype = 'd'
    FROM (SELECT oid, max(depth) AS depth FROM used GROUP BY oid) AS used
    JOIN pg_type AS t ON t.oid = used.oid JOIN pg_namespace AS n ON n.oid = typnamespace
    WHERE typtype IN ('e', 'd', 'c') AND t.oid >= 16384 ORDER BY depth DESC, t.oid";

/// The schemas and types that the target does not have.
///
/// # Errors
/// When a server cannot be asked.
pub async fn lacking(
    (source, source_place): (&Client, &str),
    (target, target_place): (&Client, &str),
    schema: Option<&str>,
    types: &[Oid],
) -> Result<Vec<String>> {
    let asked = source.query(TYPES, &[&types]).await;
    let types = asked.map_err(|error| classify(&error, source_place))?;
    let lacks = async |sql: &str, name: &str| -> Result<bool> {
        let row = target.query_one(sql, &[&name]).await;
        Ok(row.map_err(|error| classify(&error, target_place))?.get(0))
    };
    let no_schema = "SELECT to_regnamespace(quote_ident($1::text)) IS NULL";
    let no_type = "SELECT to_regtype($1::text) IS NULL";
    let mut statements = Vec::new();
    if let Some(schema) = schema
        && lacks(no_schema, schema).await?
    {
        statements.push(format!("CREATE SCHEMA {};\n", quote(schema)));
    }
    for row in types {
        let (qualified, schema, name): (bool, String, String) =
            (row.get(0), row.get(1), row.get(2));
        let (made_of, domain): (Option<String>, bool) = (row.get(3), row.get(4));
        if !lacks(no_type, &name).await? {
            continue;
        }
        if qualified && lacks(no_schema, &schema).await? {
            statements.push(format!("CREATE SCHEMA {};\n", quote(&schema)));
        }
        let made_of = made_of.unwrap_or_else(|| "()".to_owned());
        let kind = if domain { "DOMAIN" } else { "TYPE" };
        statements.push(format!("CREATE {kind} {name} AS {made_of};\n"));
    }
    Ok(statements)
}

/// SQL that makes all of them: a table that several statements fill is one.
pub fn ddl(missing: &[MissingTarget]) -> String {
    let (mut out, mut made) = (String::new(), BTreeSet::new());
    for (at, first) in missing.iter().enumerate() {
        if missing[..at].iter().any(|earlier| earlier.name == first.name) {
            continue;
        }
        let all: Vec<_> = missing.iter().filter(|other| other.name == first.name).collect();
        for statement in all.iter().flat_map(|one| &one.before) {
            if made.insert(statement) {
                out.push_str(&format!("{statement}\n"));
            }
        }
        out.push_str(&format!("{}\n", table(first, &all)));
    }
    out
}

fn table(first: &MissingTarget, all: &[&MissingTarget]) -> String {
    let mut columns: Vec<&MissingColumn> = Vec::new();
    let (mut key, mut constants) = (Vec::new(), Vec::new());
    for one in all {
        let known: BTreeSet<&String> = columns.iter().map(|column| &column.name).collect();
        columns.extend(one.columns.iter().filter(|column| !known.contains(&column.name)));
        key.extend(&one.key);
        constants.extend(&one.constants);
    }
    if all.len() > 1 {
        // Rows of different statements may copy the same key.
        key.extend(
            constants.iter().filter(|name| all.iter().all(|one| one.constants.contains(name))),
        );
    }
    let mut seen = BTreeSet::new();
    key.retain(|name| seen.insert(*name));
    // What one statement does not fill is NULL in its rows.
    let fills = |one: &MissingTarget, name: &str| {
        one.columns.iter().any(|column| column.name == name && column.not_null)
    };
    let line = |column: &&MissingColumn| {
        let MissingColumn { name, sql_type, .. } = column;
        let not_null = if all.iter().all(|one| fills(one, name)) { " NOT NULL" } else { "" };
        format!("    {} {sql_type}{not_null}", quote(name))
    };
    let mut lines: Vec<_> = columns.iter().map(line).collect();
    let (schema, name) = &first.name;
    let name = schema.iter().chain([name]).map(|part| quote(part)).collect::<Vec<_>>().join(".");
    let many = all.iter().any(|one| one.many);
    if !many && !key.is_empty() {
        lines.push(format!("    PRIMARY KEY ({})", quote_list(&key)));
    }
    let mut made = format!("CREATE TABLE {name} (\n{}\n);\n", lines.join(",\n"));
    if many {
        // Only the user knows what tells the rows of one source row apart.
        made.push_str(
            "-- Several of its rows come from one source row. It still needs a key: what tells these rows\n\
             -- apart, in one primary key with the columns that copy the source's.\n",
        );
        if !key.is_empty() {
            made.push_str(&format!("CREATE INDEX ON {name} ({});\n", quote_list(&key)));
        }
    }
    made
}
