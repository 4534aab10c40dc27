-- step
BEGIN;
UPDATE s SET place = 1000 WHERE id = 1;
UPDATE s SET place = 1 WHERE id = 2;
UPDATE s SET place = 2 WHERE id = 1;
COMMIT;
