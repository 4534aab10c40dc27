//! 002: values of many types, in columns and in keys. 005: databases of different encodings.

use regraft_testkit::Databases;

use crate::support::{Case, Given, stop, until_true};
use crate::{case, copies, follow, is, same};

const TABLES: &str = "
    CREATE EXTENSION hstore;
    CREATE TYPE hue AS ENUM ('red', 'green', 'blue', 'cyan', 'pink');
    CREATE TYPE plain AS (x float, t text, n int);
    CREATE TYPE hued AS (x float, h hue, n int);
    CREATE TYPE many_hued AS (x float, h hue[], n int);
    CREATE TYPE nested AS (one plain, many plain[], h hue, hs hue[]);
    CREATE TABLE one_array (a int PRIMARY KEY, b int[]);
    CREATE TABLE arrays (a int[] PRIMARY KEY, b text[], c float[], d interval[]);
    CREATE TABLE one_enum (a int PRIMARY KEY, b hue); CREATE TABLE enums (a hue PRIMARY KEY, b hue[]);
    CREATE TABLE one_row (a int PRIMARY KEY, b plain); CREATE TABLE rows_ (a plain PRIMARY KEY, b plain[]);
    CREATE TABLE one_hued (a int PRIMARY KEY, b hued); CREATE TABLE hueds (a hued PRIMARY KEY, b hued[]);
    CREATE TABLE one_many (a int PRIMARY KEY, b many_hued); CREATE TABLE manies (a many_hued PRIMARY KEY, b many_hued[]);
    CREATE TABLE nesteds (a nested PRIMARY KEY, b nested[]);
    CREATE TABLE one_range (a int PRIMARY KEY, b int4range);
    CREATE TABLE ranges (a int PRIMARY KEY, b tstzrange, c int8range[]);
    CREATE TABLE dictionaries (a int PRIMARY KEY, b hstore);
    SET check_function_bodies = off;
    CREATE FUNCTION grows(int) RETURNS bool LANGUAGE sql AS 'SELECT $1 > max(a) FROM public.growing';
    CREATE DOMAIN growing_int AS int CHECK (grows(VALUE)); CREATE TABLE growing (a growing_int)";

/// Those with two columns.
const PAIRS: [&str; 13] = [
    "one_array",
    "one_enum",
    "enums",
    "one_row",
    "rows_",
    "one_hued",
    "hueds",
    "one_many",
    "manies",
    "nesteds",
    "one_range",
    "dictionaries",
    "arrays",
];

