-- Keys of the target are no keys of the source: they pass from row to row within transactions.
CREATE TABLE s (id int PRIMARY KEY, name text NOT NULL, n int, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, 'Name ' || n, n, repeat('b', 9000) FROM generate_series(1, 12) AS n;
