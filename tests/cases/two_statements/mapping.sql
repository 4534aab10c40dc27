-- The same ids from both tables, told apart by a constant.
INSERT INTO t (kind, id, v) SELECT 'a' AS kind, id, v FROM a;
INSERT INTO t (kind, id, v) SELECT 'b''s', id, v FROM b;
-- Two statements over one table, into one table.
INSERT INTO parts (id, kind, key, value) SELECT id, 'doc', d.key, d.value FROM a CROSS JOIN LATERAL jsonb_each_text(doc) AS d;
INSERT INTO parts (id, kind, key, value) SELECT id, 'name', 'v', v FROM a WHERE v IS NOT NULL;
