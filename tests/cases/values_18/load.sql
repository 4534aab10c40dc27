-- step
INSERT INTO s (id, iv, ts, n, mr) SELECT id + 10, iv, ts, n, mr FROM s;
-- step
UPDATE s SET n = coalesce(n, 0) + 5, late = 'Z';
-- step: infinite to finite and back
UPDATE s SET iv = CASE WHEN isfinite(iv) THEN 'infinity' ELSE '2 days'::interval END, ts = '2025-01-01' WHERE id % 10 <> 3;
-- step
UPDATE s SET id = id + 100;
DELETE FROM s WHERE id > 112;
