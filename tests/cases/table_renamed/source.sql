CREATE TABLE s (id int PRIMARY KEY, v text);
INSERT INTO s SELECT n, 'row ' || n FROM generate_series(1, 9) AS n;
