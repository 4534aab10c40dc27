-- The keys pass through one another inside one statement.
CREATE TABLE s (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, alt int NOT NULL UNIQUE, v text);
ALTER TABLE s REPLICA IDENTITY FULL;
INSERT INTO s SELECT n, n + 100, 'row ' || n FROM generate_series(1, 9) AS n;
