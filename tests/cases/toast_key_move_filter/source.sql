CREATE TABLE s (id int PRIMARY KEY, small int, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n * 100, n, repeat(md5(n::text), 290) FROM generate_series(1, 12) AS n;
