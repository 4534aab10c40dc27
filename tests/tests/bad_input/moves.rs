//! Rows whose keys change while something references them, and which the stream does not carry whole: an
//! out-of-line value stays as it was. The foreign keys of the target are plain: neither deferrable nor cascading.

use crate::support::{Case, Given, ready, stop};

struct Move<'a> {
    source: &'a str,
    target: &'a str,
    mapping: &'a str,
    /// Foreign keys of the target, added when all is copied.
    references: &'a str,
    changes: &'a [&'a str],
}

async fn assert_follows(given: Move<'_>) {
    let Move { source, target, mapping, .. } = given;
    let case = Case::of(Given { source, target, mapping, ..Given::default() }).await;
    let mut daemon = case.installation.run();
    ready(&mut daemon).await;
    case.at_target(given.references).await;
    for change in given.changes {
        case.at_source(change).await;
        case.settled().await;
        case.assert_equal().await;
    }
    stop(daemon).await;
}

const PARENTS: &str = "
    CREATE TABLE parents (id bigint PRIMARY KEY, name text, body text);
    ALTER TABLE parents ALTER body SET STORAGE EXTERNAL;
    CREATE TABLE kids (id bigint PRIMARY KEY, note text,
        parent_id bigint REFERENCES parents ON UPDATE CASCADE ON DELETE CASCADE);
    ALTER TABLE kids ALTER note SET STORAGE EXTERNAL;
    INSERT INTO parents SELECT i, 'name ' || i, repeat('b', 5000) FROM generate_series(1, 6) AS i;
    INSERT INTO kids SELECT i, repeat('n', 5000), i % 6 + 1 FROM generate_series(1, 12) AS i";
const FAMILIES: &str = "
    INSERT INTO p (id, name, body) SELECT id, name, body FROM parents;
    INSERT INTO k (id, note, parent_id) SELECT id, note, parent_id FROM kids;";
