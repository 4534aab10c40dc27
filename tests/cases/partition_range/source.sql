CREATE TABLE s (id int PRIMARY KEY, at date NOT NULL, v text, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, '2024-01-15'::date + n * 7, 'row ' || n, repeat('b', 9000) FROM generate_series(1, 20) AS n;
