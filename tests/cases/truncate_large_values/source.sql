CREATE TABLE s (id int PRIMARY KEY, small int, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, n, repeat('b', 9000) FROM generate_series(1, 9) AS n;
