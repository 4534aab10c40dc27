-- No statement copies the key of its source row: old rows say what to take away.
CREATE TABLE s (id int PRIMARY KEY, name text UNIQUE NOT NULL, n int, doc jsonb);
ALTER TABLE s REPLICA IDENTITY FULL;
INSERT INTO s SELECT n, 'name ' || n, n, jsonb_build_object('k' || n, n, 'x' || n, NULL) FROM generate_series(1, 12) AS n;
