-- step
INSERT INTO s SELECT n, n::text FROM generate_series(-10, 10) AS n;
UPDATE s SET v = 'changed' WHERE id % 2 = 0;
