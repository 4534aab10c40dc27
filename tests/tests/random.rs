//! Random transactions over very few keys, so that everything meets everything: rows come, change,
//! move and go again inside one transaction, with values that the stream does not carry, while rows
//! are copied, in batches of all sizes, and through crashes.

use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use regraft_testkit::Daemon;
use regraft_tests::Site;

/// Keys are below.
const KEYS: i32 = 24;
/// Transactions per run.
const TRANSACTIONS: usize = 400;

const SOURCE: &str = "
    CREATE TABLE s (id int PRIMARY KEY, small int, big text, doc jsonb, name text UNIQUE, tags text[]);
    ALTER TABLE s ALTER big SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL;
    CREATE TABLE f (id int PRIMARY KEY, name text UNIQUE, small int, big text, doc jsonb);
    ALTER TABLE f REPLICA IDENTITY FULL, ALTER big SET STORAGE EXTERNAL;
    CREATE FUNCTION text_of(n int) RETURNS text LANGUAGE sql AS
        $$ SELECT CASE WHEN n % 5 = 0 THEN 'short ' || n ELSE repeat(md5(n::text), 80) END $$;
    CREATE FUNCTION doc_of(n int) RETURNS jsonb LANGUAGE sql AS
        $$ SELECT CASE n % 7 WHEN 0 THEN NULL WHEN 1 THEN '{}'::jsonb ELSE
           (SELECT jsonb_object_agg('k' || k % 9, k + n) FROM generate_series(n, n + n % 4) AS k)
           || CASE WHEN n % 3 = 0 THEN jsonb_build_object('long', repeat(md5(n::text), 80)) ELSE '{}' END END $$;
    INSERT INTO s SELECT n, n, text_of(n), doc_of(n), 'name ' || n, ARRAY['t' || n] FROM generate_series(1, 24, 2) AS n;
    INSERT INTO f SELECT n, 'name ' || n, n, text_of(n), doc_of(n) FROM generate_series(1, 24, 2) AS n";
const TARGET: &str = "
    CREATE TABLE whole (id int PRIMARY KEY, small int, big text, doc jsonb, name text UNIQUE, tags text[]);
    CREATE TABLE parts (id int, key text, value text, small int, PRIMARY KEY (id, key));
    CREATE TABLE low (id int PRIMARY KEY, big text);
    CREATE TABLE high (id int, small int, big text, PRIMARY KEY (small, id));
    CREATE INDEX ON high (id);
    CREATE TABLE labels (id int PRIMARY KEY, label text);
    CREATE TABLE both_texts (id int PRIMARY KEY, texts text);
    CREATE TABLE evaluated (id int PRIMARY KEY, digits text, keys int);
    CREATE TABLE joined (id int PRIMARY KEY, small int, other int, name text);
    CREATE TABLE counted (id int PRIMARY KEY, alike bigint, names text);
    CREATE TABLE full_whole (id int PRIMARY KEY, small int, big text);
    CREATE TABLE full_names (name text PRIMARY KEY, small int);
    CREATE TABLE full_parts (name text, key text, value text, PRIMARY KEY (name, key))";
const MAPPING: &str = "
    INSERT INTO whole SELECT id, small, big, doc, name, tags FROM s;
    INSERT INTO parts SELECT id, d.key, d.value, small FROM s CROSS JOIN LATERAL jsonb_each_text(doc) AS d;
    INSERT INTO low SELECT id, big FROM s WHERE id < 12;
    INSERT INTO high SELECT id, small, big FROM s WHERE id >= 12 AND small IS NOT NULL AND small % 4 > 0;
    INSERT INTO labels SELECT id, id::text || ' ' || big || coalesce(name, 'none') FROM s;
    INSERT INTO both_texts SELECT id, big || doc::text FROM s;
    INSERT INTO evaluated SELECT id, substring(big from '[0-9]+'), (SELECT count(k)::int FROM jsonb_object_keys(doc) AS k) FROM s WHERE name ~ '[0-8]$';
    INSERT INTO joined SELECT s.id, s.small, f.small, f.name FROM s JOIN f ON f.id = s.id;
    INSERT INTO counted SELECT s.id, count(f.id), string_agg(f.name, ',' ORDER BY f.name) FROM s LEFT JOIN f ON f.small = s.small GROUP BY s.id;
    INSERT INTO full_whole SELECT id, small, big FROM f;
    INSERT INTO full_names SELECT name, small FROM f WHERE name IS NOT NULL;
    INSERT INTO full_parts SELECT name, d.key, d.value FROM f CROSS JOIN LATERAL jsonb_each_text(doc) AS d WHERE name IS NOT NULL";

