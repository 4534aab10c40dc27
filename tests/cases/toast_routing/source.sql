CREATE TABLE s (id int PRIMARY KEY, status text, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, (ARRAY['open', 'closed', NULL])[1 + n % 3], repeat(md5(n::text), 290) FROM generate_series(1, 12) AS n;
