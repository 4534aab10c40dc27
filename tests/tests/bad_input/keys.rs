//! Two source rows that give one target key: neither overwrites the other, the pipeline is held, and
//! goes on by itself once the source's rows are mended.

use regraft_testkit::Daemon;
use regraft_tests::number;
use serde_json::Value;

use crate::support::{Case, Given, assert_says, ready, stop};

const USERS: &str = "CREATE TABLE users (id bigint PRIMARY KEY, email text, bio text);
    ALTER TABLE users ALTER bio SET STORAGE EXTERNAL;
    INSERT INTO users SELECT i, 'rowvalue4711-' || i, repeat('b', 5000)
    FROM generate_series(1, 6) AS i";
const ACCOUNTS: &str = "CREATE TABLE account (email text PRIMARY KEY, user_id bigint, bio text);
    CREATE INDEX ON account (user_id)";
const LOWER: &str =
    "INSERT INTO account (email, user_id, bio)\nSELECT lower(email), id, bio FROM users;\n";
/// Row 3 gives what row 1 has.
const TAKE: &str = "UPDATE users SET email = 'ROWvalue4711-1' WHERE id = 3";

async fn users(mapping: &str, target: &str, extra: &str) -> Case {
    Case::of(Given { source: USERS, target, mapping, extra, ..Given::default() }).await
}

/// Held, with everything that a person has to know; row 1 still has its key.
async fn held(case: &Case, daemon: &Daemon) -> Value {
    let error = case.held(daemon, "RG4006").await;
    let said = format!("{} {}", error["what"].as_str().unwrap(), error["remedy"].as_str().unwrap());
    for part in [
        "mapping.sql:1:1",
        "public.account",
        "(email)",
        "public.users",
        "(id)",
        "by user_id",
        "by itself",
    ] {
        assert!(said.contains(part), "{part}: {error:#}");
    }
    error
}

async fn owner_of_first(case: &Case) -> i64 {
    let sql = "SELECT user_id FROM account WHERE email = 'rowvalue4711-1'";
    number(&case.databases.target, sql).await
}

