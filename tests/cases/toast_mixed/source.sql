CREATE TABLE s (id int PRIMARY KEY, note text, n int, big text, huge text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL, ALTER huge SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, 'note ' || n, n, repeat(md5(n::text), 290), repeat('h', 9000) FROM generate_series(1, 12) AS n;