const REFERENCE: &str = "ALTER TABLE k ADD FOREIGN KEY (parent_id) REFERENCES p";
const CHANGES: &[&str] = &[
    "UPDATE parents SET id = 11 WHERE id = 1",
    "UPDATE parents SET id = id + 20, name = 'new' WHERE id IN (2, 3)",
    // The key is used again in the same transaction.
    "BEGIN; UPDATE parents SET id = 14 WHERE id = 4; INSERT INTO parents VALUES (4, 'other', 'b');
     INSERT INTO kids VALUES (40, 'n', 4); COMMIT",
    // Two rows exchange their keys.
    "BEGIN; UPDATE parents SET id = -1 WHERE id = 5; UPDATE parents SET id = 5 WHERE id = 6;
     UPDATE parents SET id = 6 WHERE id = -1; COMMIT",
    "BEGIN; UPDATE parents SET id = 15 WHERE id = 5; DELETE FROM parents WHERE id = 15; COMMIT",
    "BEGIN; UPDATE parents SET id = 31 WHERE id = 11; UPDATE parents SET id = 11 WHERE id = 31; COMMIT",
    "BEGIN; UPDATE parents SET id = 41 WHERE id = 11; TRUNCATE parents CASCADE;
     INSERT INTO parents VALUES (11, 'again', repeat('b', 5000)), (41, 'other', repeat('c', 5000));
     INSERT INTO kids VALUES (50, 'n', 11), (51, 'm', 41); UPDATE parents SET id = 42 WHERE id = 41; COMMIT",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_referenced_changes_its_key() {
    assert_follows(Move {
        source: PARENTS,
        target: "CREATE TABLE p (id bigint PRIMARY KEY, name text, body text);
                 CREATE TABLE k (id bigint PRIMARY KEY, note text, parent_id bigint)",
        mapping: FAMILIES,
        references: REFERENCE,
        changes: CHANGES,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_with_further_unique_values_and_an_identity_changes_its_key() {
    assert_follows(Move {
        source: PARENTS,
        target:
            "CREATE TABLE p (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL,
                     body text, size int GENERATED ALWAYS AS (length(body)) STORED);
                 CREATE UNIQUE INDEX ON p (md5(body || id), name);
                 ALTER TABLE p ADD UNIQUE (name, id);
                 CREATE TABLE k (id bigint PRIMARY KEY, note text UNIQUE, parent_id bigint)",
        mapping: "INSERT INTO p (id, name, body) SELECT id, name, body FROM parents;
                  INSERT INTO k (id, note, parent_id) SELECT id, note || id, parent_id FROM kids;",
        references: REFERENCE,
        changes: CHANGES,
    })
    .await;
    // The very value that stays is unique.
    let source = PARENTS.replace("repeat('b', 5000)", "repeat('b', 5000) || i");
    assert_follows(Move {
        source: &source,
        target: "CREATE TABLE p (id bigint PRIMARY KEY, name text, hash text NOT NULL UNIQUE, body text);
                 CREATE TABLE k (id bigint PRIMARY KEY, note text, parent_id bigint)",
        mapping: "INSERT INTO p (id, name, hash, body) SELECT id, name, md5(body), body FROM parents;
                  INSERT INTO k (id, note, parent_id) SELECT id, note, parent_id FROM kids;",
        references: REFERENCE,
        changes: CHANGES,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_decomposed_row_move_together() {
    assert_follows(Move {
        source: "CREATE TABLE docs (id bigint PRIMARY KEY, title text, tags text[], body text);
            ALTER TABLE docs ALTER body SET STORAGE EXTERNAL;
            INSERT INTO docs SELECT i, 't' || i, ARRAY['a', 'b'], repeat('b', 5000)
            FROM generate_series(1, 6) AS i",
        target: "CREATE TABLE heads (id bigint PRIMARY KEY, title text);
            CREATE TABLE bodies (id bigint PRIMARY KEY REFERENCES heads, body text, title text);
            CREATE TABLE tags (id bigint REFERENCES bodies, tag text, PRIMARY KEY (id, tag))",
        mapping: "INSERT INTO heads (id, title) SELECT id, title FROM docs;
            INSERT INTO bodies (id, body, title) SELECT id, body, title FROM docs;
            INSERT INTO tags (id, tag) SELECT id, t FROM docs CROSS JOIN LATERAL unnest(tags) AS t;",
        references: "",
        changes: &[
            "UPDATE docs SET id = 11 WHERE id = 1",
            "UPDATE docs SET id = id + 20 WHERE id IN (2, 3)",
            "BEGIN; UPDATE docs SET id = -1 WHERE id = 5; UPDATE docs SET id = 5 WHERE id = 6;
             UPDATE docs SET id = 6, title = 'new', tags = '{c}' WHERE id = -1; COMMIT",
            "BEGIN; UPDATE docs SET id = 7 WHERE id = 5; INSERT INTO docs VALUES (5, 'x', '{a}', 'b'); COMMIT",
        ],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_those_of_the_source_move_and_are_exchanged() {
    assert_follows(Move {
        source: "CREATE TABLE parents (id bigint PRIMARY KEY, code text UNIQUE, body text);
            ALTER TABLE parents ALTER body SET STORAGE EXTERNAL;
            CREATE TABLE kids (id bigint PRIMARY KEY, code text REFERENCES parents (code) ON UPDATE CASCADE);
            INSERT INTO parents SELECT i, 'code ' || i, repeat('b', 5000) || i FROM generate_series(1, 6) AS i;
            INSERT INTO kids SELECT i, 'code ' || i % 6 + 1 FROM generate_series(1, 12) AS i",
        target: "CREATE TABLE p (code text PRIMARY KEY, id bigint NOT NULL UNIQUE, body text);
                 CREATE TABLE k (id bigint PRIMARY KEY, code text)",
        mapping: "INSERT INTO p (id, code, body) SELECT id, code, body FROM parents;
                  INSERT INTO k (id, code) SELECT id, code FROM kids;",
        references: "ALTER TABLE k ADD FOREIGN KEY (code) REFERENCES p",
        changes: &[
            "UPDATE parents SET code = 'new' WHERE id = 1",
            "UPDATE parents SET code = code || ' new' WHERE id IN (2, 3)",
            "BEGIN; UPDATE parents SET code = 'x' WHERE id = 5; UPDATE parents SET code = 'code 5' WHERE id = 6;
             UPDATE parents SET code = 'code 6' WHERE id = 5; COMMIT",
            "BEGIN; UPDATE parents SET code = 'y' WHERE id = 4;
             INSERT INTO parents VALUES (40, 'code 4', 'b'); COMMIT",
        ],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_levels_of_composite_keys_move() {
    assert_follows(Move {
        source: "CREATE TABLE a (t int, id int, wide text, PRIMARY KEY (t, id));
            CREATE TABLE b (t int, a int, id int, wide text, PRIMARY KEY (t, a, id),
                FOREIGN KEY (t, a) REFERENCES a ON UPDATE CASCADE);
            CREATE TABLE c (t int, a int, b int, id int, wide text, PRIMARY KEY (t, a, b, id),
                FOREIGN KEY (t, a, b) REFERENCES b ON UPDATE CASCADE);
            ALTER TABLE a ALTER wide SET STORAGE EXTERNAL;
            ALTER TABLE c ALTER wide SET STORAGE EXTERNAL;
            INSERT INTO a SELECT 1, i, repeat('a', 5000) FROM generate_series(1, 4) AS i;
            INSERT INTO b SELECT 1, i, j, 'b' FROM generate_series(1, 4) AS i, generate_series(1, 2) AS j;
            INSERT INTO c SELECT 1, i, j, 1, repeat('c', 5000)
            FROM generate_series(1, 4) AS i, generate_series(1, 2) AS j",
        target: "CREATE TABLE ta (t int, id int, wide text, PRIMARY KEY (t, id));
            CREATE TABLE tb (t int, a int, id int, wide text, PRIMARY KEY (t, a, id));
            CREATE TABLE tc (t int, a int, b int, id int, wide text, PRIMARY KEY (t, a, b, id))",
        mapping: "INSERT INTO ta SELECT t, id, wide FROM a; INSERT INTO tb SELECT t, a, id, wide FROM b;
            INSERT INTO tc SELECT t, a, b, id, wide FROM c;",
        references: "ALTER TABLE tb ADD FOREIGN KEY (t, a) REFERENCES ta;
            ALTER TABLE tc ADD FOREIGN KEY (t, a, b) REFERENCES tb",
        changes: &[
            "UPDATE a SET id = 11 WHERE id = 1",
            "UPDATE a SET t = 2 WHERE id IN (2, 3)",
            "UPDATE b SET id = id + 10 WHERE a = 4",
            "BEGIN; UPDATE a SET id = 40 WHERE id = 4; UPDATE b SET id = 1 WHERE a = 40 AND id = 11; COMMIT",
        ],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_refer_to_rows_of_their_own_table_move() {
    assert_follows(Move {
        source: "CREATE TABLE nodes (id bigint PRIMARY KEY, body text,
                parent_id bigint REFERENCES nodes ON UPDATE CASCADE);
            ALTER TABLE nodes ALTER body SET STORAGE EXTERNAL;
            INSERT INTO nodes SELECT i, repeat('b', 5000), nullif(i / 2, 0) FROM generate_series(1, 9) AS i;
            INSERT INTO nodes VALUES (20, repeat('b', 5000), 20)",
        target: "CREATE TABLE tree (id bigint PRIMARY KEY, body text, parent_id bigint)",
        mapping: "INSERT INTO tree (id, body, parent_id) SELECT id, body, parent_id FROM nodes;",
        references: "ALTER TABLE tree ADD FOREIGN KEY (parent_id) REFERENCES tree",
        changes: &[
            "UPDATE nodes SET id = 101 WHERE id = 1",
            "UPDATE nodes SET id = id + 100 WHERE id IN (2, 3, 4)",
            "BEGIN; UPDATE nodes SET id = 21, parent_id = 21 WHERE id = 20; COMMIT",
            "UPDATE nodes SET id = id + 1000",
        ],
    })
    .await;
}
