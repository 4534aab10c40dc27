-- step: far more rows than one statement writes
INSERT INTO s SELECT n, (SELECT jsonb_object_agg('key ' || k, k * n) FROM generate_series(1, 120) AS k), now() FROM generate_series(2, 150) AS n;
-- step: other keys
UPDATE s SET doc = (SELECT jsonb_object_agg('key ' || k, k) FROM generate_series(60, 180) AS k);
-- step: the same keys, another column
UPDATE s SET at = at + interval '1 day';
-- step: moved, and most gone
BEGIN;
UPDATE s SET id = id + 1000;
DELETE FROM s WHERE id % 3 > 0;
COMMIT;