#[tokio::test(flavor = "multi_thread")]
async fn values_of_many_types_are_followed() {
    let columns =
        |table: &'static str| (table, if table == "arrays" { "a, b, c, d" } else { "a, b" });
    let mut tables: Vec<_> = PAIRS.into_iter().map(columns).collect();
    tables.push(("ranges", "a, b, c"));
    let mapping = format!(
        "{}\n-- regraft: append-only\nINSERT INTO growing SELECT a FROM growing;",
        copies(&tables)
    );
    let case = case(TABLES, TABLES, &mapping).await;
    let daemon = follow(&case).await;
    let all: String =
        tables.iter().map(|(table, _)| format!("SELECT * FROM {table} ORDER BY a; ")).collect();

    case.at_source(
        "INSERT INTO one_array VALUES (1, '{7,8}'), (2, '{8,7}'), (3, '{}'), (4, '{{1,2},{3,4}}'), (5, '{5,NULL,9}');
         INSERT INTO arrays VALUES ('{1,2}', '{x,y}', '{1.5,-2.25}', '{1 day,2 hours}'), ('{2,1}', '{y,\"\"}', '{3.125}', '{3 years}'),
            ('{3}', '{\"a b\",NULL}', '{NaN}', '{-4 mins}'), ('{4,NULL}', '{NULL}', '{NULL}', '{NULL,5 mons}');
         INSERT INTO one_enum VALUES (1, 'red'), (2, 'blue'), (3, 'pink'), (4, NULL);
         INSERT INTO enums VALUES ('red', '{green,blue}'), ('green', '{}'), ('blue', '{red}'), ('pink', '{cyan,NULL}');
         INSERT INTO one_row VALUES (1, (1, 'p', 1)), (2, (2.5, 'q\"', 2)), (3, (NULL, NULL, 3)), (4, NULL);
         INSERT INTO rows_ VALUES ((1, 'p', 1), ARRAY[(1, 'p', 1)::plain]), ((2, 'q', 2), ARRAY[(2, ',', 2)::plain, NULL]),
            ((3, 'r', NULL), '{}'), ((4, '', 4), NULL);
         INSERT INTO one_hued VALUES (1, (1, 'red', 1)), (2, (2, 'green', 2)), (3, (NULL, 'pink', NULL));
         INSERT INTO hueds VALUES ((1, 'red', 1), ARRAY[(1, 'red', 1)::hued]), ((2, 'blue', 2), ARRAY[(2, 'blue', 2)::hued, NULL]),
            ((3, 'cyan', 3), ARRAY[(3, NULL, 3)::hued]);
         INSERT INTO one_many VALUES (1, (1, '{red,green}', 1)), (2, (2, '{}', 2)), (3, (3, '{NULL,pink}', NULL));
         INSERT INTO manies VALUES ((1, '{red,green}', 1), ARRAY[(1, '{red}', 1)::many_hued]),
            ((2, '{green,red}', 2), ARRAY[(2, '{NULL}', 1)::many_hued, NULL]), ((3, '{}', 3), '{}');
         INSERT INTO nesteds VALUES
            (((1, 'p', 1), ARRAY[(1, 'p', 1)::plain, (2, 'q', 2)::plain], 'red', '{red,NULL}'),
             ARRAY[((2, 'q', 2), ARRAY[(3, 'r', 3)::plain, NULL], 'blue', '{blue}')::nested]),
            (((2, 'q', 2), '{}', 'pink', '{}'), '{}');
         INSERT INTO one_range VALUES (1, '[1,10]'), (2, '(2,20)'), (3, 'empty'), (4, '[4,)');
         INSERT INTO ranges VALUES (1, '[2014-08-04 00:00+02,infinity)', '{\"[1,2]\",\"[10,20]\"}'),
            (2, '(,2014-08-04 00:00+02]', '{\"[2,3]\",NULL}'), (3, '[2014-08-01 00:00+02,2014-08-02 00:00+02)', '{}'), (4, NULL, NULL);
         INSERT INTO dictionaries VALUES (1, 'a=>1'), (2, 'z=>NULL'), (3, '\"b c\"=>\"d\"'), (4, '');
         INSERT INTO growing VALUES (10)",
    )
    .await;
    case.settled().await;
    same(&case, &all, 51, "inserts").await;

    case.at_source(
        "UPDATE one_array SET b = '{4,5,6}' WHERE a = 1; UPDATE one_array SET b = b || 1 WHERE a IN (3, 5);
         UPDATE arrays SET b = '{new}', c = '{0}', d = '{1 day 1 second}' WHERE a = '{1,2}';
         UPDATE arrays SET b = NULL, d = '{}' WHERE a[1] > 2;
         UPDATE one_enum SET b = 'cyan' WHERE a = 1; UPDATE one_enum SET b = NULL WHERE a = 3;
         UPDATE enums SET b = '{pink,NULL}' WHERE a = 'red'; UPDATE enums SET b = '{cyan,red}' WHERE a > 'green';
         UPDATE one_row SET b = (1, 'P', 1) WHERE a = 1; UPDATE one_row SET b = (NULL, 'x', -1) WHERE a > 2;
         UPDATE rows_ SET b = ARRAY[(9, 'x', -1)::plain] WHERE (a).x = 1; UPDATE rows_ SET b = ARRAY[NULL, (9, 'x', NULL)::plain] WHERE (a).x > 2;
         UPDATE one_hued SET b = (1, NULL, NULL) WHERE a = 1; UPDATE one_hued SET b = (4, 'blue', 44) WHERE a > 2;
         UPDATE hueds SET b = ARRAY[NULL, (3, 'pink', 3)::hued] WHERE a = (1, 'red', 1)::hued; UPDATE hueds SET b = NULL WHERE (a).x > 2;
         UPDATE one_many SET b = (1, '{red,pink}', NULL) WHERE a = 1; UPDATE one_many SET b.h = '{blue}' WHERE a = 3;
         UPDATE manies SET b = ARRAY[NULL, (NULL, '{red,pink}', 2)::many_hued] WHERE (a).x = 1; UPDATE manies SET a.n = 4 WHERE (a).x = 3;
         UPDATE nesteds SET b[2] = NULL WHERE ((a).one).x = 1; UPDATE nesteds SET a.h = 'green' WHERE ((a).one).x = 2;
         UPDATE one_range SET b = '[100,1000]' WHERE a = 1; UPDATE one_range SET b = '(1,90)' WHERE a > 3;
         UPDATE ranges SET c = '{\"[100,1000]\"}' WHERE a = 1; UPDATE ranges SET b = '[2014-08-04 00:00+02,infinity)', c = '{NULL,\"[11,99]\"}' WHERE a > 3;
         UPDATE dictionaries SET b = 'new=>value' WHERE a < 3; UPDATE dictionaries SET b = b || 'more=>1' WHERE a = 3",
    )
    .await;
    case.settled().await;
    same(&case, &all, 51, "updates, of keys as well").await;

    case.at_source(
        "DELETE FROM one_array WHERE a = 1 OR b = '{8,7}'; DELETE FROM arrays WHERE a = '{1,2}' OR a[1] = 2;
         DELETE FROM one_enum WHERE a = 1 OR b = 'blue'; DELETE FROM enums WHERE a = 'red' OR b[1] = 'cyan';
         DELETE FROM one_row WHERE a = 1 OR (b).x = 2.5; DELETE FROM rows_ WHERE (a).t = 'p' OR NULL::plain = ANY (b) OR (b[1]).x = 2;
         DELETE FROM one_hued WHERE a = 1 OR (b).x = 2; DELETE FROM hueds WHERE a = (1, 'red', 1)::hued OR (2, 'blue', 2)::hued = ANY (b);
         DELETE FROM one_many WHERE a = 1 OR 'blue' = ANY ((b).h); DELETE FROM manies WHERE (a).x = 1 OR (b[1]).h = '{NULL}';
         DELETE FROM nesteds WHERE ((a).one).x = 1; DELETE FROM one_range WHERE a = 1 OR '[10,19]' && b;
         DELETE FROM ranges WHERE a = 1 OR b && '[2014-08-01 00:00+02,2014-08-01 12:00+02)'; DELETE FROM dictionaries WHERE a = 1",
    )
    .await;
    case.settled().await;
    same(&case, &all, 22, "deletes").await;

    // The check of the domain reads the table that is written.
    case.at_source("INSERT INTO growing VALUES (11)").await;
    case.settled().await;
    is(&case.databases.target, "SELECT sum(a) FROM growing", &["21"], "a domain that asks").await;
    stop(daemon).await;
}

