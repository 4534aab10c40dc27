CREATE TABLE s (id int PRIMARY KEY, v text, doc jsonb);
INSERT INTO s SELECT n, 'row ' || n, jsonb_build_object('k' || n, n, 'all', n) FROM generate_series(1, 20) AS n;
