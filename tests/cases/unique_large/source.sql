-- More rows than a segment holds: a value is taken by a row of an earlier segment.
CREATE TABLE s (id int PRIMARY KEY, slot int UNIQUE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO s SELECT n, n FROM generate_series(1, 300) AS n;
