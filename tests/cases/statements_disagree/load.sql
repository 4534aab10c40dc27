-- step
UPDATE s SET qty = qty + 1;
-- step
UPDATE s SET tags = tags || ARRAY['more'], doc = doc || '{"b": 2}' WHERE id < 5;
-- step
UPDATE s SET qty = -qty WHERE id IN (1, 2);
UPDATE s SET qty = -qty, name = 'back' WHERE id = 1;
-- step
BEGIN;
UPDATE s SET id = id + 100, tags = ARRAY['only'] WHERE id > 6;
UPDATE s SET big = 'short' WHERE id = 107;
UPDATE s SET qty = 0 WHERE id > 100;
DELETE FROM s WHERE id = 109;
COMMIT;
