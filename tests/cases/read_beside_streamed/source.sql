CREATE TABLE s (id uuid PRIMARY KEY, n int, name text, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT md5(n::text)::uuid, n, 'a' || n, repeat('x', 3000) FROM generate_series(1, 30) AS n;
