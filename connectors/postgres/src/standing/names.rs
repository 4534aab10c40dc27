//! What the names of a mapping may mean, and what is called beneath that.

/// What is built in is the same on every start: objects of the server's users begin at 16384. A function or
/// an operator that takes a type which neither a column has nor a text names cannot be meant.
///
/// What a function calls is known of bodies that the server has parsed (BEGIN ATOMIC) and of defaults. A body that is
/// a string is searched for words that are names of functions, and for operators. What extensions bring is left out
/// there: it changes with its extension, and its operators are named like any. So are temporary functions. Internal
/// functions and those in C (12, 13) have no body.
///
/// `form` is that of [`super::Standing`]: 0 for what the statements name.
pub(super) const NAMES: &str = r#"
WITH RECURSIVE given AS (
    SELECT a.atttypid AS oid FROM pg_attribute a WHERE a.attrelid = ANY ($5::oid[]) AND a.attnum > 0
    UNION SELECT t.oid FROM pg_type t WHERE t.typname = ANY ($3::text[])),
near AS (
    SELECT t.oid FROM given JOIN pg_type g ON g.oid = given.oid
    JOIN pg_type t ON t.oid IN (g.oid, g.typelem, g.typarray, g.typbasetype)
    WHERE t.oid >= 16384),
foreign_types AS (
    SELECT t.oid FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem
    WHERE t.oid >= 16384 AND t.typtype NOT IN ('e', 'd') AND coalesce(e.typtype, 'b') NOT IN ('e', 'd')
    AND NOT EXISTS (SELECT FROM given WHERE given.oid IN (t.oid, t.typelem, t.typarray))),
named AS (
    SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.oid >= 16384 AND p.proname = ANY ($1::text[]) AND n.nspname = ANY ($4::text[])
      AND NOT EXISTS (SELECT FROM foreign_types f WHERE f.oid = ANY (p.proargtypes::oid[]))),
operators AS (
    SELECT n.nspname, o.* FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE o.oid >= 16384 AND o.oprname = ANY ($2::text[]) AND n.nspname = ANY ($4::text[])
      AND NOT EXISTS (SELECT FROM foreign_types f WHERE f.oid IN (o.oprleft, o.oprright))),
casts AS (
    SELECT c.*, CASE WHEN c.castsource < 16384 AND c.casttarget < 16384 THEN 0 ELSE 1 END AS form
    FROM pg_cast c WHERE c.oid >= 16384
      AND (c.castsource < 16384 OR c.castsource IN (SELECT oid FROM near))
      AND (c.casttarget < 16384 OR c.casttarget IN (SELECT oid FROM near))),
brought AS (
    SELECT d.classid, d.objid FROM pg_depend d
    WHERE d.deptype = 'e' AND d.classid IN ('pg_proc'::regclass, 'pg_operator'::regclass)),
own AS (
    SELECT p.oid, lower(p.proname) AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.oid >= 16384 AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM brought b WHERE b.classid = 'pg_proc'::regclass AND b.objid = p.oid)),
own_operators AS (
    SELECT o.oprname AS name, o.oprcode::oid AS oid FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE o.oid >= 16384 AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM brought b WHERE b.classid = 'pg_operator'::regclass AND b.objid = o.oid)),
called AS (
    SELECT oid FROM named UNION SELECT oprcode::oid FROM operators UNION SELECT castfunc::oid FROM casts
    UNION
    SELECT beneath.oid FROM called JOIN pg_proc f ON f.oid = called.oid AND f.oid >= 16384
    CROSS JOIN LATERAL (
        SELECT d.refobjid AS oid FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid
            AND d.refclassid = 'pg_proc'::regclass
        UNION ALL
        SELECT o.oprcode FROM pg_depend d JOIN pg_operator o ON o.oid = d.refobjid
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_operator'::regclass
        UNION ALL
        SELECT x.oid FROM pg_aggregate g, unnest(ARRAY[g.aggtransfn::oid, g.aggfinalfn, g.aggcombinefn]) AS x(oid)
        WHERE g.aggfnoid = f.oid
        UNION ALL
        SELECT own.oid FROM own JOIN (
            SELECT DISTINCT w[1] AS word FROM regexp_matches(lower(f.prosrc), '[\w$]+', 'g') AS w) AS words
            ON words.word = own.name
        WHERE f.prolang NOT IN (12, 13)
        UNION ALL
        SELECT own.oid FROM own
        WHERE f.prolang NOT IN (12, 13) AND own.name ~ '[^\w$]' AND position(own.name IN lower(f.prosrc)) > 0
        UNION ALL
        SELECT o.oid FROM own_operators o WHERE f.prolang NOT IN (12, 13) AND position(o.name IN f.prosrc) > 0
    ) AS beneath)
SELECT jsonb_build_object('kind', kind, 'schema', schema, 'what', what, 'oid', oid::bigint,
                          'definition', definition, 'form', form)::text
FROM (
    SELECT 'function' AS kind, n.nspname AS schema,
           format('%I.%I(%s)', n.nspname, p.proname, coalesce(pg_get_function_identity_arguments(p.oid), '')) AS what,
           p.oid,
           md5(concat_ws(' ', p.prosrc, p.probin, p.prolang, p.prorettype, p.proargtypes, p.provolatile, p.proisstrict,
               p.proretset, p.prokind, p.proconfig, p.proargdefaults, p.prosqlbody,
               g.aggtransfn::oid, g.aggfinalfn::oid, g.agginitval)) AS definition,
           CASE WHEN p.oid IN (SELECT oid FROM named) THEN 0 ELSE 1 END AS form
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_aggregate g ON g.aggfnoid = p.oid
    WHERE p.oid >= 16384 AND p.oid IN (SELECT oid FROM called)
    UNION ALL
    SELECT 'operator', o.nspname, format('%I.%s(%s, %s)', o.nspname, o.oprname,
               format_type(o.oprleft, NULL), format_type(o.oprright, NULL)), o.oid,
           md5(concat_ws(' ', o.oprcode::oid, o.oprresult)), 0
    FROM operators o
    UNION ALL
    SELECT 'type', n.nspname, format('%I.%I', n.nspname, t.typname), t.oid,
           md5(concat_ws(' ', t.typtype, t.typbasetype, t.typtypmod)), 0
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.oid >= 16384 AND t.typname = ANY ($3::text[]) AND n.nspname = ANY ($4::text[])
      AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
    UNION ALL
    SELECT 'collation', n.nspname, format('%I.%I', n.nspname, l.collname), l.oid,
           md5(concat_ws(' ', l.collprovider, l.collcollate, l.collctype)), 0
    FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
    WHERE l.oid >= 16384 AND l.collname = ANY ($3::text[]) AND n.nspname = ANY ($4::text[])
    UNION ALL
    SELECT 'cast', '', format('from %s to %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)),
           c.oid, md5(concat_ws(' ', c.castcontext, c.castmethod, c.castfunc)), c.form
    FROM casts c
) AS found ORDER BY kind, what"#;
