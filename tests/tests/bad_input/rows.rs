//! Rows that the target does not take: the pipeline is held there, nothing is skipped, and it goes
//! on by itself once the target is mended.

use regraft_core::Lsn;
use regraft_testkit::{Daemon, wait_until};
use regraft_tests::{DEADLINE, number};

use crate::support::{
    Case, Given, MAPPING, SOURCE, VALUE, assert_says, ready, settled, stop, until_true,
};

/// What keeps a row out, and how it is let in.
struct Obstacle {
    target: &'static str,
    /// A transaction at the source whose last row is refused.
    change: &'static str,
    /// Part of the server's message.
    says: &'static str,
    mend: &'static str,
}

async fn held_until_mended(obstacle: Obstacle) {
    let Obstacle { target, change, says, mend } = obstacle;
    let case = Case::of(Given { target, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.assert_equal().await;
    let target = &case.databases.target;
    case.at_source("UPDATE items SET amount = 1000 WHERE id = 1").await;
    case.settled().await;
    let position = async || -> Lsn {
        let status = case.regraft(&["status", "--json"]).await.json();
        status["position"].as_str().unwrap().parse().unwrap()
    };
    let before = position().await;
    // Idle positions go on until there is something to apply.
    let log = "SELECT pg_current_wal_insert_lsn()::text";
    let log: String = case.databases.source.query_one(log, &[]).await.unwrap().get(0);
    // One transaction, of which nothing may be seen, and a later one.
    case.at_source(&format!(
        "BEGIN; UPDATE items SET amount = 2000 WHERE id = 2; {change}; COMMIT"
    ))
    .await;
    case.at_source("UPDATE items SET amount = 3000 WHERE id = 3").await;
    let error = case.held(&daemon, "RG4001").await;
    let what = error["what"].as_str().unwrap();
    for part in [says, "target (127.0.0.1:", "mapping.sql:1:1", "public.goods", "SQLSTATE"] {
        assert!(what.contains(part), "{part}: {error:#}");
    }
    assert!(error["remedy"].as_str().unwrap().contains("nothing is skipped"), "{error:#}");
    let amounts = "SELECT string_agg(amount::text, ' ' ORDER BY id) FROM goods WHERE id <= 3";
    let amounts: String = target.query_one(amounts, &[]).await.unwrap().get(0);
    assert_eq!(amounts, "1000 2 3", "everything before is applied, and nothing after");
    let status = case.regraft(&["status", "--json"]).await.json();
    assert!(
        (before..=log.parse().unwrap()).contains(&position().await),
        "{before} {log} {status:#}"
    );
    assert!(status["lag_bytes"].as_u64().unwrap() > 0, "{status:#}");
    assert!(case.regraft(&["status"]).await.stdout.contains("[RG4001]"));
    let (_, shown) = daemon.http("/api/v1/status").await.unwrap();
    case.assert_discreet(&shown);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["phase"], &shown["healthy"]), (&"held".into(), &false.into()), "{shown:#}");
    for told in [&error, &shown["last_error"]] {
        let fields: Vec<_> = told.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["at", "code", "remedy", "what"]);
        assert!(told["at"].is_u64(), "{told:#}");
    }
    assert_eq!(daemon.http("/readyz").await.unwrap().0, 503);
    case.at_target(mend).await;
    case.settled().await;
    case.assert_equal().await;
    wait_until("the pipeline to be well", DEADLINE, async || {
        let (health, body) = case.health(&daemon).await?;
        let status = case.regraft(&["status", "--json"]).await.json();
        let error = &status["last_error"];
        if health == 200 && error.is_null() && status["phase"] == "streaming" {
            return Ok(());
        }
        Err(format!("{health} {body} {status:#}"))
    })
    .await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_too_narrow_holds_the_pipeline_until_it_is_widened() {
    held_until_mended(Obstacle {
        target: "CREATE TABLE goods (id bigint PRIMARY KEY, name varchar(15), amount integer)",
        change: "UPDATE items SET name = name || '-and-more' WHERE id = 4",
        says: "value too long for type character varying(15)",
        mend: "ALTER TABLE goods ALTER COLUMN name TYPE text",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_out_of_range_holds_the_pipeline_until_its_column_is_widened() {
    held_until_mended(Obstacle {
        target: "CREATE TABLE goods (id bigint PRIMARY KEY, name text, amount smallint)",
        change: "UPDATE items SET amount = 70000 WHERE id = 4",
        says: "smallint out of range",
        mend: "ALTER TABLE goods ALTER COLUMN amount TYPE integer",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_missing_holds_the_pipeline_until_it_is_made() {
    held_until_mended(Obstacle {
        target: "CREATE TABLE goods (id bigint PRIMARY KEY, name text, amount integer)
                   PARTITION BY RANGE (id);
                 CREATE TABLE goods_low PARTITION OF goods FOR VALUES FROM (0) TO (100)",
        change: "INSERT INTO items VALUES (150, 'rowvalue4711', 0, NULL)",
        says: "no partition of relation \"goods\" found for row",
        mend: "CREATE TABLE goods_high PARTITION OF goods FOR VALUES FROM (100) TO (200)",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_constraint_holds_the_pipeline_until_it_is_dropped() {
    held_until_mended(Obstacle {
        target: "CREATE TABLE goods (id bigint PRIMARY KEY, name text,
                 amount integer CONSTRAINT modest CHECK (amount < 5000))",
        change: "UPDATE items SET amount = 5000 WHERE id = 4",
        says: "violates check constraint \"modest\"",
        mend: "ALTER TABLE goods DROP CONSTRAINT modest",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_that_is_not_allowed_holds_the_pipeline_until_it_is() {
    held_until_mended(Obstacle {
        target: "CREATE TABLE goods (id bigint PRIMARY KEY, name text NOT NULL, amount integer)",
        change: "UPDATE items SET name = NULL WHERE id = 4",
        says: "null value in column \"name\"",
        mend: "ALTER TABLE goods ALTER COLUMN name DROP NOT NULL",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_objects_holds_the_pipeline_and_its_words_are_not_repeated() {
    held_until_mended(Obstacle {
        target: "CREATE TABLE goods (id bigint PRIMARY KEY, name text, amount integer);
                 CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF new.amount = 77 THEN RAISE EXCEPTION 'not \"%\"', new.name; END IF;
                   RETURN new;
                 END $$;
                 CREATE TRIGGER object BEFORE INSERT OR UPDATE ON goods FOR EACH ROW
                 EXECUTE FUNCTION object()",
        change: "UPDATE items SET amount = 77 WHERE id = 4",
        says: "refused in PL/pgSQL function public.object() line 2, in words that may hold values",
        mend: "DROP TRIGGER object ON goods",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privilege_that_is_taken_away_holds_the_pipeline_until_it_is_given_back() {
    let case = Case::usual().await;
    let role = format!("{}_writer", case.name);
    let database = format!("{}_modern", case.name);
    case.at_target(&format!(
        "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {database} TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON goods TO {role}"
    ))
    .await;
    let installation = case.another(|setup| {
        setup.target_url = crate::support::with_user(&setup.target_url, &role);
    });
    let mut daemon = installation.run();
    ready(&mut daemon).await;
    case.at_target(&format!("REVOKE UPDATE ON goods FROM {role}")).await;
    case.at_source("UPDATE items SET amount = 5 WHERE id = 6").await;
    let error = case.held(&daemon, "RG2004").await;
    assert!(error["what"].as_str().unwrap().contains("goods"), "{error:#}");
    case.at_target(&format!("GRANT UPDATE ON goods TO {role}")).await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
    case.assert_discreet(&crate::support::everything_printed(&installation));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_while_copying_holds_the_pipeline_or_ends_a_run_until_caught_up() {
    let target = "CREATE TABLE goods (id bigint PRIMARY KEY, name varchar(5), amount integer)";
    let case = Case::of(Given { target, ..Given::default() }).await;
    let finished = case.run_once().await;
    assert_says(&finished, 3, "RG4001", &["value too long", "mapping.sql:1:1", "public.goods"]);
    assert_eq!(number(&case.databases.target, "SELECT count(*) FROM goods").await, 0);
    let daemon = case.installation.run();
    case.held(&daemon, "RG4001").await;
    case.at_target("ALTER TABLE goods ALTER COLUMN name TYPE text").await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_fails_for_a_row_holds_the_pipeline_until_the_row_is_corrected() {
    let source = "CREATE TABLE items (id bigint PRIMARY KEY, name text);
                  INSERT INTO items SELECT i, i FROM generate_series(1, 20) AS i";
    let target = "CREATE TABLE goods (id bigint PRIMARY KEY, amount integer)";
    let mapping = "INSERT INTO goods\nSELECT id, name::integer FROM items;\n";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source(&format!("UPDATE items SET name = '{VALUE}' WHERE id = 4")).await;
    case.at_source("UPDATE items SET name = '55' WHERE id = 5").await;
    let error = case.held(&daemon, "RG4002").await;
    let what = error["what"].as_str().unwrap();
    assert!(what.contains("mapping.sql:2:1") && what.contains("22P02"), "{error:#}");
    assert_eq!(
        number(&case.databases.target, "SELECT amount::bigint FROM goods WHERE id = 5").await,
        5
    );
    // The stream still carries the faulty row; only another mapping can pass it.
    stop(daemon).await;
    let mapping = "INSERT INTO goods\n\
                   SELECT id, CASE WHEN name LIKE 'row%' THEN NULL ELSE name::integer END\n\
                   FROM items;\n";
    case.installation.write_mapping(mapping);
    let finished = case.regraft(&["run", "--until-caught-up", "--accept-mapping"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let (source, target) = (&case.databases.source, &case.databases.target);
    regraft_testkit::assert_equal_mapping(source, target, mapping).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_table_that_vanishes_holds_the_pipeline() {
    let case = Case::of(Given { source: SOURCE, mapping: MAPPING, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_target("ALTER TABLE goods RENAME TO hidden").await;
    case.at_source("UPDATE items SET amount = 5 WHERE id = 6").await;
    let error = case.held(&daemon, "RG3004").await;
    assert!(error["what"].as_str().unwrap().contains("goods"), "{error:#}");
    case.at_target("ALTER TABLE hidden RENAME TO goods").await;
    settled(&case.databases.source, &case.databases.target, &case.name).await;
    case.assert_equal().await;
    stop(daemon).await;
}

/// One of the existing rows, 7 of twenty, is refused: all others come, and the stream goes on.
async fn refused_alone(case: &Case, daemon: &Daemon) {
    let target = &case.databases.target;
    until_true(target, "the other rows", "SELECT count(*) = 19 FROM goods").await;
    let error = case.held(daemon, "RG4001").await;
    let what = error["what"].as_str().unwrap();
    for part in ["mapping.sql:1:1", "public.goods", "public.items", "key id", "SQLSTATE 22001"] {
        assert!(what.contains(part), "{part}: {error:#}");
    }
    case.at_source("UPDATE items SET amount = amount + 100 WHERE id = 8").await;
    until_true(target, "the stream", "SELECT amount = 108 FROM goods WHERE id = 8").await;
    // It is tried again, and says so again.
    case.held(daemon, "RG4001").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_that_is_refused_while_copying_keeps_no_other_row_waiting() {
    let target = "CREATE TABLE goods (id bigint PRIMARY KEY, name varchar(20), amount integer)";
    let source = format!("{SOURCE}; UPDATE items SET name = repeat(name, 3) WHERE id = 7");
    for mend in [
        "UPDATE items SET name = 'short' WHERE id = 7",
        "DELETE FROM items WHERE id = 7",
        "UPDATE items SET id = 700, name = 'short' WHERE id = 7",
    ] {
        let case = Case::of(Given { source: &source, target, ..Given::default() }).await;
        let mut daemon = case.installation.run();
        refused_alone(&case, &daemon).await;
        case.at_source(mend).await;
        case.settled().await;
        case.assert_equal().await;
        ready(&mut daemon).await;
        stop(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_that_is_refused_when_it_is_read_by_key_keeps_no_other_row_waiting() {
    let source = format!(
        "{SOURCE}; CREATE TABLE labels (id bigint PRIMARY KEY, label text);
         INSERT INTO labels SELECT id, 'label' FROM items"
    );
    let target = "CREATE TABLE goods (id bigint PRIMARY KEY, name varchar(20), amount integer)";
    let mapping = "INSERT INTO goods\n\
                   SELECT i.id, l.label, i.amount FROM items AS i JOIN labels AS l ON l.id = i.id;\n";
    let case = Case::of(Given { source: &source, target, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("UPDATE labels SET label = CASE id WHEN 7 THEN repeat('l', 30) ELSE 'new' END")
        .await;
    let others = "SELECT count(*) = 19 FROM goods WHERE name = 'new'";
    until_true(&case.databases.target, "the other rows", others).await;
    let error = case.held(&daemon, "RG4001").await;
    assert!(error["what"].as_str().unwrap().contains("public.items by key id"), "{error:#}");
    case.at_source("UPDATE labels SET label = 'short' WHERE id = 7").await;
    case.settled().await;
    case.assert_equal().await;
    ready(&mut daemon).await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_suppresses_a_change_in_part_is_named() {
    let source = "CREATE TABLE items (id bigint PRIMARY KEY, name text, body text);
                  ALTER TABLE items ALTER body SET STORAGE EXTERNAL;
                  INSERT INTO items SELECT i, i, repeat('b', 5000) FROM generate_series(1, 5) AS i";
    let target = "CREATE TABLE goods (id bigint PRIMARY KEY, name text, body text);
                  CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN IF new.id = 4 THEN RETURN NULL; END IF; RETURN new; END $$;
                  CREATE TRIGGER keeps BEFORE UPDATE ON goods FOR EACH ROW EXECUTE FUNCTION keep()";
    let mapping = "INSERT INTO goods\nSELECT id, name, body FROM items;\n";
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("UPDATE items SET name = 'rowvalue4711'").await;
    let error = case.held(&daemon, "RG4001").await;
    let what = error["what"].as_str().unwrap();
    for part in ["suppresses 1 rows", "keeps", "public.goods", "public.items by key id"] {
        assert!(what.contains(part), "{part}: {error:#}");
    }
    case.at_target("ALTER TABLE goods DISABLE TRIGGER keeps").await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_partition_is_told_by_the_keys_of_both_sides() {
    let target =
        "CREATE TABLE goods (id bigint, name text, amount integer, PRIMARY KEY (id, amount))
                      PARTITION BY LIST (amount);
                  CREATE TABLE goods_few PARTITION OF goods FOR VALUES IN (1, 2, 3)
                      PARTITION BY HASH (id);
                  CREATE TABLE goods_few_all PARTITION OF goods_few
                      FOR VALUES WITH (MODULUS 1, REMAINDER 0);
                  CREATE TABLE goods_some PARTITION OF goods
                      FOR VALUES IN (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)";
    let case = Case::of(Given { target, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_source("UPDATE items SET amount = 4711 WHERE id = 5").await;
    let error = case.held(&daemon, "RG4001").await;
    let said = format!("{} {}", error["what"].as_str().unwrap(), error["remedy"].as_str().unwrap());
    for part in [
        "into public.goods",
        "public.items by key id",
        "23514",
        "HASH (id), LIST (amount)",
        "DEFAULT partition",
    ] {
        assert!(said.contains(part), "{part}: {error:#}");
    }
    assert!(!said.contains("4711"), "{error:#}");
    case.at_target("CREATE TABLE goods_rest PARTITION OF goods DEFAULT").await;
    case.settled().await;
    case.assert_equal().await;
    stop(daemon).await;
}
