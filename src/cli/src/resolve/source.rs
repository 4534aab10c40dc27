//! The source's side of a statement: does the server accept the SELECT, can it be streamed, and does
//! the table have what the stream needs?

use std::collections::HashMap;

use regraft_core::{Code, Error, Keyless, Oid, ReplicaIdentity, Result, TableName};
use regraft_mapping::{KeyedRead, SourceTable, Statement, TableRef, TypeKind, TypeNames};
use regraft_postgres::catalog::{Catalog, Table, UserType};
use regraft_postgres::planning::{Described, DescribedColumn, Said, takes};

use super::own::Own;
use super::read::Shape;
use super::{Compiled, Evaluation, Overloads, Prepared, Side, at, read, stream};
use crate::finding::Finding;
use crate::mappers::Mappers;

/// The tables that a SELECT reads, as written.
pub(super) fn written_sources(statement: &Statement) -> String {
    let tables = statement.source_tables().iter();
    let tables: Vec<_> =
        tables.map(|table| super::written((table.schema.as_deref(), &table.name))).collect();
    tables.join(", ")
}

/// Compiles and judges the source of one statement.
pub(super) async fn compile(
    side: &Side,
    (mappers, overloads): (&Mappers, &Overloads),
    (statement, prepared): (Statement, Described),
    findings: &mut Vec<Finding>,
) -> Result<Compiled> {
    let catalog = side.catalog();
    let Some(written) = statement.source_tables().first() else {
        let what = "the SELECT reads no table, so nothing in the stream can change it";
        return Err(Error::new(Code::NotStreamable, what)
            .at(statement.place())
            .remedy("insert constant rows into the target once, by hand"));
    };
    let (schema, name) = (written.schema.as_deref(), written.name.as_str());
    let mut table = catalog.table(schema, name, Code::SourceMissing).await?;
    let mut key = match statement.keyless() {
        Some(keyless) => without_key(&table, &statement, keyless)?,
        None => key(&table, &statement)?,
    };
    readable(&table, side, findings);
    let mut tables = vec![(written.clone(), table.name.clone())];
    if let Some(named) = statement.mapper() {
        let own = Own::new(mappers, &statement, named, &table)?;
        let columns = own.columns(&table);
        let source = (table, key, tables);
        return compiled(&catalog, columns, statement, source, Evaluation::Own(own)).await;
    }

    let meant = catalog.meant(&statement.named_types()).await?;
    let source = SourceTable { meant, ..source_table(&catalog, &table, &key).await? };
    let settings = regraft_mapping::Settings {
        c_collation: side.server.collation_is_c,
        c_ctype: side.server.ctype_is_c,
        utf8: side.server.encoding == "UTF8",
        // Every connection of regraft sets both.
        utc_iso: true,
        server_version: side.server.version,
    };
    let several = statement.source_tables().len() > 1;
    let server_types: Vec<_> = prepared.columns.iter().map(|c| c.type_oid).collect();
    let forms = catalog.binary_forms(&server_types).await?;
    let streamed = regraft_mapping::compile(&statement, &source, &settings);
    let refusal = match streamed {
        Ok(mapper) if mapper.output_types() == server_types => {
            let own = overloads.first(&statement);
            let own = own.or_else(|| stream::unread(&statement, &prepared, &forms));
            own.map_or(Ok(mapper), Err)
        }
        Ok(mapper) => Err(other_type(&statement, &server_types, &mapper.output_types())),
        Err(refusal) => Err(refusal.to_error(statement.file())),
    };
    let evaluation = match refusal {
        Ok(mapper) => Evaluation::Streamed(mapper),
        Err(refusal) if statement.keyless().is_some() => {
            return Err(refusal.remedy(
                "rows without a key cannot be read by the source either: write the SELECT over one table, with what \
                 regraft evaluates, or give the table a key",
            ));
        }
        Err(refusal) if several => {
            let shape = Shape { side, catalog: &catalog, prepared: &prepared };
            let joined = read::joined(&shape, &statement, refusal, findings).await?;
            (table, key, tables) = (joined.table, joined.key, joined.named);
            joined.evaluation
        }
        Err(refusal) => {
            // Rows that do not belong to single source rows cannot be read by key either.
            let Ok(keyed) = statement.keyed_select(&key, "true") else { return Err(refusal) };
            let outputs = read::outputs(&prepared, &table);
            let mapper = KeyedRead::new(&statement, written, &source, &[], outputs)?;
            if !takes(&side.client, &keyed).await {
                return Err(refusal);
            }
            read::stable(side, &statement).await?;
            Evaluation::Read { mapper, refusal, wrapped: false, traces: Vec::new() }
        }
    };
    let column = |c: &DescribedColumn| (c.name.clone(), c.type_oid, c.type_modifier);
    let columns: Vec<_> = prepared.columns.iter().map(column).collect();
    stream::large_objects(side, &columns, &statement, findings).await?;
    compiled(&catalog, columns, statement, (table, key, tables), evaluation).await
}

