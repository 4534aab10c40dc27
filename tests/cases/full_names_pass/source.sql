-- A natural key passes from row to row inside one statement, in an order that no index enforces.
CREATE TABLE s (id int PRIMARY KEY, name text UNIQUE DEFERRABLE INITIALLY DEFERRED, n int);
ALTER TABLE s REPLICA IDENTITY FULL;
INSERT INTO s SELECT n, 'name ' || n, n FROM generate_series(1, 12) AS n;
