-- step
UPDATE s SET tags = tags || ARRAY['more', NULL], v = v || '!';
-- step
UPDATE s SET grid = ARRAY[[NULL, NULL]]::int[], docs = ARRAY['[]'::jsonb, NULL] WHERE id IN (1, 2);
UPDATE s SET id = id + 100 WHERE id > 2;
-- step
INSERT INTO s (id, tags, grid) SELECT n, array_fill('x'::text, ARRAY[n]), array_fill(n, ARRAY[2, n]) FROM generate_series(5, 20) AS n;
-- step
UPDATE s SET tags = NULL, grid = '{}' WHERE id > 10;
DELETE FROM s WHERE id IN (1, 103);
