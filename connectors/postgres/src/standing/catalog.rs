//! Reads what a mapping stands on: a constant number of round trips, however many tables it has.

use regraft_core::Result;
use serde::de::DeserializeOwned;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::{Asked, AskedTable, NameIs, PublicationIs, Standing, TableIs};
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
        let publication = Publication::find(source.0, server, source.1, &asked.publication).await?;
        Ok(Self {
            publication: publication.map(|found| PublicationIs {
                members: found.tables.into_iter().map(|t| (t.table, t.member)).collect(),
                id: found.id,
            }),
            sources: tables(source, &asked.sources).await?,
            targets: tables(target, &asked.targets).await?,
            names: names(source, asked).await?,
        })
    }

    /// The schemas that statements are evaluated with at the source: those of what their names mean, of a
    /// role that searches `path`. All of the role's, when functions of the source's own are among it, which
    /// may use others in turn.
    pub fn source_schemas(&self, path: &[String]) -> Vec<String> {
        let functions = self.names.iter().any(|n| n.kind == "function" && path.contains(&n.schema));
        let used = |schema: &&String| functions || self.names.iter().any(|n| n.schema == **schema);
        let mut schemas: Vec<_> = path.iter().filter(used).cloned().collect();
        add(&mut schemas, &self.sources);
        schemas
    }

    /// The schemas of the types of the target's columns, in which their operators are.
    pub fn target_schemas(&self) -> Vec<String> {
        let mut schemas = Vec::new();
        add(&mut schemas, &self.targets);
        schemas
    }

    /// Has a session at the source evaluate statements as they were meant.
    pub fn source_path(&self, path: &[String]) -> String {
        search(&self.source_schemas(path))
    }
}

/// The schemas of types of columns.
fn add(schemas: &mut Vec<String>, tables: &[TableIs]) {
    let columns = tables.iter().flat_map(|table| &table.columns);
    for schema in columns.flat_map(|column| &column.schemas) {
        if !schemas.contains(schema) {
            schemas.push(schema.clone());
        }
    }
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
    let schemas: Vec<_> = asked.path.iter().chain(&names.types).chain(&names.functions).collect();
    let parameters: [&(dyn ToSql + Sync); 4] =
        [&names.functions, &names.operators, &names.types, &schemas];
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
// and ATTACH PARTITION in one transaction are further. Its system columns are never touched again.
const TABLES: &str = "
SELECT jsonb_build_object(
    'table', jsonb_build_object('schema', n.nspname, 'name', c.relname),
    'oid', c.oid::bigint,
    'columns', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', a.attname, 'number', a.attnum, 'collation', a.attcollation::bigint,
            'full_type', CASE WHEN tn.nspname = 'pg_catalog' THEN format_type(a.atttypid, a.atttypmod)
                ELSE format('%I.%I (%s)', tn.nspname, t.typname, a.atttypmod) END,
            'altered', a.xmin::text,
            'schemas', (SELECT coalesce(jsonb_agg(DISTINCT un.nspname), '[]') FROM pg_type u
                        JOIN pg_namespace un ON un.oid = u.typnamespace
                        WHERE u.oid IN (t.oid, t.typelem, t.typbasetype) AND un.nspname <> 'pg_catalog'),
            'labels', (SELECT coalesce(jsonb_agg(jsonb_build_array(e.oid::bigint, e.enumlabel) ORDER BY e.oid), '[]')
                       FROM pg_enum e WHERE e.enumtypid IN (t.oid, t.typelem, t.typbasetype))
        ) ORDER BY a.attnum), '[]')
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'parts', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'oid', p.oid::bigint, 'table', jsonb_build_object('schema', pn.nspname, 'name', p.relname),
            'file', coalesce(pg_relation_filenode(p.oid), 0)::bigint, 'altered', p.xmin::text,
            'born', coalesce((SELECT i.xmin = s.xmin AND i.cmin::text::bigint - s.cmin::text::bigint <= 3
                              FROM pg_inherits i JOIN pg_attribute s ON s.attrelid = i.inhrelid AND s.attnum = -6
                              WHERE i.inhrelid = p.oid), true)
        ) ORDER BY p.oid), '[]')
        FROM pg_class p JOIN pg_namespace pn ON pn.oid = p.relnamespace
        WHERE p.relkind = 'r' AND (p.oid = c.oid OR c.relkind = 'p'
              AND p.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)))
)::text
FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name AND c.relkind IN ('r', 'p')
ORDER BY n.nspname, c.relname";

// What is built in is the same on every start. Objects of the server's owner begin at 16384.
const NAMES: &str = "
SELECT jsonb_build_object('kind', kind, 'schema', schema, 'what', what, 'oid', oid::bigint,
                          'definition', definition)::text
FROM (
    SELECT 'function' AS kind, n.nspname AS schema,
           format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS what, p.oid,
           md5(CASE WHEN p.prokind = 'a' THEN p.proname ELSE pg_get_functiondef(p.oid) END) AS definition
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.oid >= 16384 AND p.proname = ANY ($1::text[]) AND n.nspname = ANY ($4::text[])
    UNION ALL
    SELECT 'operator', n.nspname, format('%I.%s(%s, %s)', n.nspname, o.oprname,
               format_type(o.oprleft, NULL), format_type(o.oprright, NULL)), o.oid,
           md5(format('%s %s', o.oprcode, o.oprresult))
    FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE o.oid >= 16384 AND o.oprname = ANY ($2::text[]) AND n.nspname = ANY ($4::text[])
    UNION ALL
    SELECT 'type', n.nspname, format('%I.%I', n.nspname, t.typname), t.oid,
           md5(format('%s %s %s', t.typtype, t.typbasetype, t.typtypmod))
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.oid >= 16384 AND t.typname = ANY ($3::text[]) AND n.nspname = ANY ($4::text[])
      AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
    UNION ALL
    SELECT 'collation', n.nspname, format('%I.%I', n.nspname, l.collname), l.oid,
           md5(format('%s %s %s', l.collprovider, l.collcollate, l.collctype))
    FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
    WHERE l.oid >= 16384 AND l.collname = ANY ($3::text[]) AND n.nspname = ANY ($4::text[])
    UNION ALL
    SELECT 'cast', '', format('from %s to %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)),
           c.oid, md5(format('%s %s', c.castcontext, c.castmethod))
    FROM pg_cast c WHERE c.oid >= 16384 AND c.castsource < 16384 AND c.casttarget < 16384
) AS found ORDER BY kind, what";