/// The same in the stream for a change at the source, which is mended much later.
async fn held_in_the_stream(case: Case, change: &str, mend: &str) {
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.assert_equal().await;
    case.at_source(change).await;
    held(&case, &daemon).await;
    assert_eq!(owner_of_first(&case).await, 1);
    // Far more than fits into one batch.
    for id in 100..160 {
        case.at_source(&format!("INSERT INTO users VALUES ({id}, 'rowvalue4711-{id}')")).await;
    }
    case.at_source(mend).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

const SMALL: &str = "[limits]\nbatch_rows = 2\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_would_overwrite_another_row_is_held() {
    let case = users(LOWER, ACCOUNTS, SMALL).await;
    let mend = "UPDATE users SET email = 'other' WHERE id = 30";
    held_in_the_stream(case, "INSERT INTO users VALUES (30, 'ROWvalue4711-1')", mend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_would_overwrite_another_row_is_held() {
    let case = users(LOWER, ACCOUNTS, "").await;
    let change = "UPDATE users SET email = 'ROWvalue4711-1', bio = 'short' WHERE id = 3";
    held_in_the_stream(case, change, "DELETE FROM users WHERE id = 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_part_that_would_overwrite_another_row_is_held() {
    for (extra, mend) in [
        ("", "UPDATE users SET email = 'new' WHERE id = 1"),
        (SMALL, "UPDATE users SET email = 'new' WHERE id = 3"),
    ] {
        held_in_the_stream(users(LOWER, ACCOUNTS, extra).await, TAKE, mend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_new_rows_of_one_key_are_held() {
    let case = users(LOWER, ACCOUNTS, SMALL).await;
    let change = "INSERT INTO users VALUES (30, 'A'), (31, 'a')";
    held_in_the_stream(case, change, "DELETE FROM users WHERE id = 30").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_arrays_are_held_too() {
    let target = "CREATE TABLE account (email text PRIMARY KEY, user_id bigint, bio text[]);
                  CREATE INDEX ON account (user_id)";
    let mapping = "INSERT INTO account (email, user_id, bio)\n\
                   SELECT lower(email), id, ARRAY[bio] FROM users;\n";
    let change = "INSERT INTO users VALUES (30, 'ROWvalue4711-1')";
    held_in_the_stream(users(mapping, target, "").await, change, "DELETE FROM users WHERE id = 30")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_that_are_arrays_or_row_types_keep_their_rows() {
    for (kind, made) in [("int[]", "ARRAY[n, 7]"), ("pair", "ROW(n, 7)::pair")] {
        let pair = "CREATE TYPE pair AS (a int, b int)";
        let source = format!(
            "{pair}; CREATE TABLE users (id {kind} PRIMARY KEY, n int, email text);
             INSERT INTO users SELECT {made}, n, 'rowvalue4711-' || n FROM generate_series(1, 6) AS n"
        );
        let target = format!(
            "{pair}; CREATE TABLE account (email text PRIMARY KEY, user_id {kind}, n int);
             CREATE INDEX ON account (user_id)"
        );
        let mapping =
            "INSERT INTO account (email, user_id, n)\nSELECT lower(email), id, n FROM users;\n";
        let (source, target) = (source.as_str(), target.as_str());
        let given = Given { source, target, mapping, extra: SMALL, ..Given::default() };
        let case = Case::of(given).await;
        let mut daemon = case.installation.run();
        ready(&mut daemon).await;
        // In one batch, and then a key that is taken long before it is let go.
        case.at_source("UPDATE users SET email = 'rowvalue4711-' || 3 - n WHERE n < 3").await;
        case.at_source(&format!(
            "BEGIN; UPDATE users SET email = 'rowvalue4711-4' WHERE n = 3;
             INSERT INTO users SELECT {made}, n, 'rowvalue4711-' || n FROM generate_series(11, 19) AS n;
             UPDATE users SET email = 'rowvalue4711-3' WHERE n = 4; COMMIT"
        ))
        .await;
        case.settled().await;
        case.assert_equal().await;
        case.at_source(&format!(
            "INSERT INTO users SELECT {made}, n, 'ROWvalue4711-5' FROM (VALUES (30)) AS v (n)"
        ))
        .await;
        case.held(&daemon, "RG4006").await;
        let sql = "SELECT n::bigint FROM account WHERE email = 'rowvalue4711-5'";
        assert_eq!(number(&case.databases.target, sql).await, 5);
        case.at_source("DELETE FROM users WHERE n = 30").await;
        case.settled().await;
        case.assert_equal().await;
        stop(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_only_the_target_takes_for_equal_are_held() {
    let source = "CREATE TABLE users (id text PRIMARY KEY, n bigint);
                  INSERT INTO users VALUES ('Alpha', 1), ('beta', 2)";
    let target = "CREATE EXTENSION citext; CREATE TABLE account (id citext PRIMARY KEY, n bigint)";
    let mapping = "INSERT INTO account (id, n) SELECT id, n FROM users;\n";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    // The same row may be written in another way.
    case.at_source("UPDATE users SET id = 'ALPHA' WHERE n = 1").await;
    case.at_source("UPDATE users SET n = n + 10").await;
    case.settled().await;
    case.assert_equal().await;
    case.at_source("INSERT INTO users VALUES ('alpha', 30)").await;
    case.held(&daemon, "RG4006").await;
    let sql = "SELECT n FROM account WHERE id = 'alpha'";
    assert_eq!(number(&case.databases.target, sql).await, 11);
    case.at_source("DELETE FROM users WHERE id = 'ALPHA'").await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composite_key_of_which_the_target_has_a_part_is_held() {
    let source = "CREATE TABLE users (id bigint, email text, bio text, PRIMARY KEY (id, email));
                  INSERT INTO users SELECT i, 'rowvalue4711-' || i FROM generate_series(1, 6) AS i";
    let target = "CREATE TABLE account (email text PRIMARY KEY, user_id bigint NOT NULL);
                  CREATE INDEX ON account (user_id, email)";
    let mapping = "INSERT INTO account (email, user_id)\nSELECT email, id FROM users;\n";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    // The owner of a key changes, by itself and within a transaction.
    case.at_source("UPDATE users SET id = 20 WHERE id = 2").await;
    case.at_source(
        "BEGIN; INSERT INTO users VALUES (40, 'rowvalue4711-4'); DELETE FROM users WHERE id = 4; COMMIT",
    )
    .await;
    case.settled().await;
    case.assert_equal().await;
    case.at_source("INSERT INTO users VALUES (30, 'rowvalue4711-1')").await;
    case.held(&daemon, "RG4006").await;
    assert_eq!(owner_of_first(&case).await, 1);
    case.at_source("DELETE FROM users WHERE id = 30").await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_collide_while_they_are_copied_are_held() {
    for extra in ["[backfill]\nchunk_rows = 1\nreaders = 1\n", ""] {
        let case = users(LOWER, ACCOUNTS, extra).await;
        case.at_source(TAKE).await;
        let finished = case.run_once().await;
        assert_says(&finished, 3, "RG4006", &["public.account", "(email)", "public.users", "(id)"]);
        let daemon = case.installation.run();
        held(&case, &daemon).await;
        case.at_source("UPDATE users SET email = 'new' WHERE id = 1").await;
        case.settled().await;
        case.assert_equal().await;
        stop(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_read_by_key_are_held() {
    let mapping = "INSERT INTO account (email, user_id, bio)\n\
                   SELECT lower(email), id, (SELECT max(bio) FROM users AS u WHERE u.id = users.id)\n\
                   FROM users;\n";
    let case = users(mapping, ACCOUNTS, "").await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    // Those that make room for one another are not.
    case.at_source("UPDATE users SET email = 'rowvalue4711-' || id % 6 + 1").await;
    case.settled().await;
    case.assert_equal().await;
    case.at_source("UPDATE users SET email = 'rowvalue4711-' || id").await;
    case.settled().await;
    case.at_source(TAKE).await;
    held(&case, &daemon).await;
    assert_eq!(owner_of_first(&case).await, 1);
    case.at_source("UPDATE users SET email = 'new' WHERE id = 1").await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_another_statement_are_not_overwritten() {
    let source = "CREATE TABLE users (id bigint PRIMARY KEY, name text);
                  CREATE TABLE teams (id bigint PRIMARY KEY, name text);
                  INSERT INTO users VALUES (1, 'rowvalue4711'); INSERT INTO teams VALUES (2, 'b')";
    let target = "CREATE TABLE party (id bigint PRIMARY KEY, name text, kind text)";
    let mapping = "INSERT INTO party SELECT id, name, 'user' FROM users;\n\
                   INSERT INTO party SELECT id, name, 'team' FROM teams;\n";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("INSERT INTO teams VALUES (1, 'another')").await;
    let error = case.held(&daemon, "RG4006").await;
    assert!(error["what"].as_str().unwrap().contains("public.party"), "{error:#}");
    let sql = "SELECT count(*) FROM party WHERE id = 1 AND kind = 'user'";
    assert_eq!(number(&case.databases.target, sql).await, 1);
    case.at_source("DELETE FROM users WHERE id = 1").await;
    case.settled().await;
    let sql = "SELECT string_agg(concat(id, name, kind), ' ' ORDER BY id) FROM party";
    let rows: String = case.databases.target.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(rows, "1anotherteam 2bteam");
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_there_are_kept_by_their_owner_only() {
    let target = |owner: &str| {
        format!("{ACCOUNTS}; INSERT INTO account VALUES ('rowvalue4711-1', {owner}, 'before')")
    };
    let accepted = ["run", "--until-caught-up", "--accept-mapping"];
    let case = users(LOWER, &target("1"), "").await;
    let finished = case.regraft(&accepted).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
    for owner in ["99", "NULL"] {
        let case = users(LOWER, &target(owner), "").await;
        let finished = case.regraft(&accepted).await;
        assert_says(&finished, 3, "RG4006", &["public.account", "(email)"]);
        let sql = "SELECT count(*) FROM account WHERE bio = 'before'";
        assert_eq!(number(&case.databases.target, sql).await, 1);
        case.at_target("DELETE FROM account WHERE bio = 'before'").await;
        case.catch_up().await;
        case.assert_equal().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_owner_columns_only_the_old_row_is_overwritten() {
    let source = format!("{USERS}; ALTER TABLE users REPLICA IDENTITY FULL");
    let target = "CREATE TABLE account (email text PRIMARY KEY, bio text)";
    let mapping = "INSERT INTO account SELECT lower(email), bio FROM users;\n";
    let case = Case::of(Given { source: &source, target, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("UPDATE users SET bio = 'own' WHERE id = 1").await;
    case.at_source(
        "BEGIN; UPDATE users SET email = 'x' WHERE id = 1;
         UPDATE users SET email = 'rowvalue4711-1' WHERE id = 2;
         UPDATE users SET email = 'rowvalue4711-2' WHERE id = 1; COMMIT",
    )
    .await;
    case.settled().await;
    case.assert_equal().await;
    case.at_source("INSERT INTO users VALUES (30, 'ROWvalue4711-1', 'alien')").await;
    let error = case.held(&daemon, "RG4006").await;
    assert!(error["what"].as_str().unwrap().contains("public.account"), "{error:#}");
    let sql = "SELECT count(*) FROM account WHERE bio = 'alien'";
    assert_eq!(number(&case.databases.target, sql).await, 0);
    case.at_source("UPDATE users SET email = 'other' WHERE id = 30").await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_that_different_source_rows_may_give_one_target_key() {
    let warned = async |source: &str, target: &str, mapping: &str| -> Option<Value> {
        let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
        let checked = case.regraft(&["check", "--json"]).await.json();
        let findings = checked["findings"].as_array().unwrap().clone();
        findings.into_iter().find(|f| f["what"].as_str().unwrap().contains("one target key"))
    };
    let found = warned(USERS, ACCOUNTS, LOWER).await.unwrap();
    assert_eq!((&found["severity"], &found["code"]), (&"warning".into(), &"RG3012".into()));
    let said = format!("{} {} {}", found["where"], found["what"], found["remedy"]);
    for part in ["mapping.sql:1:1", "public.account", "(email)", "public.users", "RG4006"] {
        assert!(said.contains(part), "{part}: {found:#}");
    }
    // A key of the source in it is enough, be it another one.
    let plain = "INSERT INTO account (email, user_id, bio) SELECT email, id, bio FROM users;\n";
    assert!(warned(USERS, ACCOUNTS, plain).await.is_some());
    let unique = format!("{USERS}; CREATE UNIQUE INDEX ON users (email)");
    assert_eq!(warned(&unique, ACCOUNTS, plain).await, None);
    let wide =
        "CREATE TABLE account (email text, user_id bigint, bio text, PRIMARY KEY (user_id, email))";
    assert_eq!(warned(USERS, wide, LOWER).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_column_where_different_keys_are_one_is_refused() {
    let lossy = [
        ("timestamptz", "timestamptz(0)"),
        ("timestamp", "date"),
        ("timestamp(3)", "timestamp(2)"),
        ("timestamp", "time"),
        ("interval", "interval(0)"),
        ("numeric", "bigint"),
        ("numeric", "numeric(10, 1)"),
        ("numeric(12, 3)", "numeric(12, 2)"),
        ("float8", "float4"),
        ("float8", "numeric"),
        ("bigint", "float8"),
        ("text", "name"),
        ("text", "\"char\""),
        ("text", "char(5)"),
        ("numeric[]", "int[]"),
    ];
    let whole = [
        ("timestamp", "timestamp(6)"),
        ("timestamp(2)", "timestamp(3)"),
        ("date", "timestamp"),
        ("int", "numeric(12, 2)"),
        ("int", "float8"),
        ("numeric(12, 2)", "numeric(14, 3)"),
        ("char(5)", "char(7)"),
        ("uuid", "text"),
        ("text", "varchar(3)"),
    ];
    let table = |name: &str, types: &[(&str, &str)], of: fn(&(&str, &str)) -> String| {
        let table = |(at, pair): (usize, &(&str, &str))| {
            format!("CREATE TABLE {name}{at} (id {} PRIMARY KEY);", of(pair))
        };
        types.iter().enumerate().map(table).collect::<String>()
    };
    let all = [&lossy[..], &whole[..]].concat();
    let mapping = (0..all.len()).map(|at| format!("INSERT INTO t{at} SELECT id FROM s{at};\n"));
    let case = Case::of(Given {
        source: &table("s", &all, |(from, _)| (*from).to_owned()),
        target: &table("t", &all, |(_, to)| (*to).to_owned()),
        mapping: &mapping.collect::<String>(),
        ..Given::default()
    })
    .await;
    let checked = case.regraft(&["check", "--json"]).await;
    let findings = checked.json()["findings"].as_array().unwrap().clone();
    let refused = findings.iter().filter(|finding| finding["severity"] == "error");
    let refused: Vec<_> = refused.map(ToString::to_string).collect();
    for (at, pair) in lossy.iter().enumerate() {
        let place = format!("mapping.sql:{}:1", at + 1);
        let said = refused.iter().find(|told| told.contains(&place));
        let said = said.unwrap_or_else(|| panic!("{pair:?}: {findings:#?}"));
        assert!(said.contains("RG3007") && said.contains("different values"), "{said}");
    }
    assert_eq!(refused.len(), lossy.len(), "{refused:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blanks_that_tell_two_keys_apart_are_not_cut_off() {
    let case = Case::of(Given {
        source: "CREATE TABLE s (id text PRIMARY KEY, n int); INSERT INTO s VALUES ('abc', 1)",
        target: "CREATE TABLE t (id varchar(3) PRIMARY KEY, n int)",
        mapping: "INSERT INTO t SELECT id, n FROM s;\n",
        ..Given::default()
    })
    .await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("INSERT INTO s VALUES ('abc  ', 2)").await;
    let error = case.held(&daemon, "RG4001").await;
    assert!(error["what"].as_str().unwrap().contains("longer than \"id\""), "{error:#}");
    assert_eq!(number(&case.databases.target, "SELECT n::bigint FROM t").await, 1);
    let alter = "ALTER TABLE t ALTER id TYPE varchar(9)";
    case.at_target(alter).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}
