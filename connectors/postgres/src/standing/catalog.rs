//! Reads what a mapping stands on: a constant number of round trips, however many tables it has.

use regraft_core::Result;
use serde::de::DeserializeOwned;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::names::NAMES;
use super::{Asked, AskedTable, FORM, NameIs, PublicationIs, Standing, TableIs};
use crate::classify;
use crate::endpoint::search;
use crate::slot::{Publication, Server};

impl Standing {
    /// Reads it from both servers.
    ///
    /// # Errors
    /// When one of them cannot be asked.
    pub async fn take(
        source: (&Client, &str),
        server: &Server,
        target: (&Client, &str),
        asked: &Asked,
    ) -> Result<Self> {
        let find = async |name: Option<&String>| -> Result<Option<PublicationIs>> {
            let Some(name) = name else { return Ok(None) };
            let found = Publication::find(source.0, server, source.1, name).await?;
            Ok(found.map(PublicationIs::from))
        };
        Ok(Self {
            publication: find(Some(&asked.publication)).await?,
            appended: find(asked.appended.as_ref()).await?,
            sources: tables(source, &asked.sources).await?,
            targets: tables(target, &asked.targets).await?,
            names: names(source, asked).await?,
            form: FORM,
        })
    }

    /// The schemas that statements are evaluated with at the source: those of what their names mean, of a
    /// role that searches `path`. All of the role's, when functions of the source's own are among it, which
    /// may use others in turn.
    pub fn source_schemas(&self, path: &[String]) -> Vec<String> {
        let named = || self.names.iter().filter(|name| name.form == 0);
        let functions = named().any(|n| n.kind == "function" && path.contains(&n.schema));
        let types = schemas_of(&self.sources);
        let used = |schema: &&String| {
            functions || named().any(|n| n.schema == **schema) || types.contains(&schema.as_str())
        };
        path.iter().filter(used).cloned().collect()
    }

    /// The schemas that the target is written with, of a role that searches `path`: those of the types of
    /// its columns, in which their operators are.
    pub fn target_schemas(&self, path: &[String]) -> Vec<String> {
        let types = schemas_of(&self.targets);
        path.iter().filter(|schema| types.contains(&schema.as_str())).cloned().collect()
    }

    /// Has a session at the source evaluate statements as they were meant.
    pub fn source_path(&self, path: &[String]) -> String {
        search(&self.source_schemas(path))
    }
}

impl From<Publication> for PublicationIs {
    fn from(found: Publication) -> Self {
        Self {
            owner: found.owner,
            carries: format!(
                "{:?} {} {} {:?}",
                found.operations,
                found.via_root,
                found.generated,
                found.tables.iter().map(|t| t.restricted).collect::<Vec<_>>()
            ),
            members: found.tables.into_iter().map(|t| (t.table, t.member)).collect(),
            id: found.id,
        }
    }
}

/// The schemas of types of columns.
fn schemas_of(tables: &[TableIs]) -> Vec<&str> {
    let columns = tables.iter().flat_map(|table| &table.columns);
    columns.flat_map(|column| &column.schemas).map(String::as_str).collect()
}

/// Tables by their names. One that does not exist is left out.
async fn tables((client, place): (&Client, &str), asked: &[AskedTable]) -> Result<Vec<TableIs>> {
    let schemas: Vec<&str> = asked.iter().map(|table| table.table.schema.as_str()).collect();
    let names: Vec<&str> = asked.iter().map(|table| table.table.name.as_str()).collect();
    let mut found: Vec<TableIs> = objects(client, place, TABLES, &[&schemas, &names]).await?;
    for table in &mut found {
        let wanted = asked.iter().find(|asked| asked.table == table.table);
        table
            .columns
            .retain(|column| wanted.is_some_and(|asked| asked.columns.contains(&column.name)));
    }
    Ok(found)
}

async fn names((client, place): (&Client, &str), asked: &Asked) -> Result<Vec<NameIs>> {
    let names = &asked.names;
    // A name may be written with its schema.
    let schemas: Vec<_> = asked.path.iter().chain(&names.schemas).collect();
    let tables: Vec<_> = asked.sources.iter().map(|table| table.oid).collect();
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&names.functions, &names.operators, &names.types, &schemas, &tables];
    objects(client, place, NAMES, &parameters).await
}

