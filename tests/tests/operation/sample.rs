//! `regraft check --sample`: rows of the source, evaluated both ways.

use crate::support::{Case, Given, assert_finding, errors};

const SOURCE: &str = "
    CREATE TABLE items (id int, part text, name text, amount numeric, tags jsonb, PRIMARY KEY (id, part));
    INSERT INTO items SELECT n, 'p' || n % 2, 'name ' || n, n / 7.0,
        CASE WHEN n % 3 > 0 THEN jsonb_build_object('a', n, 'b', NULL) END FROM generate_series(1, 50) AS n;
    INSERT INTO items VALUES (51, 'infinite', 'x', 'NaN', '{}'), (52, 'zero', '', 0, NULL)";
const TARGET: &str = "
    CREATE TABLE goods (id int, part text, name text, share numeric, PRIMARY KEY (id, part));
    CREATE TABLE tags (id int, part text, key text, value text, PRIMARY KEY (id, part, key))";
const MAPPING: &str = "
    INSERT INTO goods SELECT id, part, reverse(name), 1 / amount FROM items;
    INSERT INTO tags SELECT id, part, t.key, t.value FROM items CROSS JOIN LATERAL jsonb_each_text(tags) AS t;";

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_that_agrees_is_counted() {
    let given = Given { source: SOURCE, target: TARGET, mapping: MAPPING, ..Given::default() };
    let case = Case::of(given).await;
    let finished = case.regraft(&["check", "--json", "--sample", "1000"]).await;
    let report = finished.json();
    // The row that divides by zero fails in both: it would hold the pipeline.
    assert_eq!(finished.code(), 1, "{report:#}");
    let found = errors(&report);
    assert_eq!(found.len(), 1, "{report:#}");
    let parts = ["1 of the sampled rows of public.items", "(id, part)", "22012", "--show-values"];
    assert_finding(&found[0], "RG4002", "mapping.sql:2 (public.goods)", &parts);
    assert!(!finished.stdout.contains("52"), "{}", finished.stdout);
    let shown = case.regraft(&["check", "--sample", "1000", "--show-values"]).await;
    assert!(shown.stdout.contains("id = 52, part = zero"), "{}", shown.stdout);
    assert_eq!(report["sample"]["compared"], 104, "{report:#}");
    assert_eq!(report["sample"]["different"], 0, "{report:#}");
    let finished = case.regraft(&["check", "--sample", "10"]).await;
    assert_eq!(finished.code(), 0, "{}", finished.stdout);
    assert!(
        finished.stdout.contains("20 rows evaluated both ways, 0 differ"),
        "{}",
        finished.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_told_by_key_and_column_and_its_values_only_on_demand() {
    // The built-in function was changed; in a way that the planner can put in its place, else the
    // server knows it by its object id.
    let source = format!(
        "{SOURCE};
         CREATE FUNCTION backwards(text) RETURNS text IMMUTABLE LANGUAGE internal AS 'text_reverse';
         CREATE OR REPLACE FUNCTION pg_catalog.reverse(text) RETURNS text IMMUTABLE LANGUAGE sql AS
             $$ SELECT CASE WHEN $1 = 'name 7' THEN 'other ' || $1 ELSE public.backwards($1) END $$;
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$"
    );
    let given = Given { source: &source, target: TARGET, mapping: MAPPING, ..Given::default() };
    let case = Case::of(given).await;
    let finished = case.regraft(&["check", "--json", "--sample", "1000"]).await;
    assert_eq!(finished.code(), 1, "{}", finished.stdout);
    let report = finished.json();
    assert_eq!(report["sample"]["different"], 1, "{report:#}");
    let mut errors = errors(&report);
    errors.retain(|error| error["code"] != "RG4002");
    assert_eq!(errors.len(), 1, "{report:#}");
    let parts = ["id = 7, part = p1", "column \"name\" differs"];
    assert_finding(&errors[0], "RG3015", "mapping.sql:2 (public.goods)", &parts);
    assert!(!finished.stdout.contains("name 7"), "{}", finished.stdout);
    assert!(finished.stdout.contains("search_path puts public before pg_catalog"));
    let finished = case.regraft(&["check", "--sample", "1000", "--show-values"]).await;
    assert_eq!(finished.code(), 1, "{}", finished.stdout);
    let values = "\"name\" (PostgreSQL 'other name 7', regraft '7 eman')";
    assert!(finished.stdout.contains(values), "{}", finished.stdout);
}
