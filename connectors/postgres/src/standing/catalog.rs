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
        })
    }

    /// The schemas that statements are evaluated with at the source: those of what their names mean, of a
    /// role that searches `path`. All of the role's, when functions of the source's own are among it, which
    /// may use others in turn.
    pub fn source_schemas(&self, path: &[String]) -> Vec<String> {
        let functions = self.names.iter().any(|n| n.kind == "function" && path.contains(&n.schema));
        let types = schemas_of(&self.sources);
        let used = |schema: &&String| {
            functions
                || self.names.iter().any(|n| n.schema == **schema)
                || types.contains(&schema.as_str())
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
// functions about partitions are not used: they lock each of them.
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
            WHERE u.column_type = used.column_type) AS labels
    FROM used JOIN pg_type t ON t.oid = used.oid JOIN pg_namespace n ON n.oid = t.typnamespace
    GROUP BY used.column_type),
columns AS (
    SELECT a.attrelid AS root, jsonb_agg(jsonb_build_object(
        'name', a.attname, 'number', a.attnum, 'collation', a.attcollation::bigint,
        'full_type', CASE WHEN tn.nspname = 'pg_catalog' THEN format_type(a.atttypid, a.atttypmod)
            ELSE format('%I.%I (%s)', tn.nspname, t.typname, a.atttypmod) END,
        'altered', a.xmin::text,
        'also', concat(a.attnotnull, ' ', a.atthasdef, ' ', a.atthasmissing),
        'schemas', coalesce(types.schemas, '[]'), 'labels', coalesce(types.labels, '[]')
    ) ORDER BY a.attnum) AS list
    FROM wanted JOIN pg_attribute a ON a.attrelid = wanted.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
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

// What is built in is the same on every start: objects of the server's users begin at 16384. A function or
// an operator that takes a type which neither a column has nor a text names cannot be meant.
const NAMES: &str = "
WITH given AS (
    SELECT a.atttypid AS oid FROM pg_attribute a WHERE a.attrelid = ANY ($5::oid[]) AND a.attnum > 0
    UNION SELECT t.oid FROM pg_type t WHERE t.typname = ANY ($3::text[])),
foreign_types AS (
    SELECT t.oid FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem
    WHERE t.oid >= 16384 AND t.typtype NOT IN ('e', 'd') AND coalesce(e.typtype, 'b') NOT IN ('e', 'd')
    AND NOT EXISTS (SELECT FROM given WHERE given.oid IN (t.oid, t.typelem, t.typarray)))
SELECT jsonb_build_object('kind', kind, 'schema', schema, 'what', what, 'oid', oid::bigint,
                          'definition', definition)::text
FROM (
    SELECT 'function' AS kind, n.nspname AS schema,
           format('%I.%I(%s)', n.nspname, p.proname, coalesce(pg_get_function_identity_arguments(p.oid), '')) AS what,
           p.oid,
           md5(concat_ws(' ', p.prosrc, p.probin, p.prolang, p.prorettype, p.proargtypes, p.provolatile, p.proisstrict,
               p.proretset, p.prokind, p.proconfig, p.proargdefaults, p.prosqlbody,
               g.aggtransfn::oid, g.aggfinalfn::oid, g.agginitval)) AS definition
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_aggregate g ON g.aggfnoid = p.oid
    WHERE p.oid >= 16384 AND p.proname = ANY ($1::text[]) AND n.nspname = ANY ($4::text[])
      AND NOT EXISTS (SELECT FROM foreign_types f WHERE f.oid = ANY (p.proargtypes::oid[]))
    UNION ALL
    SELECT 'operator', n.nspname, format('%I.%s(%s, %s)', n.nspname, o.oprname,
               format_type(o.oprleft, NULL), format_type(o.oprright, NULL)), o.oid,
           md5(concat_ws(' ', o.oprcode::oid, o.oprresult))
    FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE o.oid >= 16384 AND o.oprname = ANY ($2::text[]) AND n.nspname = ANY ($4::text[])
      AND NOT EXISTS (SELECT FROM foreign_types f WHERE f.oid IN (o.oprleft, o.oprright))
    UNION ALL
    SELECT 'type', n.nspname, format('%I.%I', n.nspname, t.typname), t.oid,
           md5(concat_ws(' ', t.typtype, t.typbasetype, t.typtypmod))
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.oid >= 16384 AND t.typname = ANY ($3::text[]) AND n.nspname = ANY ($4::text[])
      AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
    UNION ALL
    SELECT 'collation', n.nspname, format('%I.%I', n.nspname, l.collname), l.oid,
           md5(concat_ws(' ', l.collprovider, l.collcollate, l.collctype))
    FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
    WHERE l.oid >= 16384 AND l.collname = ANY ($3::text[]) AND n.nspname = ANY ($4::text[])
    UNION ALL
    SELECT 'cast', '', format('from %s to %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)),
           c.oid, md5(concat_ws(' ', c.castcontext, c.castmethod, c.castfunc))
    FROM pg_cast c WHERE c.oid >= 16384 AND c.castsource < 16384 AND c.casttarget < 16384
) AS found ORDER BY kind, what";
