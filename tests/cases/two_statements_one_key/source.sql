CREATE TABLE s (id int PRIMARY KEY, status text, v text, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, (ARRAY['open', 'done'])[1 + n % 2], 'row ' || n, repeat('b', 9000) FROM generate_series(1, 12) AS n;