/// One object per row, as JSON in its first column.
async fn objects<T: DeserializeOwned>(
    client: &Client,
    place: &str,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<T>> {
    let rows = client.query(sql, parameters).await.map_err(|error| classify(&error, place))?;
    let object = |row: &tokio_postgres::Row| {
        serde_json::from_str(row.get(0)).map_err(|error| {
            let what = "the catalog gave something of another shape";
            regraft_core::Error::new(regraft_core::Code::Internal, what).at(place).because(error)
        })
    };
    rows.iter().map(object).collect()
}

// A partition was made as one when the entry that makes it a partition came in the command that made the
// table: the commands of `CREATE TABLE … PARTITION OF` are at most three apart, and those of CREATE TABLE
// and ATTACH PARTITION in one transaction are further. Its system columns are never touched again. The
// functions about partitions are not used: they lock each of them. Nor is `pg_get_expr`, which locks the table, and
// whose text is another one when a column is renamed.
const TABLES: &str = "
WITH RECURSIVE wanted AS (
    SELECT c.oid, c.relkind, n.nspname, c.relname
    FROM unnest($1::text[], $2::text[]) AS w(schema, name)
    JOIN pg_namespace n ON n.nspname = w.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p')),
tree AS (
    SELECT oid AS root, oid, true AS born, ''::text AS attached FROM wanted
    UNION ALL
    SELECT tree.root, i.inhrelid,
           tree.born AND i.xmin = s.xmin AND i.cmin::text::bigint - s.cmin::text::bigint <= 3,
           tree.attached || ' ' || i.xmin::text
    FROM tree JOIN pg_class p ON p.oid = tree.oid AND p.relkind = 'p'
    JOIN pg_inherits i ON i.inhparent = tree.oid
    JOIN pg_attribute s ON s.attrelid = i.inhrelid AND s.attnum = -6),
parts AS (
    SELECT tree.root, jsonb_agg(jsonb_build_object(
        'oid', p.oid::bigint, 'table', jsonb_build_object('schema', n.nspname, 'name', p.relname),
        'file', coalesce(pg_relation_filenode(p.oid), 0)::bigint, 'altered', p.xmin::text,
        'born', tree.born, 'attached', tree.attached,
        'unlogged', p.relkind = 'f' OR p.relpersistence <> 'p') ORDER BY p.oid) AS list
    FROM tree JOIN pg_class p ON p.oid = tree.oid AND p.relkind IN ('r', 'f')
    JOIN pg_namespace n ON n.oid = p.relnamespace GROUP BY tree.root),
used AS (
    SELECT DISTINCT a.atttypid AS column_type, a.atttypid AS oid
    FROM wanted JOIN pg_attribute a ON a.attrelid = wanted.oid AND a.attnum > 0 AND a.atttypid >= 16384
    UNION
    SELECT used.column_type, x.oid FROM used JOIN pg_type t ON t.oid = used.oid,
         LATERAL (SELECT t.typbasetype UNION ALL SELECT t.typelem UNION ALL
                  SELECT m.atttypid FROM pg_attribute m WHERE m.attrelid = t.typrelid AND t.typrelid <> 0
                  AND m.attnum > 0 AND NOT m.attisdropped) AS x(oid)
    WHERE x.oid >= 16384),
types AS (
    SELECT used.column_type, jsonb_agg(DISTINCT n.nspname) AS schemas,
           (SELECT coalesce(jsonb_agg(jsonb_build_array(e.oid::bigint, e.enumlabel) ORDER BY e.oid), '[]')
            FROM used u JOIN pg_enum e ON e.enumtypid = u.oid
            WHERE u.column_type = used.column_type) AS labels,
           (SELECT coalesce(jsonb_agg(jsonb_build_array(m.attrelid::bigint, m.attnum, m.attname, m.atttypid::bigint)
                       ORDER BY m.attrelid, m.attnum), '[]')
            FROM used u JOIN pg_type c ON c.oid = u.oid AND c.typrelid <> 0
            JOIN pg_attribute m ON m.attrelid = c.typrelid AND m.attnum > 0 AND NOT m.attisdropped
            WHERE u.column_type = used.column_type) AS attributes
    FROM used JOIN pg_type t ON t.oid = used.oid JOIN pg_namespace n ON n.oid = t.typnamespace
    GROUP BY used.column_type),
columns AS (
    SELECT a.attrelid AS root, jsonb_agg(jsonb_build_object(
        'name', a.attname, 'number', a.attnum, 'collation', a.attcollation::bigint,
        'full_type', CASE WHEN tn.nspname = 'pg_catalog' THEN format_type(a.atttypid, a.atttypmod)
            ELSE format('%I.%I (%s)', tn.nspname, t.typname, a.atttypmod) END,
        'type_oid', a.atttypid::bigint,
        'folds', coalesce(b.typname, t.typname) = 'citext'
            OR a.attcollation IN (SELECT oid FROM pg_collation WHERE NOT collisdeterministic)
            OR EXISTS (SELECT FROM pg_index i, unnest(i.indkey::int2[], i.indcollation::oid[]) AS k(number, folding)
                WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND k.number = a.attnum
                AND k.folding IN (SELECT oid FROM pg_collation WHERE NOT collisdeterministic)),
        'altered', a.xmin::text,
        'also', concat(a.attnotnull, ' ', a.atthasdef, ' ', a.atthasmissing),
        'schemas', coalesce(types.schemas, '[]'), 'labels', coalesce(types.labels, '[]'),
        'attributes', coalesce(types.attributes, '[]'),
        'expression', CASE WHEN a.attgenerated = '' THEN '' ELSE (SELECT md5(d.adbin::text) FROM pg_attrdef d
            WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END
    ) ORDER BY a.attnum) AS list
    FROM wanted JOIN pg_attribute a ON a.attrelid = wanted.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
    LEFT JOIN pg_type b ON b.oid = t.typbasetype
    LEFT JOIN types ON types.column_type = a.atttypid GROUP BY a.attrelid)
SELECT jsonb_build_object(
    'table', jsonb_build_object('schema', wanted.nspname, 'name', wanted.relname),
    'oid', wanted.oid::bigint,
    'columns', coalesce(columns.list, '[]'),
    'parts', coalesce(parts.list, '[]'),
    'inherited', wanted.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = wanted.oid)
)::text
FROM wanted LEFT JOIN columns ON columns.root = wanted.oid LEFT JOIN parts ON parts.root = wanted.oid
ORDER BY wanted.nspname, wanted.relname";
