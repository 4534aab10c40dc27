CREATE TABLE s (id int PRIMARY KEY, slot int UNIQUE DEFERRABLE INITIALLY DEFERRED, v text);
INSERT INTO s SELECT n, n, 'row ' || n FROM generate_series(1, 50) AS n;
