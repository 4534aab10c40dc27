-- step
BEGIN;
UPDATE s SET small = 0;
TRUNCATE s;
INSERT INTO s SELECT n, n, repeat('c', 9000) FROM generate_series(4, 12) AS n;
UPDATE s SET small = -1 WHERE id < 8;
UPDATE s SET id = id + 100 WHERE id < 6;
COMMIT;
-- step
UPDATE s SET small = 5;
TRUNCATE s;
