CREATE TABLE s (id int PRIMARY KEY, tags text[] NOT NULL, at int[] UNIQUE);
INSERT INTO s SELECT n, ARRAY['t' || n], ARRAY[n, n] FROM generate_series(1, 9) AS n;
