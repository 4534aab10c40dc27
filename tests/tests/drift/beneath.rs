//! What a mapping does not name itself, and yet stands on: attributes of composite types, functions of casts and of
//! operators, functions that functions call.

use crate::support::{Case, Given, assert_says, ready, stop};
use crate::{goes_on, looked_at};
use regraft_tests::number;

const TARGET: &str = "CREATE TABLE t (id bigint PRIMARY KEY, a text)";

struct Beneath {
    source: &'static str,
    mapping: &'static str,
    /// A change that nothing in the stream tells of.
    change: &'static str,
    says: &'static [&'static str],
}

/// It holds the running daemon, and the next start.
async fn held(beneath: Beneath) {
    let Beneath { source, mapping, change, says } = beneath;
    let case = Case::of(Given { source, target: TARGET, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    // What changes nothing is no drift.
    looked_at(&case, "u").await;
    case.at_source(change).await;
    let error = case.held(&daemon, "RG3018").await;
    let what = error["what"].as_str().unwrap();
    assert!(says.iter().all(|part| what.contains(part)), "{error:#}");
    stop(daemon).await;
    assert_says(&case.run_once().await, 3, "RG3018", says);
    let daemon = goes_on(&case).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_of_a_composite_type_that_exchange_their_names() {
    for mapping in [
        "INSERT INTO t SELECT id, (p).x::text FROM u",
        "INSERT INTO t SELECT id, to_jsonb(p)::text FROM u",
    ] {
        held(Beneath {
            source:
                "CREATE TYPE pt AS (x int, y int); CREATE TABLE u (id bigint PRIMARY KEY, p pt);
                     INSERT INTO u VALUES (1, '(10,20)')",
            mapping,
            change: "ALTER TYPE pt RENAME ATTRIBUTE x TO z; ALTER TYPE pt RENAME ATTRIBUTE y TO x;
                     ALTER TYPE pt RENAME ATTRIBUTE z TO y",
            says: &["column p of public.u", "composite type"],
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_of_a_cast() {
    let source = "
        CREATE TYPE mood AS ENUM ('ok', 'bad');
        CREATE FUNCTION m2i(mood) RETURNS int LANGUAGE sql IMMUTABLE AS $$SELECT CASE $1 WHEN 'ok' THEN 1 ELSE 2 END$$;
        CREATE CAST (mood AS int) WITH FUNCTION m2i(mood);
        CREATE TABLE u (id bigint PRIMARY KEY, m mood); INSERT INTO u VALUES (1, 'ok'), (2, 'bad')";
    let mapping = "INSERT INTO t SELECT id, (m::int)::text FROM u";
    let replaced = "CREATE OR REPLACE FUNCTION m2i(mood) RETURNS int LANGUAGE sql IMMUTABLE AS
        $$SELECT CASE $1 WHEN 'ok' THEN 100 ELSE 200 END$$";
    held(Beneath {
        source,
        mapping,
        change: replaced,
        says: &["function public.m2i(public.mood)"],
    })
    .await;
    let another =
        "DROP CAST (mood AS int); CREATE FUNCTION other(mood) RETURNS int LANGUAGE sql IMMUTABLE
        AS 'SELECT 7'; CREATE CAST (mood AS int) WITH FUNCTION other(mood)";
    held(Beneath { source, mapping, change: another, says: &["cast from public.mood to integer"] })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_of_an_operator() {
    held(Beneath {
        source: "
            CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
            CREATE OPERATOR <+> (LEFTARG = int, RIGHTARG = int, FUNCTION = plus);
            CREATE TABLE u (id bigint PRIMARY KEY, a int); INSERT INTO u VALUES (1, 1)",
        mapping: "INSERT INTO t SELECT id, (a <+> 1)::text FROM u",
        change: "CREATE OR REPLACE FUNCTION plus(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2'",
        says: &["function public.plus(integer, integer)", "is not what it was"],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_functions_call() {
    for outer in [
        "CREATE FUNCTION outer_one(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN app.Middle($1); END'",
        "CREATE FUNCTION outer_one(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT app.middle($1)'",
        "CREATE FUNCTION outer_one(int) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT app.middle($1); END",
        "CREATE OPERATOR app.<-> (LEFTARG = int, RIGHTARG = int, FUNCTION = app.both);
         CREATE FUNCTION outer_one(int) RETURNS int LANGUAGE sql IMMUTABLE AS
         'SELECT $1 OPERATOR(app.<->) 1'",
    ] {
        let source = format!(
            "CREATE SCHEMA app;
             CREATE FUNCTION app.\"Inner-most\"(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
             CREATE FUNCTION app.middle(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT app.\"Inner-most\"($1)';
             CREATE FUNCTION app.both(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT app.middle($1 + $2)';
             {outer}; CREATE TABLE u (id bigint PRIMARY KEY, a int); INSERT INTO u VALUES (1, 1)"
        );
        held(Beneath {
            source: source.leak(),
            mapping: "INSERT INTO t SELECT id, outer_one(a)::text FROM u",
            change: "CREATE OR REPLACE FUNCTION app.\"Inner-most\"(int) RETURNS int LANGUAGE sql IMMUTABLE AS
                     'SELECT $1 + 1000'",
            says: &["function app.\"Inner-most\"(integer)", "is not what it was"],
        })
        .await;
    }
}

/// Of what a function does not call nobody asks, and what a version before did not note is taken for what it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_beneath_a_mapping_or_was_not_noted_holds_nobody() {
    let source = "
        CREATE FUNCTION inside(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
        CREATE FUNCTION outside(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN inside($1); END';
        CREATE TYPE pt AS (x int, y int); CREATE TYPE mood AS ENUM ('ok');
        CREATE FUNCTION m2i(mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
        CREATE CAST (mood AS int) WITH FUNCTION m2i(mood);
        CREATE TABLE u (id bigint PRIMARY KEY, a int, p pt, m mood); INSERT INTO u VALUES (1, 1, '(1,2)', 'ok')";
    let mapping = "INSERT INTO t SELECT id, concat(outside(a), (p).x, m::int) FROM u";
    let case = Case::of(Given { source, target: TARGET, mapping, ..Given::default() }).await;
    case.catch_up().await;
    // As an earlier version has left it.
    case.at_target(
        "UPDATE regraft.standing SET standing = jsonb_set(jsonb_set(standing - 'form', '{names}',
             (SELECT coalesce(jsonb_agg(n - 'form'), '[]') FROM jsonb_array_elements(standing -> 'names') AS n
              WHERE n -> 'form' = '0')),
             '{sources,0,columns}', (SELECT jsonb_agg(c - 'attributes' - 'folds' - 'type_oid')
              FROM jsonb_array_elements(standing #> '{sources,0,columns}') AS c))",
    )
    .await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source(
        "CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE SCHEMA other;
         CREATE FUNCTION other.unlike(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7';
         CREATE FUNCTION pg_temp.inside(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 8'",
    )
    .await;
    looked_at(&case, "u").await;
    case.at_source("INSERT INTO u SELECT 2, a, p, m FROM u").await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
    case.catch_up().await;
    let noted = "SELECT count(*) FROM regraft.standing WHERE standing -> 'form' = '1'";
    assert!(number(&case.databases.target, noted).await > 0);
}