/// One statement that cannot fail.
fn statement(random: &mut StdRng) -> String {
    let table = *["s", "s", "f"].choose(random).unwrap();
    let id = random.random_range(0..KEYS);
    let other = random.random_range(0..KEYS);
    let n = random.random_range(0..1_000);
    let free = |name: &str| format!("NOT EXISTS (SELECT FROM {table} AS o WHERE o.{name}");
    match random.random_range(0..100) {
        0..15 => {
            let tags = if table == "s" {
                (", tags", format!(", ARRAY['t{n}', NULL]"))
            } else {
                ("", String::new())
            };
            format!(
                "INSERT INTO {table} (id, small, big, doc, name{}) VALUES ({id}, {n}, text_of({n}), doc_of({n}), 'name {other}'{}) ON CONFLICT DO NOTHING",
                tags.0, tags.1
            )
        }
        15..24 => format!("DELETE FROM {table} WHERE id = {id}"),
        24..40 => format!("UPDATE {table} SET small = {n} WHERE id = {id}"),
        40..48 => format!("UPDATE {table} SET big = text_of({n}) WHERE id = {id}"),
        48..56 => format!("UPDATE {table} SET doc = doc_of({n}) WHERE id = {id}"),
        56..60 => format!("UPDATE {table} SET small = NULL, big = NULL WHERE id = {id}"),
        60..72 => {
            format!("UPDATE {table} SET id = {other} WHERE id = {id} AND {} = {other})", free("id"))
        }
        72..76 => format!(
            "UPDATE {table} SET id = {other}, small = {n}, doc = doc_of({n}) WHERE id = {id} AND {} = {other})",
            free("id")
        ),
        76..84 => format!(
            "UPDATE {table} SET name = 'name {other}' WHERE id = {id} AND {} = 'name {other}')",
            free("name")
        ),
        84..88 => format!("UPDATE {table} SET name = NULL WHERE id = {id}"),
        // Names pass between two rows.
        88..92 => format!(
            "UPDATE {table} SET name = 'parked' WHERE id = {id};
             UPDATE {table} SET name = 'name {id}' WHERE id = {other} AND {} = 'name {id}');
             UPDATE {table} SET name = 'name {n}' WHERE name = 'parked' AND {} = 'name {n}');
             UPDATE {table} SET name = NULL WHERE name = 'parked'",
            free("name"),
            free("name")
        ),
        // Two keys change places.
        92..95 => format!(
            "UPDATE {table} SET id = -1 WHERE id = {id};
             UPDATE {table} SET id = {id} WHERE id = {other} AND {} = {id});
             UPDATE {table} SET id = {other} WHERE id = -1 AND {} = {other});
             DELETE FROM {table} WHERE id = -1",
            free("id"),
            free("id")
        ),
        95..97 => format!("UPDATE {table} SET small = small + 1"),
        97..98 => format!("UPDATE {table} SET id = id + 1000; UPDATE {table} SET id = id - 1000"),
        98..99 => {
            "SAVEPOINT a; UPDATE s SET small = 0, id = id + 500; DELETE FROM f; ROLLBACK TO a"
                .to_owned()
        }
        _ => format!("TRUNCATE {table}"),
    }
}

fn transaction(random: &mut StdRng) -> String {
    let mut text = String::from("BEGIN");
    for _ in 0..random.random_range(1..=8) {
        write!(text, ";\n{}", statement(random)).unwrap();
    }
    text.push_str(if random.random_range(0..12) == 0 { ";\nROLLBACK" } else { ";\nCOMMIT" });
    text
}

fn stop(daemon: Option<Daemon>) {
    if let Some(mut daemon) = daemon {
        daemon.kill9();
    }
}

/// The seed of a test, or that of the environment: `REGRAFT_SEED=7 cargo test --test random`.
fn seed(usual: u64) -> u64 {
    std::env::var("REGRAFT_SEED").map_or(usual, |given| given.parse().unwrap())
}

/// Runs the transactions of a seed against daemons that are killed now and then, and compares from
/// time to time.
async fn run(usual: u64, name: &str, limits: &str) {
    let site = Site::shared(name, (limits, ""), &[SOURCE], TARGET, MAPPING).await;
    let seed = seed(usual);
    let mut random = StdRng::seed_from_u64(seed);
    let source = site.at_source().await;
    let mut daemon = Some(site.run());
    for number in 0..TRANSACTIONS {
        let text = transaction(&mut random);
        source.batch_execute(&text).await.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        match random.random_range(0..100) {
            0 => stop(daemon.take()),
            1..6 if daemon.is_none() => daemon = Some(site.run()),
            6 => {
                daemon.get_or_insert_with(|| site.run());
                tokio::select! {
                    () = site.settled() => {}
                    error = site.held() => panic!("seed {seed}, transaction {number}: {error}\n{text}"),
                }
                eprintln!("seed {seed}: transaction {number} is applied");
                site.assert_equal().await;
            }
            _ => {}
        }
    }
    stop(daemon);
    site.catch_up().await;
    site.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_usual_limits() {
    run(1, "random_usual", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_chunks_of_single_rows() {
    run(2, "random_grains", "[backfill]\nchunk_rows = 1\nrows_per_second = 20\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_batch_for_each_few_rows() {
    run(3, "random_crumbs", "[limits]\nbatch_rows = 3\n[backfill]\nchunk_rows = 5\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_old_batches() {
    run(4, "random_old", "[limits]\nbatch_age = \"2s\"\n[backfill]\nchunk_rows = 2\n").await;
}
