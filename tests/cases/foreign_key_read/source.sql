-- Parents and children of one source row, of which some are read by key and some are streamed.
CREATE TABLE s (id int PRIMARY KEY, name text, n int, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, 'name ' || n, n, repeat('b', 9000) FROM generate_series(1, 9) AS n;
