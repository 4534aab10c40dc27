CREATE TABLE s (id int PRIMARY KEY, a int, b text, c boolean);
INSERT INTO s SELECT n, n % 5, (ARRAY['x', 'y', NULL])[1 + n % 3], (ARRAY[true, false, NULL])[1 + n % 3] FROM generate_series(1, 30) AS n;
