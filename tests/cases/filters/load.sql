-- step
UPDATE s SET a = a + 1;
-- step
UPDATE s SET b = 'x', c = NOT c WHERE id % 2 = 0;
UPDATE s SET a = NULL WHERE id % 7 = 0;
-- step
BEGIN;
UPDATE s SET b = 'x', a = 5;
UPDATE s SET b = NULL WHERE id < 10;
UPDATE s SET id = -id WHERE id < 5;
COMMIT;
-- step
DELETE FROM s WHERE b = 'x';