/// A pipeline between a database of one encoding and one of another, with mappings by a key and without one.
async fn between_encodings(source: Option<&str>, target: Option<&str>) -> Case {
    let tables =
        "CREATE TABLE test1 (a int, b text); CREATE TABLE keyed (b text PRIMARY KEY, c text);
        CREATE TABLE louder (b text PRIMARY KEY, c text)";
    let mapping = "-- regraft: append-only\nINSERT INTO test1 SELECT a, b FROM test1; INSERT INTO keyed SELECT b, c FROM keyed;
        INSERT INTO louder SELECT b, upper(c) || left(b, 1) FROM keyed;";
    let mut case = Case::of(Given { source: "", target: "", mapping, ..Given::default() }).await;
    let mut config = std::fs::read_to_string(case.installation.path("regraft.toml")).unwrap();
    let Databases { source_url, target_url, source: at_source, target: at_target } =
        &mut case.databases;
    for (encoding, url, client) in
        [(source, source_url, at_source), (target, target_url, at_target)]
    {
        if let Some(encoding) = encoding {
            let database = url.rsplit_once('/').unwrap().1.to_owned();
            let other = format!("{database}_other");
            client
                .batch_execute(&format!(
                    "CREATE DATABASE {other} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
                ))
                .await
                .unwrap();
            *url = url.replace(&database, &other);
            config = config.replace(&database, &other);
            *client = regraft_testkit::connect(url).await.unwrap();
        }
        client.batch_execute(tables).await.unwrap();
    }
    case.installation.write_config(&config);
    case
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_come_into_a_database_of_another_encoding() {
    let case = between_encodings(None, Some("LATIN1")).await;
    case.at_source("INSERT INTO keyed VALUES ('Käse', 'é')").await;
    let daemon = follow(&case).await;
    case.at_source("INSERT INTO test1 VALUES (1, 'Motörhead'); UPDATE keyed SET c = 'ü'; INSERT INTO keyed VALUES ('ß', 'ÿ')").await;
    case.settled().await;
    let target = &case.databases.target;
    // One byte for each letter is what the other encoding is about.
    let found = "SELECT a, octet_length(b) FROM test1 WHERE b = U&'Mot\\00F6rhead'";
    is(target, found, &["1|9"], "a text of another encoding").await;
    equal(&case).await;
    // A letter that it has not is said, and nothing is passed over.
    case.at_source("UPDATE keyed SET b = 'rowvalue4711 €' WHERE c = 'ü'").await;
    let error = case.held(&daemon, "RG4001").await;
    assert!(error["what"].as_str().unwrap().contains("22P05"), "{error:#}");
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_come_from_a_database_of_another_encoding() {
    let case = between_encodings(Some("LATIN1"), None).await;
    case.at_source("INSERT INTO keyed VALUES ('Käse', 'é')").await;
    let daemon = follow(&case).await;
    case.at_source("INSERT INTO test1 VALUES (1, 'Motörhead'); UPDATE keyed SET b = 'Öl'; INSERT INTO keyed VALUES ('ß', 'ÿ')").await;
    case.settled().await;
    equal(&case).await;
    stop(daemon).await;
}

/// What the mapping says, and what a comparison by digests finds.
async fn equal(case: &Case) {
    case.assert_equal().await;
    let verified = case.regraft(&["verify"]).await;
    assert_eq!(verified.code(), 0, "{}\n{}", verified.stdout, verified.stderr);
}

/// Existing rows that the target's encoding cannot hold keep no other one waiting, though the ledger there notes
/// the bounds of what was copied by keys like theirs.
#[tokio::test(flavor = "multi_thread")]
async fn existing_texts_that_do_not_fit_keep_no_others_waiting() {
    let case = between_encodings(None, Some("LATIN1")).await;
    case.at_source(
        "INSERT INTO keyed SELECT 'k' || i, 'v' FROM generate_series(1, 20) AS i;
         INSERT INTO keyed VALUES ('k1€', 'x'), ('k3€', 'x'); UPDATE keyed SET c = '€' WHERE b = 'k3'",
    )
    .await;
    let daemon = case.installation.run();
    let target = &case.databases.target;
    until_true(target, "the others to come", "SELECT count(*) = 19 FROM keyed").await;
    let error = case.held(&daemon, "RG4001").await;
    assert!(error["what"].as_str().unwrap().contains("22P05"), "{error:#}");
    case.at_source(
        "INSERT INTO keyed VALUES ('later', 'l'); UPDATE keyed SET c = 'E' WHERE b = 'k3'",
    )
    .await;
    let came = "SELECT count(*) = 21 AND count(*) FILTER (WHERE c = 'E') = 1 FROM keyed";
    until_true(target, "the stream to go on", came).await;
    stop(daemon).await;
}
