//! What of a target decides how it is written: which rows are the same, and what is kept of a value.

use regraft_core::segment::Route;
use regraft_core::{Result, TableName};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use crate::classify;

/// A digest for each of these tables: their columns with types and collations, and their unique indexes. Those
/// that are being made or dropped beside the writes are no arbiters yet, or no more, and an index that is
/// made again is the same.
pub(super) const SHAPES: &str = "
SELECT coalesce(md5(concat_ws(';', c.oid,
    (SELECT string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull,
                                 a.attidentity, a.attgenerated), ',' ORDER BY a.attnum)
     FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT string_agg(i.shape, ',' ORDER BY i.shape)
     FROM (SELECT concat_ws(' ', i.indkey, i.indclass, i.indcollation, i.indnkeyatts, i.indisprimary, i.indimmediate,
                            i.indpred IS NULL, i.indexprs IS NULL) AS shape
           FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indislive) AS i))), '')
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(schema, name, at)
LEFT JOIN pg_namespace n ON n.nspname = w.schema
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
ORDER BY w.at";

/// The shapes of the targets of these routes.
pub(super) async fn shapes(client: &Client, place: &str, routes: &[Route]) -> Result<Vec<String>> {
    let statement = client.prepare(SHAPES).await.map_err(|error| classify(&error, place))?;
    ask(client, place, &statement, routes.iter()).await
}

/// The same, by the statement that was prepared.
pub(super) async fn ask<'r>(
    client: &Client,
    place: &str,
    statement: &Statement,
    routes: impl Iterator<Item = &'r Route>,
) -> Result<Vec<String>> {
    let name = |route: &'r Route| {
        let TableName { schema, name } = &route.target;
        (schema.as_str(), name.as_str())
    };
    let (schemas, names): (Vec<_>, Vec<_>) = routes.map(name).unzip();
    let parameters: [&(dyn ToSql + Sync); 2] = [&schemas, &names];
    let rows = client.query(statement, &parameters).await;
    Ok(rows.map_err(|error| classify(&error, place))?.iter().map(|row| row.get(0)).collect())
}
