CREATE TABLE s (gone_before int, id int, gone_too text, v text, unused text, n int, PRIMARY KEY (id));
INSERT INTO s SELECT n, n, 'x', 'row ' || n, 'u', n FROM generate_series(1, 9) AS n;
ALTER TABLE s DROP COLUMN gone_before, DROP COLUMN gone_too;
INSERT INTO s SELECT n, 'row ' || n, 'u', n FROM generate_series(10, 12) AS n;
