//! Names of a mapping mean what they meant when it was accepted.

use crate::looked_at;
use crate::support::{Case, Given, PASSWORD, assert_says, ready, stop, until_true};
use regraft_tests::number;

/// A role at both ends that searches `mig` first.
async fn case(source: &str, target: &str, mapping: &str) -> Case {
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    for client in [&case.databases.source, &case.databases.target] {
        let database: String =
            client.query_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
        let sql =
            format!("CREATE SCHEMA mig; ALTER DATABASE {database} SET search_path = mig, public");
        client.batch_execute(&sql).await.unwrap();
    }
    assert!(!case.slot().contains(PASSWORD));
    case.catch_up().await;
    case
}

const SOURCE: &str = "
    CREATE TABLE items (id bigint PRIMARY KEY, name text, amount integer);
    INSERT INTO items SELECT i, 'n' || i, i FROM generate_series(1, 20) AS i";
const TARGET: &str = "CREATE TABLE goods (id bigint PRIMARY KEY, name text, amount integer)";
const MAPPING: &str = "INSERT INTO goods\nSELECT id, name, amount FROM items";
/// Evaluated by the source, for ranges and keys.
const READ: &str =
    "INSERT INTO goods\nSELECT id, name, (SELECT max(v) FROM (VALUES (amount)) AS t(v)) FROM items";

