//! SELECTs that the source refuses, or that cannot be streamed.

use regraft_tests::{DEADLINE, Site};

use crate::support::{Case, Given, SOURCE, TARGET, assert_finding, assert_says, errors};

/// A mapping with its parts, and what is said of it: code, line and column, part of the message.
struct Refused {
    select: &'static str,
    code: &'static str,
    place: &'static str,
    says: &'static str,
}

const fn refused(
    select: &'static str,
    code: &'static str,
    place: &'static str,
    says: &'static str,
) -> Refused {
    Refused { select, code, place, says }
}

async fn all_are_refused(source: &str, target: &str, status: i32, cases: &[Refused]) {
    let case = Case::of(Given { source, target, ..Given::default() }).await;
    for Refused { select, code, place, says } in cases {
        case.installation.write_mapping(&format!("-- first line\nINSERT INTO goods\n{select};\n"));
        let place = format!("mapping.sql:{place}");
        let finding = case.only_finding().await;
        assert_finding(&finding, code, &place, &[says]);
        assert!(finding["where"].as_str().unwrap().ends_with(&place), "{finding:#}");
        let finished = case.run_once().await;
        assert_says(&finished, status, code, &[&place, says]);
    }
    // Nothing was made at either side.
    let sql = "SELECT (SELECT count(*) FROM pg_publication)::bigint";
    assert_eq!(regraft_tests::number(&case.databases.source, sql).await, 0);
    let sql = "SELECT count(*) FROM pg_namespace WHERE nspname = 'regraft'";
    assert_eq!(regraft_tests::number(&case.databases.target, sql).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_refuses_comes_with_its_own_message_and_the_exact_place() {
    all_are_refused(
        SOURCE,
        TARGET,
        2,
        &[
            refused(
                "SELECT id, name, amount FRM items",
                "RG3002",
                "3:29",
                "syntax error at or near \"items\"",
            ),
            refused(
                "SELECT id,\n       nam, amount FROM items",
                "RG3002",
                "4:8",
                "column \"nam\" does not exist",
            ),
            refused(
                "SELECT id, größe, amount FROM items",
                "RG3002",
                "3:12",
                "column \"größe\" does not exist",
            ),
            // Positions are in characters, not in bytes.
            refused(
                "SELECT id, 'ß🦀' || nam, amount FROM items",
                "RG3002",
                "3:20",
                "column \"nam\" does not exist",
            ),
            refused(
                "SELECT id, name, amount\nFROM item",
                "RG3011",
                "4:6",
                "relation \"item\" does not exist",
            ),
            refused(
                "SELECT id, uper(name), amount FROM items",
                "RG3002",
                "3:12",
                "function uper(text) does not exist",
            ),
            refused(
                "SELECT id, name + 1, amount FROM items",
                "RG3002",
                "3:17",
                "operator does not exist",
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_give_another_value_each_time_are_refused() {
    all_are_refused(
        SOURCE,
        TARGET,
        2,
        &[
            refused("SELECT id, now()::text, amount FROM items", "RG3003", "3:12", "now()"),
            refused(
                "SELECT id, name, (random() * 10)::int FROM items",
                "RG3003",
                "3:19",
                "random()",
            ),
            refused(
                "SELECT id, gen_random_uuid()::text, amount FROM items",
                "RG3003",
                "3:12",
                "gen_random_uuid()",
            ),
            refused(
                "SELECT id, current_timestamp::text, amount FROM items",
                "RG3003",
                "3:12",
                "CURRENT_TIMESTAMP",
            ),
            refused(
                "SELECT id, name, amount FROM items WHERE at > clock_timestamp()",
                "RG3003",
                "3:47",
                "clock_timestamp()",
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_streamed_is_refused_with_its_place() {
    let source = format!("{SOURCE}; CREATE TABLE kinds (id bigint PRIMARY KEY, label text)");
    all_are_refused(
        &source,
        TARGET,
        2,
        &[
            refused("SELECT max(id), 'a', 1 FROM items", "RG3003", "3:8", "max()"),
            refused("SELECT id, name, amount FROM items GROUP BY id", "RG3003", "3:36", "GROUP BY"),
            refused("SELECT id, name, amount FROM items ORDER BY id LIMIT 3", "RG3003", "3:36", ""),
            refused("SELECT DISTINCT id, name, amount FROM items", "RG3003", "3:8", ""),
            refused(
                "SELECT id, (SELECT label FROM kinds AS k WHERE k.id = amount), amount FROM items",
                "RG3003",
                "2:1",
                "nothing tells which rows of public.items a change of public.kinds touches",
            ),
            refused(
                "SELECT id, name, (row_number() OVER ())::int FROM items",
                "RG3003",
                "3:32",
                "window function",
            ),
            refused(
                "SELECT id, name, amount FROM items UNION ALL SELECT id, label, 1 FROM kinds",
                "RG3003",
                "3:36",
                "",
            ),
            refused("SELECT 1::bigint, 'a', 2", "RG3003", "2:1", "no table"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_cannot_evaluate_for_a_row_alone_is_refused() {
    let source = format!(
        "{SOURCE}; CREATE FUNCTION looks(n bigint) RETURNS text LANGUAGE sql STABLE AS \
         'SELECT name FROM items WHERE id = n'; \
         CREATE FUNCTION draws(n bigint) RETURNS text LANGUAGE sql AS 'SELECT n::text'"
    );
    all_are_refused(
        &source,
        TARGET,
        2,
        &[
            refused("SELECT id, looks(id), amount FROM items", "RG3003", "3:12", "looks"),
            refused("SELECT id, draws(id), amount FROM items", "RG3003", "3:12", "draws"),
            refused("SELECT id, age(at)::text, amount FROM items", "RG3003", "3:12", "age"),
            refused("SELECT id, xmin::text, amount FROM items", "RG3003", "3:12", "xmin"),
            refused(
                "SELECT id, regexp_replace(name, 'a', 'b') || now(), amount FROM items",
                "RG3003",
                "3:46",
                "now()",
            ),
        ],
    )
    .await;
    let keyless = refused(
        "SELECT amount, regexp_replace(name, '(a)\\1', 'b'), amount FROM items",
        "RG3006",
        "2:1",
        "does not copy the whole key",
    );
    all_are_refused(SOURCE, TARGET, 3, &[keyless]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_has_to_lead_to_the_source_rows_by_values_that_the_stream_carries() {
    let source = format!(
        "{SOURCE}; CREATE TABLE kinds (id bigint PRIMARY KEY, label text); \
         CREATE VIEW views AS SELECT 1 AS amount"
    );
    let case = Case::of(Given { source: &source, target: TARGET, ..Given::default() }).await;
    let join = "SELECT i.id, k.label, i.amount FROM items AS i JOIN kinds AS k ON";
    for (place, says, code, select) in [
        ("2:1", "does not carry old values", "RG3001", format!("{join} k.label = i.name")),
        ("2:1", "nothing tells which rows", "RG3003", format!("{join} k.id = i.amount + 1")),
        ("3:83", "LIMIT makes rows depend", "RG3003", format!("{join} k.id = i.amount LIMIT 1")),
        ("3:48", "RIGHT makes rows depend", "RG3003", {
            "SELECT i.id, k.label, i.amount FROM items AS i RIGHT JOIN kinds AS k ON k.id = i.id"
                .into()
        }),
        ("3:1", "has no column kind", "RG3003", {
            format!("-- regraft: trace kinds.id -> kind\n{join} k.id = i.amount")
        }),
        ("3:1", "reads no table sorts", "RG3003", {
            format!("-- regraft: trace sorts.id -> amount\n{join} k.id = i.amount")
        }),
        ("3:1", "a trace cannot be read", "RG1003", {
            format!("-- regraft: trace kinds -> amount\n{join} k.id = i.amount")
        }),
    ] {
        case.installation.write_mapping(&format!("-- first line\nINSERT INTO goods\n{select};\n"));
        let finding = case.only_finding().await;
        assert_finding(&finding, code, &format!("mapping.sql:{place}"), &[says]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_who_evaluates_a_statement_and_why() {
    let mapping =
        "INSERT INTO goods\nSELECT id, regexp_replace(name, '(a)\\1', 'b'), amount FROM items";
    let site = Site::new(SOURCE, TARGET, mapping).await;
    let check = site.installation.command(&["check", "--json"], DEADLINE).await;
    assert_eq!(check.code(), 0, "{}", check.stderr);
    let statement = &check.json()["statements"][0];
    assert_eq!(statement["mode"], "read", "{statement}");
    let message = statement["message"].as_str().unwrap();
    assert!(message.contains("mapping.sql:2:33"), "{message}");
    assert!(message.contains("a back reference"), "{message}");
}

/// PostgreSQL takes the function, operator or cast that fits best, wherever in the search path it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_mean_a_function_of_the_source_is_left_to_it() {
    for (own, expression, says) in [
        (
            "FUNCTION concat(text, VARIADIC anyarray) RETURNS text IMMUTABLE LANGUAGE sql
             AS $$ SELECT array_to_string($2, $1) $$",
            "concat('|', name, 'b')",
            "concat(text,anyarray)",
        ),
        (
            "FUNCTION own(varchar, text) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT true';
             CREATE OPERATOR ~~ (FUNCTION = own, LEFTARG = varchar, RIGHTARG = text)",
            "(name::varchar LIKE 'x%')::text",
            "~~(character varying,text)",
        ),
        (
            "FUNCTION own(int) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT 'own' $$;
             CREATE CAST (int AS text) WITH FUNCTION own(int)",
            "amount::int::text",
            "from integer to text",
        ),
    ] {
        let mapping = format!("INSERT INTO goods\nSELECT id, {expression}, amount FROM items");
        let site = Site::new(&format!("{SOURCE}; CREATE {own}"), TARGET, &mapping).await;
        let check = site.installation.command(&["check", "--json"], DEADLINE).await;
        let statement = &check.json()["statements"][0];
        assert_eq!(statement["mode"], "read", "{statement}");
        assert!(statement["message"].as_str().unwrap().contains(says), "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_looked_at_before_anything_is_said() {
    let case = Case::usual().await;
    case.installation.write_mapping(
        "INSERT INTO goods SELECT id, nam, amount FROM items;\n\
         INSERT INTO goods (id, name, amount) SELECT id, name, amount FROM items;\n\
         INSERT INTO gods SELECT id, name, amount FROM items;\n",
    );
    let finished = case.regraft(&["check", "--json"]).await;
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    let report = finished.json();
    let statements = report["statements"].as_array().unwrap();
    let modes: Vec<_> =
        statements.iter().map(|s| (s["line"].as_u64(), s["mode"].as_str())).collect();
    let want =
        [(Some(1), Some("refused")), (Some(2), Some("streamed")), (Some(3), Some("refused"))];
    assert_eq!(modes, want, "{report:#}");
    assert!(statements[0]["message"].as_str().unwrap().contains("\"nam\""), "{report:#}");
    let codes: Vec<_> =
        errors(&report).iter().map(|e| e["code"].as_str().unwrap().to_owned()).collect();
    assert_eq!(codes, ["RG3002", "RG3004"], "{report:#}");
    let text = case.regraft(&["check"]).await;
    assert_eq!(text.code(), 1);
    for part in
        ["mapping.sql:1:30", "mapping.sql:3:1", "streamed", "refused", "2 errors", "to do: "]
    {
        assert!(text.stdout.contains(part), "{part}: {}", text.stdout);
    }
    let finished = case.run_once().await;
    assert_says(&finished, 2, "RG3002", &["mapping.sql:1:30", "mapping.sql:3:1", "[RG3004]"]);
}

/// Also where some statements are no statements, or the servers cannot be asked.
#[tokio::test(flavor = "multi_thread")]
async fn all_independent_faults_are_told_at_once() {
    let case = Case::usual().await;
    case.installation.write_mapping(
        "UPDATE goods SET name = 'x';\nINSERT INTO goods SELECT id, nam, amount FROM items;\n\
         INSERT goods SELECT 1;\nINSERT INTO gods SELECT id FROM items;\n\
         INSERT INTO goods SELECT id, 'open FROM items;\n",
    );
    let finished = case.regraft(&["check", "--json"]).await;
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    let report = finished.json();
    let found = errors(&report);
    let found: Vec<_> = found
        .iter()
        .map(|error| {
            let place = error["where"].as_str().unwrap();
            let line = place.split("mapping.sql:").nth(1).unwrap();
            (error["code"].as_str().unwrap(), line.split(':').next().unwrap().to_owned())
        })
        .collect();
    let expected = [("RG1003", 1), ("RG1003", 3), ("RG1003", 5), ("RG3002", 2), ("RG3004", 4)];
    for (code, line) in expected {
        assert!(found.contains(&(code, line.to_string())), "{code} {line}: {report:#}");
    }
    let text = std::fs::read_to_string(case.installation.path("regraft.toml")).unwrap();
    case.installation.write_config(&format!("{text}\n[limits]\nbatch_rowz = 3\n"));
    let finished = case.regraft(&["check"]).await;
    let parts = ["batch_rowz", "mapping.sql:1:1", "mapping.sql:3:8", "mapping.sql:5:"];
    assert_says(&finished, 2, "RG1002", &parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_table_needs_a_key_in_the_stream() {
    let tables = [
        ("CREATE TABLE items (id bigint, name text, amount int)", "ADD PRIMARY KEY"),
        (
            "CREATE TABLE items (id bigint PRIMARY KEY, name text, amount int);
             ALTER TABLE items REPLICA IDENTITY NOTHING",
            "REPLICA IDENTITY DEFAULT",
        ),
        (
            "CREATE TABLE items (id bigint, name text, amount int, UNIQUE (id));
             ALTER TABLE items REPLICA IDENTITY FULL",
            "ADD PRIMARY KEY",
        ),
    ];
    for (source, remedy) in tables {
        let case = Case::of(Given { source, ..Given::default() }).await;
        case.refused(3, "RG3001", "mapping.sql:1:1", &["public.items", "ALTER TABLE", remedy])
            .await;
    }
    let source = "CREATE TABLE base (id bigint PRIMARY KEY, name text, amount int);
                  CREATE VIEW items AS SELECT * FROM base";
    let case = Case::of(Given { source, ..Given::default() }).await;
    case.refused(2, "RG3003", "mapping.sql:1:1", &["public.items is not a table"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_does_not_copy_the_key_asks_for_whole_old_rows() {
    let target = "CREATE TABLE goods (name text PRIMARY KEY, amount int)";
    let mapping = "INSERT INTO goods SELECT name, amount FROM items;\n";
    let case = Case::mapped(target, mapping).await;
    let alter = "ALTER TABLE \"public\".\"items\" REPLICA IDENTITY FULL";
    case.refused(3, "RG3006", "mapping.sql:1:1", &["(id)", alter]).await;
    case.at_source(alter).await;
    case.catch_up().await;
    case.at_source(
        "UPDATE items SET name = name || '!' WHERE id < 5; DELETE FROM items WHERE id > 15",
    )
    .await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_of_other_names_are_led_to_a_cast_of_the_target_that_works() {
    let source = "CREATE TYPE status AS ENUM ('open', 'closed');
        CREATE TABLE s (id int PRIMARY KEY, status status);
        INSERT INTO s VALUES (1, 'open'), (2, NULL)";
    let target = "CREATE TYPE state AS ENUM ('open', 'closed');
        CREATE TABLE t (id int PRIMARY KEY, status state)";
    let mapping = "INSERT INTO t SELECT id, status FROM s;";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let finding = case.only_finding().await;
    assert_finding(
        &finding,
        "RG3007",
        "mapping.sql:1:1",
        &["public.status", "cast the expression"],
    );
    let mapping = "INSERT INTO t SELECT id, status::text FROM s;";
    case.installation.write_mapping(mapping);
    let cast = "CREATE CAST (text AS public.state) WITH INOUT AS ASSIGNMENT";
    assert_finding(&case.only_finding().await, "RG3007", "mapping.sql:1:1", &[cast]);
    case.at_target(cast).await;
    case.catch_up().await;
    case.at_source("UPDATE s SET status = 'closed'").await;
    case.catch_up().await;
    let closed = "SELECT count(*) FROM t WHERE status = 'closed'";
    assert_eq!(regraft_tests::number(&case.databases.target, closed).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_an_enum_of_the_target_lacks_are_warned_of() {
    let source = "CREATE TYPE status AS ENUM ('open', 'closed', 'lost'); CREATE TABLE s (id int PRIMARY KEY, status status)";
    let target = "CREATE SCHEMA shop; CREATE TYPE shop.status AS ENUM ('open');
        CREATE TABLE t (id int PRIMARY KEY, status shop.status)";
    let mapping = "INSERT INTO t SELECT id, status FROM s;";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let report = case.regraft(&["check", "--json"]).await.json();
    assert!(errors(&report).is_empty(), "{report:#}");
    let said = report["findings"].to_string();
    assert!(said.contains("shop.status") && said.contains("closed, lost"), "{report:#}");
}
