//! Targets that do not take what the SELECT gives.

use crate::support::{Case, Given, MAPPING, SOURCE, TARGET, assert_says};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_target_is_made_from_the_ddl_that_check_prints() {
    let source = "
        CREATE TYPE mood AS ENUM ('good', 'bad');
        CREATE TABLE items (
            id uuid, part int, label varchar(20), code char(3), flags bit(4), price numeric(10, 2),
            tags text[], doc jsonb NOT NULL, at timestamptz(3), \"odd Name\" int, PRIMARY KEY (id, part));
        INSERT INTO items SELECT md5(i::text)::uuid, i, 'rowvalue4711-' || i, 'ab', b'0101',
            i * 1.5, ARRAY['a', NULL], '{\"k\": 1}', now(), i FROM generate_series(1, 30) AS i";
    let mapping = "INSERT INTO \"Odd \"\"target\"\"\"\n\
                   SELECT id, part, label, code, flags, price, tags, doc, at, \
                   \"odd Name\" FROM items;\n";
    let case = Case::of(Given { source, target: "SELECT 1", mapping, ..Given::default() }).await;
    case.refused(3, "RG3004", "mapping.sql:1:1", &["Odd \"target\"", "check --ddl"]).await;
    let printed = case.regraft(&["check", "--ddl"]).await;
    assert_eq!(printed.code(), 0, "{}", printed.stderr);
    assert_eq!(printed.stdout.matches("CREATE TABLE").count(), 1, "{}", printed.stdout);
    for column in ["\"id\" uuid NOT NULL", "\"doc\" jsonb NOT NULL", "\"tags\" text[],"] {
        assert!(printed.stdout.contains(column), "{column}: {}", printed.stdout);
    }
    case.at_target(&printed.stdout).await;
    let again = case.regraft(&["check", "--ddl"]).await;
    assert_eq!((again.code(), again.stdout.as_str()), (0, ""));
    case.catch_up().await;
    case.at_source("UPDATE items SET code = 'xyz', flags = b'1111', label = 'new' WHERE part < 9")
        .await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ddl_brings_schemas_and_types_and_one_table_for_several_statements() {
    let source = "
        CREATE SCHEMA \"Kinds\"; CREATE TYPE \"Kinds\".mood AS ENUM ('good', 'it''s bad');
        CREATE DOMAIN short AS varchar(5) NOT NULL;
        CREATE TYPE pair AS (a integer, \"B b\" short);
        CREATE TABLE items (id bigint PRIMARY KEY, \"Mood\" \"Kinds\".mood, moods \"Kinds\".mood[],
            name short, both_of pair);
        CREATE TABLE others (id bigint PRIMARY KEY, name text);
        INSERT INTO items SELECT i, 'it''s bad', '{good}', 'n' || i, ROW(i, 'x'::short)::pair FROM generate_series(1, 9) i;
        INSERT INTO others SELECT i, 'o' || i FROM generate_series(1, 9) AS i";
    let mapping = "INSERT INTO \"New s\".\"All\" SELECT id, \"Mood\", moods, name, both_of, id + 1, id * 2, name::text
                     FROM items;
                   INSERT INTO \"New s\".merged (id, name, kind) SELECT id, name::text, 'item' FROM items;
                   INSERT INTO \"New s\".merged (kind, id, name) SELECT 'other', id, name FROM others;\n";
    let case = Case::of(Given { source, target: "SELECT 1", mapping, ..Given::default() }).await;
    let printed = case.regraft(&["check", "--ddl"]).await;
    assert_eq!(printed.code(), 0, "{}", printed.stderr);
    case.at_target(&printed.stdout).await;
    let again = case.regraft(&["check"]).await;
    assert_eq!(again.code(), 0, "{}\n{}", printed.stdout, again.stdout);
    case.catch_up().await;
    case.at_source("UPDATE items SET name = 'new' WHERE id < 4; DELETE FROM others WHERE id = 1")
        .await;
    case.catch_up().await;
    let merged = "SELECT count(*) FROM \"New s\".merged";
    assert_eq!(regraft_tests::number(&case.databases.target, merged).await, 17);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ddl_for_several_rows_per_source_row_is_to_be_completed() {
    let source = "CREATE TABLE docs (id bigint PRIMARY KEY, doc jsonb);
                  INSERT INTO docs VALUES (1, '{\"a\": \"x\", \"b\": null}'), (2, NULL)";
    let mapping = "INSERT INTO new.parts (doc_id, name, value)\n\
                   SELECT d.id, e.key, e.value FROM docs AS d\n\
                   CROSS JOIN LATERAL jsonb_each_text(d.doc) AS e;\n";
    let case =
        Case::of(Given { source, target: "CREATE SCHEMA new", mapping, ..Given::default() }).await;
    let printed = case.regraft(&["check", "--ddl"]).await;
    assert_eq!(printed.code(), 0, "{}", printed.stderr);
    assert!(printed.stdout.contains("CREATE TABLE \"new\".\"parts\""), "{}", printed.stdout);
    assert!(printed.stdout.contains("still needs a key"), "{}", printed.stdout);
    // It runs as it is; what it lacks, `check` asks for.
    case.at_target(&printed.stdout).await;
    let lacking = case.only_finding().await;
    assert_eq!(lacking["code"], "RG3005", "{lacking:#}");
    case.at_target("ALTER TABLE new.parts ADD PRIMARY KEY (doc_id, name)").await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ddl_is_not_all_that_is_said_when_something_else_is_wrong() {
    let mapping =
        "INSERT INTO lost SELECT id, nam FROM items;\nINSERT INTO found SELECT id FROM items;\n";
    let case = Case::mapped("SELECT 1", mapping).await;
    let printed = case.regraft(&["check", "--ddl"]).await;
    assert_eq!(printed.code(), 1, "{}", printed.stderr);
    assert!(printed.stdout.contains("CREATE TABLE \"found\""), "{}", printed.stdout);
    assert!(printed.stderr.contains("mapping.sql:1:29"), "{}", printed.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn target_columns_that_do_not_fit_are_named() {
    let list = |columns: &str| {
        format!("INSERT INTO goods {columns} SELECT id, name, amount FROM items;\n")
    };
    let cases = [
        (TARGET, list("(id, nam, amount)"), "RG3010", 2, vec!["\"nam\"", "id, name, amount"]),
        (TARGET, list("(id, name)"), "RG3010", 2, vec!["3 columns for 2", "public.goods"]),
        (
            "CREATE TABLE goods (id bigint PRIMARY KEY, name text)",
            list(""),
            "RG3010",
            2,
            vec!["3 columns for 2", "public.goods"],
        ),
        (
            "CREATE TABLE goods (id bigint PRIMARY KEY, name text,
             amount int GENERATED ALWAYS AS (1) STORED)",
            list("(id, name, amount)"),
            "RG3010",
            2,
            vec!["\"amount\"", "generated", "leave it out"],
        ),
        (
            "CREATE TABLE goods (id bigint PRIMARY KEY, name text, amount int,
             owner text NOT NULL)",
            list(""),
            "RG3010",
            2,
            vec!["\"owner\"", "NOT NULL", "default"],
        ),
        (
            "CREATE TABLE goods (id bigint PRIMARY KEY, name int, amount int)",
            list(""),
            "RG3007",
            2,
            vec!["\"name\"", "integer", "text"],
        ),
        (
            "CREATE TABLE goods (id bigint, name text, amount int)",
            list(""),
            "RG3005",
            3,
            vec!["public.goods", "primary key"],
        ),
        (
            "CREATE TABLE goods (id bigint, name text, amount int,
             serial bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)",
            list(""),
            "RG3005",
            3,
            vec!["(serial)", "public.goods"],
        ),
        (
            "CREATE TABLE base (id bigint PRIMARY KEY, name text, amount int);
             CREATE VIEW goods AS SELECT * FROM base",
            list(""),
            "RG3004",
            3,
            vec!["public.goods is not a table"],
        ),
    ];
    for (target, mapping, code, status, parts) in cases {
        let case = Case::mapped(target, &mapping).await;
        case.refused(status, code, "mapping.sql:1:1", &parts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_only_the_source_has_is_named() {
    let source = "CREATE TYPE mood AS ENUM ('good', 'bad');
                  CREATE TABLE items (id bigint PRIMARY KEY, name mood, amount int)";
    let case = Case::of(Given { source, ..Given::default() }).await;
    case.refused(2, "RG3007", "mapping.sql:1:1", &["public.mood", "\"name\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_statements_into_one_table_need_something_that_tells_their_rows_apart() {
    let mapping = "INSERT INTO goods SELECT id, name, amount FROM items WHERE amount < 10;\n\
                   INSERT INTO goods SELECT id, name, amount FROM items WHERE amount >= 10;\n";
    let case = Case::mapped(TARGET, mapping).await;
    let place = "mapping.sql:1:1";
    case.refused(3, "RG3006", place, &["public.goods", "mapping.sql:2:1", "constant"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pipeline_does_not_mix_its_rows_with_others_that_are_there() {
    let target =
        format!("{TARGET}; INSERT INTO goods VALUES (7, 'rowvalue4711', 7), (99, 'alien', 1)");
    let case =
        Case::of(Given { source: SOURCE, target: &target, mapping: MAPPING, ..Given::default() })
            .await;
    let finished = case.run_once().await;
    assert_says(&finished, 4, "RG3013", &["public.goods", "mapping.sql:1:1", "--recopy"]);
    // Refused before anything was made.
    let sql = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";
    assert_eq!(regraft_tests::number(&case.databases.source, sql).await, 0);
    let checked = case.regraft(&["check", "--json"]).await.json();
    let findings = checked["findings"].as_array().unwrap();
    assert!(findings.iter().any(|f| f["code"] == "RG3013"), "{checked:#}");
    let finished = case.regraft(&["run", "--until-caught-up", "--recopy", "items"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_there_stay_when_the_operator_says_that_they_fit() {
    let target = format!("{TARGET}; INSERT INTO goods VALUES (99, 'alien', 1)");
    let case = Case::of(Given { target: &target, ..Given::default() }).await;
    let finished = case.regraft(&["run", "--until-caught-up", "--accept-mapping"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let sql = "SELECT count(*) FROM goods";
    assert_eq!(regraft_tests::number(&case.databases.target, sql).await, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_with_a_length_keep_it_in_copy_stream_and_chunk_bounds() {
    let columns = "id char(4), code char(3), flags bit(4), more varbit(8), label varchar(10), \
                   price numeric(10, 2), at timestamptz(3), span interval(0), PRIMARY KEY (id)";
    let source = format!(
        "CREATE TABLE items ({columns}); INSERT INTO items SELECT 'k' || i, 'ab', b'0101', b'01', \
         'xx', 1.23, now(), '1 day' FROM generate_series(1, 300) AS i"
    );
    let target = format!("CREATE TABLE goods ({columns})");
    let mapping =
        "INSERT INTO goods SELECT id, code, flags, more, label, price, at, span FROM items;\n";
    let extra = "[backfill]\nchunk_rows = 20\n";
    let case =
        Case::of(Given { source: &source, target: &target, mapping, extra, ..Given::default() })
            .await;
    case.catch_up().await;
    case.assert_equal().await;
    case.at_source("UPDATE items SET code = 'xyz', flags = b'1110' WHERE id < 'k2'").await;
    case.at_source("UPDATE items SET id = 'z' WHERE id = 'k1'; DELETE FROM items WHERE id > 'k8'")
        .await;
    case.catch_up().await;
    case.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_takes_different_texts_for_equal_is_warned_of() {
    let target = "CREATE EXTENSION citext; CREATE TABLE t (name citext PRIMARY KEY, v int)";
    let mapping = "INSERT INTO t SELECT name, v FROM s;";
    let said = "\"name\" of the key of public.t takes texts for equal that are not";
    for (kind, warned) in [("text", true), ("citext", false)] {
        let source = format!(
            "CREATE EXTENSION citext; CREATE TABLE s (name {kind} PRIMARY KEY, v int); \
             INSERT INTO s VALUES ('Alpha', 1), ('beta', 2)"
        );
        let case = Case::of(Given { source: &source, target, mapping, ..Given::default() }).await;
        let report = case.regraft(&["check", "--json"]).await.json();
        let found = report["findings"].as_array().unwrap().iter();
        let mut found = found.map(|finding| finding["what"].as_str().unwrap());
        assert_eq!(found.any(|what| what.starts_with(said)), warned, "{report:#}");
        case.catch_up().await;
        case.at_source("UPDATE s SET name = 'ALPHA' WHERE v = 1").await;
        case.catch_up().await;
        let finished = case.regraft(&["verify", "--json"]).await;
        assert_eq!(finished.code(), 0, "{}", finished.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_go_wrong_at_the_target_later_is_said_before() {
    let rest = "name text, amount integer";
    let hazards = [
        (
            format!("CREATE UNLOGGED TABLE goods (id bigint PRIMARY KEY, {rest})"),
            vec!["UNLOGGED", "SET LOGGED"],
        ),
        (
            format!(
                "CREATE TABLE goods (id bigint PRIMARY KEY, {rest}) PARTITION BY RANGE (id);
                 CREATE UNLOGGED TABLE goods_low PARTITION OF goods FOR VALUES FROM (0) TO (100)"
            ),
            vec!["UNLOGGED", "goods_low"],
        ),
        (
            format!(
                "CREATE TABLE goods (id bigint PRIMARY KEY, {rest});
                 CREATE RULE quiet AS ON DELETE TO goods DO INSTEAD NOTHING;
                 CREATE RULE told AS ON UPDATE TO goods DO ALSO NOTIFY goods;
                 CREATE RULE off AS ON INSERT TO goods DO INSTEAD NOTHING;
                 ALTER TABLE goods DISABLE RULE told; ALTER TABLE goods DISABLE RULE off"
            ),
            vec!["rules rewrite", "public.goods: quiet ON DELETE, told ON UPDATE\"", "DROP RULE"],
        ),
        (
            format!(
                "CREATE TABLE goods (id bigint PRIMARY KEY, {rest},
                 CONSTRAINT apart EXCLUDE USING gist (int4range(amount, amount, '[]') WITH &&))"
            ),
            vec!["apart", "DEFERRABLE"],
        ),
    ];
    for (target, parts) in hazards {
        let case = Case::mapped(&target, MAPPING).await;
        let checked = case.regraft(&["check", "--json"]).await;
        assert_eq!(checked.code(), 0, "{}", checked.stdout);
        let report = checked.json();
        let told = |finding: &serde_json::Value| {
            let said = finding.to_string();
            finding["severity"] == "warning" && parts.iter().all(|part| said.contains(part))
        };
        assert!(report["findings"].as_array().unwrap().iter().any(told), "{parts:?}: {report:#}");
    }
    let late = format!(
        "CREATE TABLE goods (id bigint PRIMARY KEY, {rest},
         EXCLUDE USING gist (int4range(amount, amount, '[]') WITH &&) DEFERRABLE)"
    );
    let case = Case::mapped(&late, MAPPING).await;
    case.catch_up().await;
    case.at_source("UPDATE items SET amount = 21 - amount").await;
    case.catch_up().await;
    case.assert_equal().await;
}

/// What the server says of it names the rules' table only; the warning has named them.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_keeps_upserts_out_is_told_in_the_servers_words() {
    let case = Case::usual().await;
    case.catch_up().await;
    for able in ["ENABLE", "DISABLE"] {
        case.at_target(&format!(
            "CREATE OR REPLACE RULE told AS ON UPDATE TO goods DO ALSO NOTIFY goods;
             ALTER TABLE goods {able} RULE told"
        ))
        .await;
        case.at_source("UPDATE items SET amount = amount + 1").await;
        assert_says(&case.run_once().await, 3, "RG2015", &["0A000", "INSERT or UPDATE rules"]);
    }
    case.at_target("DROP RULE told ON goods").await;
    case.catch_up().await;
    case.assert_equal().await;
}
