CREATE TABLE s (id int PRIMARY KEY, slot int UNIQUE, name text UNIQUE);
INSERT INTO s SELECT n, n, 'name ' || n FROM generate_series(1, 500) AS n;
