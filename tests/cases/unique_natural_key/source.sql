-- The target's key is a natural one, its owner column another.
CREATE TABLE s (id int PRIMARY KEY, name text UNIQUE DEFERRABLE INITIALLY DEFERRED, v text);
INSERT INTO s SELECT n, 'name ' || n, 'row ' || n FROM generate_series(1, 30) AS n;
