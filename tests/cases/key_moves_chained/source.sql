CREATE TABLE s (id bigint PRIMARY KEY, v text, parent bigint);
INSERT INTO s SELECT n, 'row ' || n, n - 1 FROM generate_series(1, 40) AS n;