#[tokio::test(flavor = "multi_thread")]
async fn a_source_table_of_the_same_name_in_a_schema_that_is_searched_first() {
    for mapping in [MAPPING, READ] {
        let case = case(SOURCE, TARGET, mapping).await;
        let mut daemon = case.installation.run();
        ready(&mut daemon).await;
        case.at_source(
            "CREATE TABLE mig.items (LIKE public.items INCLUDING ALL);
             INSERT INTO mig.items SELECT id, 'wrong', -1 FROM public.items",
        )
        .await;
        // The daemon goes on over the table that it was made for, in each of its sessions.
        case.at_source("UPDATE public.items SET name = name || '!' WHERE id < 6").await;
        case.settled().await;
        let finished = case.regraft(&["verify", "--json"]).await;
        assert_eq!(finished.code(), 0, "{}\n{}", finished.stdout, finished.stderr);
        let wrong = "SELECT count(*) FROM goods WHERE name = 'wrong' OR amount < 0";
        assert_eq!(number(&case.databases.target, wrong).await, 0);
        stop(daemon).await;
        let finished = case.run_once().await;
        assert_says(&finished, 3, "RG3018", &["mig.items", "public.items", "mapping.sql:1:1"]);
        assert_eq!(number(&case.databases.target, wrong).await, 0);
        // The way on loses nothing.
        case.at_source("UPDATE public.items SET name = name || '?' WHERE id = 7").await;
        case.installation.write_mapping(&mapping.replace("FROM items", "FROM public.items"));
        let finished = case.regraft(&["run", "--until-caught-up", "--accept-mapping"]).await;
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        assert_eq!(number(&case.databases.target, wrong).await, 0);
        let sql = "SELECT count(*) FROM goods WHERE name LIKE '%!' OR name LIKE '%?'";
        assert_eq!(number(&case.databases.target, sql).await, 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_table_of_the_same_name_in_a_schema_that_is_searched_first() {
    let case = case(SOURCE, TARGET, MAPPING).await;
    case.at_target("CREATE TABLE mig.goods (LIKE public.goods INCLUDING ALL)").await;
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG3018", &["mig.goods", "public.goods", "mapping.sql:1:1"]);
    assert_eq!(number(&case.databases.target, "SELECT count(*) FROM mig.goods").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_a_function_and_an_operator_of_the_same_name() {
    let source = "
        CREATE TYPE state AS ENUM ('ok', 'bad');
        CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || ''!''';
        CREATE TABLE items (id bigint PRIMARY KEY, name text, amount integer);
        INSERT INTO items SELECT i, 'n' || i, i FROM generate_series(1, 20) AS i";
    let mapping =
        "INSERT INTO goods\nSELECT id, shout(name) || ('ok'::state)::text, amount FROM items";
    for made in [
        "CREATE TYPE mig.state AS ENUM ('ok')",
        "CREATE FUNCTION mig.shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''wrong'''",
        "CREATE OR REPLACE FUNCTION public.shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''x'''",
        "CREATE FUNCTION mig.join(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''wrong''';
         CREATE OPERATOR mig.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = mig.join)",
    ] {
        let case = case(source, TARGET, mapping).await;
        case.at_source(made).await;
        case.at_source("UPDATE items SET name = 'changed' WHERE id = 5").await;
        let finished = case.run_once().await;
        assert_says(&finished, 3, "RG3018", &["--accept-mapping"]);
        let wrong = "SELECT count(*) FROM goods WHERE name NOT LIKE '%!ok'";
        assert_eq!(number(&case.databases.target, wrong).await, 0, "{made}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_path_that_is_set_later() {
    let case =
        Case::of(Given { source: SOURCE, target: TARGET, mapping: READ, ..Given::default() }).await;
    case.catch_up().await;
    case.at_source(
        "CREATE SCHEMA mig; CREATE TABLE mig.items (LIKE public.items INCLUDING ALL);
         INSERT INTO mig.items SELECT id, 'wrong', -1 FROM public.items",
    )
    .await;
    let database: String = case
        .databases
        .source
        .query_one("SELECT current_database()::text", &[])
        .await
        .unwrap()
        .get(0);
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    // New sessions of the running daemon would look in the other schema first.
    case.at_source(&format!("ALTER DATABASE {database} SET search_path = mig, public")).await;
    case.at_source(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'regraft %' AND backend_type <> 'walsender'",
    )
    .await;
    case.at_source("UPDATE public.items SET name = 'right' WHERE id = 8").await;
    case.settled().await;
    let wrong = "SELECT count(*) FROM goods WHERE name = 'wrong' OR amount < 0";
    assert_eq!(number(&case.databases.target, wrong).await, 0);
    let right = "SELECT count(*) FROM goods WHERE name = 'right'";
    assert_eq!(number(&case.databases.target, right).await, 1);
    stop(daemon).await;
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG3018", &["mig.items", "public.items"]);
}

/// Objects of extensions, and types that are named like columns, mean nothing to a mapping that names none.
#[tokio::test(flavor = "multi_thread")]
async fn extensions_and_types_that_are_made_later_do_not_hold() {
    let source = "
        CREATE EXTENSION citext;
        CREATE TABLE items (id bigint PRIMARY KEY, name citext, amount integer);
        INSERT INTO items SELECT i, 'N' || i, i FROM generate_series(1, 20) AS i";
    let mapping = "INSERT INTO goods\nSELECT i.id, i.name::text || '', i.amount FROM items AS i WHERE i.amount = i.amount";
    let case = Case::of(Given { source, target: TARGET, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("CREATE EXTENSION hstore; CREATE TYPE amount AS ENUM ('a'); CREATE TYPE name_of AS (n text)").await;
    case.at_source("UPDATE items SET name = name || '!' WHERE id = 3").await;
    looked_at(&case, "items").await;
    case.at_source("UPDATE items SET name = name || '?' WHERE id = 4").await;
    case.settled().await;
    stop(daemon).await;
    case.catch_up().await;
    let status = case.regraft(&["status", "--json"]).await.json();
    assert_eq!(status["last_error"], serde_json::Value::Null, "{status:#}");
    let sql = "SELECT count(*) FROM goods WHERE name IN ('N3!', 'N4?')";
    assert_eq!(number(&case.databases.target, sql).await, 2);
}

/// Something in `public` for everything that is built in, which fails when it is called; and roles that
/// would find it first.
const SHADOWS: &str = r"
CREATE FUNCTION public.shadow_step(bigint) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'shadowed'; END$$;
CREATE AGGREGATE public.count(*) (SFUNC = public.shadow_step, STYPE = bigint, INITCOND = '0');
CREATE FUNCTION public.shadow_sum(bigint, bigint) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'shadowed'; END$$;
CREATE AGGREGATE public.sum(bigint) (SFUNC = public.shadow_sum, STYPE = bigint, INITCOND = '0');
CREATE AGGREGATE public.max(bigint) (SFUNC = public.shadow_sum, STYPE = bigint, INITCOND = '0');
CREATE AGGREGATE public.min(bigint) (SFUNC = public.shadow_sum, STYPE = bigint, INITCOND = '0');
DO $do$
DECLARE r record; made int := 0;
BEGIN
    FOR r IN SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments,
                    pg_get_function_result(p.oid) AS result
             FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f'
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L',
                r.proname, r.arguments, r.result, 'BEGIN RAISE EXCEPTION ''shadowed''; END');
            made := made + 1;
        -- Arguments that only the server's own languages have.
        EXCEPTION WHEN others THEN NULL;
        END;
    END LOOP;
    IF made < 1000 THEN RAISE EXCEPTION 'only %', made; END IF;
    FOR r IN SELECT o.oprname, o.oprleft::regtype AS l, o.oprright::regtype AS r, o.oprresult::regtype AS result
             FROM pg_operator o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b'
               AND o.oprleft IN (16, 20, 21, 23, 25, 19, 26, 1184, 3802, 1009, 1043)
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION public.shadow_operator(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L',
                r.l, r.r, r.result, 'BEGIN RAISE EXCEPTION ''shadowed''; END');
        EXCEPTION WHEN others THEN NULL;
        END;
        BEGIN
            EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.shadow_operator)',
                r.oprname, r.l, r.r);
        EXCEPTION WHEN others THEN NULL;
        END;
    END LOOP;
END $do$";

#[tokio::test(flavor = "multi_thread")]
async fn own_queries_call_nothing_of_others() {
    let source = "
        CREATE TABLE items (id bigint PRIMARY KEY, name varchar(20), amount integer, parts integer[]);
        INSERT INTO items SELECT i, 'n' || i, i, ARRAY[i] FROM generate_series(1, 3000) AS i;
        CREATE TABLE events (id bigint, at date, name varchar(20), PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
        INSERT INTO events SELECT i, '2026-01-01', 'e' FROM generate_series(1, 50) AS i";
    let target = "
        CREATE TABLE goods (id bigint PRIMARY KEY, name varchar(20), amount integer);
        CREATE TABLE happened (id bigint, at date, name varchar(20), PRIMARY KEY (id, at))";
    let mapping = "INSERT INTO goods SELECT id, name, amount FROM public.items;
                   INSERT INTO happened SELECT id, at, name FROM public.events;";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    for client in [&case.databases.source, &case.databases.target] {
        client.batch_execute(SHADOWS).await.unwrap();
        let database: String =
            client.query_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
        let sql = format!("ALTER DATABASE {database} SET search_path = public, pg_catalog");
        client.batch_execute(&sql).await.unwrap();
    }
    let fine = async |arguments: &[&str]| {
        let finished = case.regraft(arguments).await;
        assert_eq!(finished.code(), 0, "{arguments:?}\n{}\n{}", finished.stdout, finished.stderr);
    };
    fine(&["check"]).await;
    fine(&["check", "--sample", "100"]).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source(
        "UPDATE items SET name = name || '!' WHERE id % 3 = 0; DELETE FROM items WHERE id % 7 = 0;
         UPDATE items SET id = -id WHERE id % 11 = 0; UPDATE events SET name = 'x' WHERE id < 9",
    )
    .await;
    case.settled().await;
    case.assert_equal().await;
    case.at_target("UPDATE goods SET amount = 0 WHERE id = 1; DELETE FROM happened WHERE id = 3")
        .await;
    let finished = case.regraft(&["verify"]).await;
    assert_eq!(finished.code(), 1, "{}\n{}", finished.stdout, finished.stderr);
    fine(&["repair", "--apply"]).await;
    fine(&["verify", "--statistics"]).await;
    fine(&["status"]).await;
    stop(daemon).await;
    let log = case.installation.path(".");
    assert!(log.exists());
    fine(&["run", "--until-caught-up", "--recopy", "all"]).await;
    case.assert_equal().await;
    fine(&["teardown", "--apply"]).await;
}

/// `check` tells of it before the start that it would refuse.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_would_refuse_is_said_by_a_check() {
    let source = "CREATE TABLE items (id bigint PRIMARY KEY, name text, amount integer);
        CREATE TABLE others (LIKE items INCLUDING ALL); INSERT INTO items VALUES (1, 'a', 1)";
    let target = format!("{TARGET}; CREATE TABLE wares (LIKE goods INCLUDING ALL)");
    let mapping = "INSERT INTO goods SELECT id, name || '!', amount FROM items;
                   INSERT INTO wares SELECT id, name, amount FROM others;";
    let case = Case::of(Given { source, target: &target, mapping, ..Given::default() }).await;
    case.catch_up().await;
    let checked = case.regraft(&["check"]).await;
    assert_eq!(checked.code(), 0, "{}", checked.stdout);
    case.at_source(
        "CREATE FUNCTION join_texts(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''wrong''';
         CREATE OPERATOR public.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = join_texts)",
    )
    .await;
    let checked = case.regraft(&["check"]).await;
    assert_eq!(checked.code(), 1, "{}", checked.stdout);
    for part in ["RG3018", "operator public.||"] {
        assert!(checked.stdout.contains(part), "{part}: {}", checked.stdout);
    }
    assert_says(&case.run_once().await, 3, "RG3018", &["operator public.||", "resume --accept"]);
    // Two tables that exchanged their names: the way on names both.
    case.at_source(
        "DROP OPERATOR public.|| (text, text); ALTER TABLE items RENAME TO third;
         ALTER TABLE others RENAME TO items; ALTER TABLE third RENAME TO others",
    )
    .await;
    let checked = case.regraft(&["check", "--json"]).await;
    assert_eq!(checked.code(), 1, "{}", checked.stdout);
    assert!(checked.stdout.contains("public.others is another table"), "{}", checked.stdout);
    let both = "--resync public.items --resync public.others";
    assert_says(
        &case.run_once().await,
        3,
        "RG3018",
        &[both, "`regraft resume --accept public.items public.others`"],
    );
    let finished = case.regraft(&["resume", "--accept", "public.items", "public.others"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    let open = "SELECT count(*) = 0 FROM regraft.verifications WHERE finished_at IS NULL";
    until_true(&case.databases.target, "stale rows to be mended", open).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}
