-- step
UPDATE s SET small = 0 WHERE id < 3;
UPDATE s SET id = id + 100 WHERE id IN (2, 3);
-- step
UPDATE s SET code = code || '!' WHERE id > 4;
DELETE FROM s WHERE id = 1;
-- step: two rows change places
BEGIN;
UPDATE s SET code = 'parked' WHERE id = 5;
UPDATE s SET code = 'code 5!' WHERE id = 6;
UPDATE s SET code = 'code 6!' WHERE id = 5;
COMMIT;
