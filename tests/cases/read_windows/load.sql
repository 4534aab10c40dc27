-- step
INSERT INTO metrics SELECT 1 + n % 12, 100 + n, 'late', n FROM generate_series(1, 20) AS n;
-- step
DELETE FROM metrics WHERE at > 105;
-- step
UPDATE metrics SET model_id = 3 WHERE model_id = 4;
-- step
UPDATE models SET scores = scores || 4 WHERE id < 5;
-- step
BEGIN;
UPDATE models SET id = 30, name = 'thirty' WHERE id = 3;
UPDATE metrics SET value = -value WHERE at % 2 = 0;
DELETE FROM models WHERE id = 8;
COMMIT;
-- step
UPDATE metrics SET model_id = 30 WHERE model_id = 3;
-- step
TRUNCATE metrics;
