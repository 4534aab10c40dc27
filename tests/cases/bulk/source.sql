CREATE TABLE s (id int PRIMARY KEY, v text, n int UNIQUE);
INSERT INTO s SELECT n, 'row ' || n, n FROM generate_series(1, 10) AS n;
