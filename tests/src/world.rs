//! Schemas, mappings and random transactions for tests that compare in the end, whatever happened.

use std::fmt::Write as _;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Two schemas, the way from one to the other, and what happens at the source.
#[derive(Clone, Copy)]
pub struct World {
    /// In a word.
    pub name: &'static str,
    /// SQL of the source, with rows.
    pub source: &'static str,
    /// SQL of the target.
    pub target: &'static str,
    /// The mapping.
    pub mapping: &'static str,
    /// A transaction that cannot fail, as long as no other one is under way.
    pub transaction: fn(&mut StdRng) -> String,
}

/// Very few keys, so that everything meets everything: values that the stream does not carry, keys that
/// move, statements that the source evaluates.
pub const DENSE: World = World {
    name: "dense",
    source: DENSE_SOURCE,
    target: DENSE_TARGET,
    mapping: DENSE_MAPPING,
    transaction: dense_transaction,
};

/// Partitions on both sides, a key of two columns, parents and children.
pub const PARTED: World = World {
    name: "parted",
    source: PARTED_SOURCE,
    target: PARTED_TARGET,
    mapping: PARTED_MAPPING,
    transaction: parted_transaction,
};

/// Keys are below.
const KEYS: i32 = 24;
const DENSE_SOURCE: &str = "
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
const DENSE_TARGET: &str = "
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
const DENSE_MAPPING: &str = "
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

fn dense_transaction(random: &mut StdRng) -> String {
    let mut text = String::from("BEGIN");
    for _ in 0..random.random_range(1..=8) {
        write!(text, ";\n{}", statement(random)).unwrap();
    }
    text.push_str(if random.random_range(0..12) == 0 { ";\nROLLBACK" } else { ";\nCOMMIT" });
    text
}

const PARTED_SOURCE: &str = "
    CREATE TABLE orders (region int, id int, total numeric(12, 2), at timestamptz NOT NULL DEFAULT now(), note text,
        doc jsonb, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
    CREATE TABLE orders_0 PARTITION OF orders FOR VALUES IN (0);
    CREATE TABLE orders_1 PARTITION OF orders FOR VALUES IN (1, 2);
    CREATE TABLE orders_d PARTITION OF orders DEFAULT;
    ALTER TABLE orders_0 ALTER note SET STORAGE EXTERNAL; ALTER TABLE orders_1 ALTER note SET STORAGE EXTERNAL;
    CREATE FUNCTION note_of(n int) RETURNS text LANGUAGE sql AS
        $$ SELECT CASE WHEN n % 4 = 0 THEN NULL ELSE repeat(md5(n::text), 1 + n % 3 * 90) END $$;
    CREATE FUNCTION lines_of(n int) RETURNS jsonb LANGUAGE sql AS
        $$ SELECT coalesce(jsonb_object_agg('line ' || k, k * n), '{}') FROM generate_series(1, n % 5) AS k $$;
    INSERT INTO orders SELECT n % 5, n, n * 1.5, now(), note_of(n), lines_of(n) FROM generate_series(1, 400) AS n";
const PARTED_TARGET: &str = "
    CREATE TABLE heads (region int, id int, total numeric(12, 2), at timestamptz, note text, PRIMARY KEY (region, id))
        PARTITION BY HASH (region, id);
    CREATE TABLE heads_0 PARTITION OF heads FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE heads_1 PARTITION OF heads FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE lines (region int, id int, line text, amount numeric, PRIMARY KEY (region, id, line),
        FOREIGN KEY (region, id) REFERENCES heads);
    CREATE TABLE digests (region int, id int, digest text, PRIMARY KEY (region, id))";
const PARTED_MAPPING: &str = "
    INSERT INTO heads SELECT region, id, total, at, note FROM orders;
    INSERT INTO lines SELECT region, id, d.key, d.value::numeric FROM orders CROSS JOIN LATERAL jsonb_each_text(doc) AS d;
    INSERT INTO digests SELECT region, id, md5(note) || total::text FROM orders WHERE note IS NOT NULL";

fn parted_transaction(random: &mut StdRng) -> String {
    let mut text = String::from("BEGIN");
    for _ in 0..random.random_range(1..=5) {
        let (region, id, n) = (
            random.random_range(0..6),
            random.random_range(1..=400),
            random.random_range(0..1_000),
        );
        let statement = match random.random_range(0..100) {
            0..20 => format!(
                "INSERT INTO orders VALUES ({region}, {id}, {n}, now(), note_of({n}), lines_of({n})) ON CONFLICT DO NOTHING"
            ),
            20..32 => format!("DELETE FROM orders WHERE id = {id}"),
            32..52 => format!("UPDATE orders SET total = {n} WHERE id = {id}"),
            52..64 => format!("UPDATE orders SET note = note_of({n}) WHERE id = {id}"),
            64..76 => {
                format!("UPDATE orders SET doc = lines_of({n}), total = total + 1 WHERE id = {id}")
            }
            // From one partition to another.
            76..88 => format!(
                "UPDATE orders AS o SET region = {region} WHERE id = {id} AND region = {} \
                 AND NOT EXISTS (SELECT FROM orders AS p WHERE p.region = {region} AND p.id = {id})",
                n % 6
            ),
            88..96 => format!("UPDATE orders SET total = total + 1 WHERE id % 20 = {}", n % 20),
            96..98 => format!("DELETE FROM orders WHERE region = {region} AND id % 7 = {}", n % 7),
            98..99 => format!("SAVEPOINT a; DELETE FROM orders WHERE id > {id}; ROLLBACK TO a"),
            // That of a partition is not in the stream.
            _ => "TRUNCATE orders".to_owned(),
        };
        write!(text, ";\n{statement}").ok();
    }
    text.push_str(if random.random_range(0..12) == 0 { ";\nROLLBACK" } else { ";\nCOMMIT" });
    text
}