/// `columns` are names, types and modifiers of the output.
async fn compiled(
    catalog: &Catalog<'_>,
    columns: Vec<(String, Oid, i32)>,
    statement: Statement,
    (source, key, tables): (Table, Vec<String>, Vec<(TableRef, TableName)>),
    evaluation: Evaluation,
) -> Result<Compiled> {
    let oids: Vec<_> = columns.iter().map(|(_, oid, _)| *oid).collect();
    let names = catalog.type_names(&oids).await?;
    let forms = catalog.binary_forms(&oids).await?;
    // A mapper of the program gives what it gets.
    let own = matches!(evaluation, Evaluation::Own(_));
    let text =
        |oid| forms.get(oid).is_some_and(|form| if own { form.missing } else { form.is_text() });
    let declaration = evaluation.declaration();
    Ok(Compiled {
        types: oids.iter().map(|oid| names.get(oid).cloned().unwrap_or_default()).collect(),
        texts: oids.iter().map(text).collect(),
        full_types: columns.iter().map(|(_, oid, modifier)| (*oid, *modifier)).collect(),
        names: columns.into_iter().map(|(name, _, _)| name).collect(),
        owner: declaration.owner(&key),
        declaration,
        statement,
        source,
        tables,
        key,
        evaluation,
    })
}

/// What the mapping has to know of a source table.
///
/// # Errors
/// When the source cannot be asked for types.
pub async fn source_table(
    catalog: &Catalog<'_>,
    table: &Table,
    key: &[String],
) -> Result<SourceTable> {
    let collated = table.columns.iter().filter(|column| column.collated);
    Ok(SourceTable {
        name: table.name.clone(),
        columns: table.stream_columns(),
        key: key.to_vec(),
        types: type_names(catalog.user_types(table).await?),
        collated: collated.map(|column| column.name.clone()).collect(),
        meant: HashMap::new(),
    })
}

/// Schemas that are searched before that of the built-in types: one of the same name there is not
/// what regraft takes.
pub(super) fn shadowed(side: &Side) -> Option<Finding> {
    let path = side.server.path.all.iter().filter(|name| !name.starts_with("pg_temp"));
    let before: Vec<_> =
        path.take_while(|name| *name != "pg_catalog").map(String::as_str).collect();
    (!before.is_empty()).then(|| {
        let before = before.join(", ");
        Finding::warning(
            format!("search_path puts {before} before pg_catalog"),
            side.place.clone(),
            "a type there that is named as a built-in one is not what regraft takes: take \
             pg_catalog out of search_path, then it comes first, or compare with \
             `regraft check --sample 1000`",
        )
    })
}

/// The compiler is wrong about a type: PostgreSQL knows better.
fn other_type(statement: &Statement, server: &[Oid], own: &[Oid]) -> Error {
    let column = (0..server.len().max(own.len())).find(|&i| server.get(i) != own.get(i));
    let column = column.unwrap_or_default() + 1;
    let what = format!("column {column} of the SELECT has another type for the server");
    Error::new(Code::NotStreamable, what)
        .at(statement.place())
        .remedy("write an explicit cast around the expression")
}

fn type_names(types: Vec<UserType>) -> TypeNames {
    let entry = |found: UserType| {
        let kind = match (found.kind, found.element) {
            (_, element) if element != 0 => TypeKind::Array { element },
            ('e', _) => TypeKind::Enum(found.labels),
            ('d', _) => TypeKind::Domain { base: found.base, modifier: found.modifier },
            ('c', _) => TypeKind::Composite,
            _ => TypeKind::Other,
        };
        let described = regraft_mapping::UserType { schema: found.schema, name: found.name, kind };
        (found.oid, described)
    };
    TypeNames(types.into_iter().map(entry).collect())
}

