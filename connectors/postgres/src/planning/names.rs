//! What the names in statements could mean at a server.

use regraft_core::Result;
use tokio_postgres::Client;

use crate::classify;

/// What is found in the schemas of the search path under a name of the statement. What takes a type that no compiled
/// expression has cannot be meant, as a text is made a `citext` only where this is written. A cast
/// without a function of its own does what the built-in one does, by the text of the value.
const OWN: &str = "
    WITH named AS (SELECT DISTINCT name, operator FROM unnest($1::text[], $2::bool[]) AS n(name, operator)),
    own AS (
        SELECT n.name, n.operator, 'the function ' || p.oid::regprocedure AS what, p.proargtypes::oid[] AS types
        FROM named n JOIN pg_proc p ON p.proname = n.name AND NOT n.operator
        JOIN pg_namespace s ON s.oid = p.pronamespace
        WHERE p.oid >= 16384 AND s.nspname = ANY ($3::text[])
        UNION ALL
        SELECT n.name, n.operator, 'the operator ' || o.oid::regoperator, ARRAY[o.oprleft, o.oprright]
        FROM named n JOIN pg_operator o ON o.oprname = n.name AND n.operator
        JOIN pg_namespace s ON s.oid = o.oprnamespace
        WHERE o.oid >= 16384 AND s.nspname = ANY ($3::text[])
        UNION ALL
        SELECT NULL, NULL, format('the cast from %s to %s', c.castsource::regtype, c.casttarget::regtype),
               ARRAY[c.castsource, c.casttarget]
        FROM pg_cast c WHERE c.oid >= 16384 AND c.castmethod <> 'i')
    SELECT name, operator, what FROM own
    WHERE NOT EXISTS (
        SELECT FROM unnest(types) AS a JOIN pg_type t ON t.oid = a LEFT JOIN pg_type e ON e.oid = t.typelem
        WHERE t.oid >= 10000 AND t.typtype NOT IN ('e', 'd')
        AND NOT (t.typcategory = 'A' AND (e.oid < 10000 OR e.typtype IN ('e', 'd'))))
    ORDER BY what";

/// Built-in functions that are stable only because they depend on settings, which are fixed in regraft's
/// sessions, or on the text form of their arguments. Others that have an immutable form beside a stable
/// one differ in the same way, except for `age`, which counts from today.
const STABLE: &[&str] = &[
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "format",
    "json_build_array",
    "json_build_object",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_path_exists_tz",
    "jsonb_path_match_tz",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "make_timestamptz",
    "row_to_json",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
];

/// The first function or operator whose value depends on more than its arguments. One that is built in
/// may depend on fixed settings; each other one has to be declared immutable, because it may read
/// tables.
const UNSTABLE: &str = "
    WITH named AS (SELECT * FROM unnest($1::text[], $2::bool[]) WITH ORDINALITY AS n(name, operator, at)),
    functions AS (
        SELECT n.*, p.oid, p.provolatile FROM named n
        JOIN pg_proc p ON p.proname = n.name AND NOT n.operator
        UNION ALL
        SELECT n.*, p.oid, p.provolatile FROM named n
        JOIN pg_operator o ON o.oprname = n.name AND n.operator JOIN pg_proc p ON p.oid = o.oprcode)
    SELECT at, bool_or(provolatile = 'v') AS volatile FROM functions
    WHERE provolatile = 'v'
       OR (provolatile = 's' AND oid >= 16384)
       OR (provolatile = 's' AND name = 'age')
       OR (provolatile = 's' AND NOT operator AND name <> ALL ($3::text[])
           AND NOT EXISTS (SELECT FROM pg_proc i WHERE i.proname = name AND i.provolatile = 'i' AND i.oid < 16384))
    GROUP BY at ORDER BY at LIMIT 1";

/// Something that the server has beside what is built in.
#[derive(Clone, Debug)]
pub struct Own {
    /// Its name, and whether it is an operator; `None` for a cast.
    pub named: Option<(String, bool)>,
    /// What it is, with its signature.
    pub what: String,
}

/// What the server has of its own under these names, of which `operators` says which are operators; and its casts.
///
/// # Errors
/// When the server cannot be asked.
pub async fn own(
    client: &Client,
    place: &str,
    (names, operators): (&[&str], &[bool]),
    path: &[String],
) -> Result<Vec<Own>> {
    let rows = client.query(OWN, &[&names, &operators, &path]).await;
    let rows = rows.map_err(|error| classify(&error, place))?;
    let own = rows.iter().map(|row| {
        let name: Option<String> = row.get("name");
        Own { named: name.zip(row.get("operator")), what: row.get("what") }
    });
    Ok(own.collect())
}

/// The first of these names whose value depends on more than its arguments: its place in the list, and whether it
/// gives another value each time.
///
/// # Errors
/// When the server cannot be asked.
pub async fn unstable(
    client: &Client,
    place: &str,
    (names, operators): (&[&str], &[bool]),
) -> Result<Option<(usize, bool)>> {
    let found = client.query_opt(UNSTABLE, &[&names, &operators, &STABLE]).await;
    let found = found.map_err(|error| classify(&error, place))?;
    Ok(found.map(|row| {
        let at = usize::try_from(row.get::<_, i64>("at") - 1).unwrap_or_default();
        (at, row.get("volatile"))
    }))
}

/// For each table of these names that is in a schema of the path, its name and the first such schema.
///
/// # Errors
/// When the server cannot be asked.
pub async fn schemas_of(
    client: &Client,
    place: &str,
    names: &[&str],
    path: &[String],
) -> Result<Vec<(String, String)>> {
    let sql = "SELECT DISTINCT ON (c.relname) c.relname::text, n.nspname::text \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relname = ANY($1) AND n.nspname = ANY($2) \
               ORDER BY c.relname, array_position($2, n.nspname::text)";
    let found = client.query(sql, &[&names, &path]).await;
    let found = found.map_err(|error| classify(&error, place))?;
    Ok(found.iter().map(|row| (row.get(0), row.get(1))).collect())
}
