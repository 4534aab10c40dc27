-- step
INSERT INTO metrics SELECT md5((n % 20)::text)::uuid, 'm' || n % 4, now() + n * interval '1 minute', n FROM generate_series(1, 50) AS n;
-- step
DELETE FROM metrics WHERE value % 3 = 0;
-- step
UPDATE metrics SET model_id = md5('3')::uuid, name = name || value WHERE model_id = md5('4')::uuid;
-- step
DELETE FROM models WHERE name IN ('model 1', 'model 2');
-- step
UPDATE models SET id = md5('moved')::uuid WHERE name = 'model 5';
UPDATE metrics SET model_id = md5('moved')::uuid WHERE model_id = md5('5')::uuid;
-- step
BEGIN;
INSERT INTO models VALUES (md5('1')::uuid, 'model 1 again');
UPDATE metrics SET value = value + 1;
COMMIT;
-- step
TRUNCATE metrics;
-- step
INSERT INTO metrics SELECT md5((n % 20)::text)::uuid, 'm', now(), n FROM generate_series(1, 19) AS n;
