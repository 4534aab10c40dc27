CREATE TABLE s (id int PRIMARY KEY, v text, doc jsonb);
INSERT INTO s SELECT n, 'row ' || n, jsonb_build_object('a', n, 'b', n) FROM generate_series(1, 12) AS n;