/// The source has parsed and type-checked the SELECT; its message and position reach the user.
pub(super) fn prepared(statement: &Statement, prepared: Prepared) -> Result<Described> {
    prepared.map_err(|refusal| {
        let Some(Said { state, message, hint, position }) = refusal.said else {
            return refusal.error;
        };
        let (line, column) = match position {
            Some(position) => statement.place_in_select(position),
            None => (statement.line(), statement.column()),
        };
        let code = match state.as_str() {
            "42501" => Code::PrivilegeMissing,
            "42P01" => Code::SourceMissing,
            _ => Code::SelectRefused,
        };
        let what = format!("the source says: {message}");
        let remedy = hint.as_deref().unwrap_or("try the SELECT in psql on the source");
        at(statement, line, column, Error::new(code, what).remedy(remedy))
    })
}

/// Judges a table that is followed without a key.
fn without_key(table: &Table, statement: &Statement, keyless: Keyless) -> Result<Vec<String>> {
    let name = &table.name;
    followed(table, statement)?;
    if keyless == Keyless::Counted && table.identity != ReplicaIdentity::Full {
        let what = format!(
            "rows of {name} are to be counted, and the stream does not carry whole old rows"
        );
        return Err(Error::new(Code::SourceKeyMissing, what).at(statement.place()).remedy(format!(
            "ALTER TABLE {} REPLICA IDENTITY FULL; or, if its rows are only ever inserted, -- regraft: \
             append-only",
            name.quoted()
        )));
    }
    stream::sent(table, &[], statement)?;
    Ok(Vec::new())
}

/// Refuses what has no change stream, or one that tells other rows than the SELECT gives.
fn followed(table: &Table, statement: &Statement) -> Result<()> {
    if !matches!(table.kind, 'r' | 'p') {
        let what = format!("{} is not a table", table.name);
        return Err(Error::new(Code::NotStreamable, what)
            .at(statement.place())
            .remedy("select from the tables below it: only tables have a change stream"));
    }
    if table.kind == 'r' && table.has_children {
        let what = format!("other tables inherit from {}", table.name);
        return Err(Error::new(Code::NotStreamable, what).at(statement.place()).remedy(
            "a SELECT on it gives their rows, too, and the stream tells them apart: map each table by \
             a statement of its own, or move the rows into partitions",
        ));
    }
    stream::logged(table, statement)
}

pub(super) fn key(table: &Table, statement: &Statement) -> Result<Vec<String>> {
    let quoted = table.name.quoted();
    followed(table, statement)?;
    if table.identity == ReplicaIdentity::Nothing {
        let what = format!("{} has REPLICA IDENTITY NOTHING", table.name);
        return Err(Error::new(Code::SourceKeyMissing, what).at(statement.place()).remedy(format!(
            "ALTER TABLE {quoted} REPLICA IDENTITY DEFAULT; or, if its rows are only ever inserted, write -- regraft: \
             append-only above the statement"
        )));
    }
    let key = table.stream_key().ok_or_else(|| {
        let what = if table.deferrable_key() {
            "a DEFERRABLE primary key, which PostgreSQL takes for no replica identity"
        } else {
            "no primary key"
        };
        let what = format!("{} has {what}", table.name);
        Error::new(Code::SourceKeyMissing, what).at(statement.place()).remedy(format!(
            "ALTER TABLE {quoted} ADD PRIMARY KEY (…), or ALTER TABLE {quoted} REPLICA IDENTITY \
             USING INDEX … with a unique index over NOT NULL columns; or follow it without a key: if its rows are \
             only ever inserted, by -- regraft: append-only above the statement, else by -- regraft: counted and \
             ALTER TABLE {quoted} REPLICA IDENTITY FULL"
        ))
    })?;
    stream::carried(table, &key, statement)?;
    stream::sent(table, &key, statement)?;
    Ok(key)
}

pub(super) fn readable(table: &Table, side: &Side, findings: &mut Vec<Finding>) {
    if table.kind == 'p' {
        findings.push(Finding::warning(
            format!("{} is partitioned: the stream tells changes of its rows only", table.name),
            side.place.clone(),
            "after TRUNCATE, DETACH or DROP of a single partition, copy the table anew: `regraft run \
             --recopy TABLE`; TRUNCATE of the whole table is followed",
        ));
    }
    if !table.privileges[0] {
        let what = format!("the role may not read {}", table.name);
        let error = Error::new(Code::PrivilegeMissing, what).at(side.place.clone());
        let remedy = format!("GRANT SELECT ON {} TO …", table.name.quoted());
        findings.push(Finding::from(&error.remedy(remedy)));
    }
    if table.row_security {
        let what = format!("row-level security hides rows of {} from the role", table.name);
        let error = Error::new(Code::PrivilegeMissing, what).at(side.place.clone());
        findings.push(Finding::from(
            &error.remedy("use a role with BYPASSRLS: the stream and the copy must see all rows"),
        ));
    }
}
