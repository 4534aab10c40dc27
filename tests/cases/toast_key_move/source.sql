CREATE TABLE s (id int PRIMARY KEY, small int, big text, other text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL, ALTER other SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, n, repeat(md5(n::text), 290), repeat('o', 9000) FROM generate_series(1, 12) AS n;
