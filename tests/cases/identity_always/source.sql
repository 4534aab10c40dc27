-- Columns that the target generates always take the source's values.
CREATE TABLE s (id int PRIMARY KEY, name text NOT NULL UNIQUE, seq bigint, n int, big text, bigs text[]);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL, ALTER bigs SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, 'name ' || n, n * 10, n, repeat('b', 9000), ARRAY[repeat('c', 9000)]
FROM generate_series(1, 9) AS n;
