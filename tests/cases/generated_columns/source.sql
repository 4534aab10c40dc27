CREATE TABLE s (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, v text);
INSERT INTO s (id, a, v) SELECT n, n, 'row ' || n FROM generate_series(1, 9) AS n;
