CREATE TABLE s (code text NOT NULL, v int, big text);
CREATE UNIQUE INDEX ON s (code);
ALTER TABLE s REPLICA IDENTITY FULL;
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT 'code ' || n, n, repeat('b', 9000) FROM generate_series(1, 9) AS n;
