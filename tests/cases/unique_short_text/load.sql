-- step
BEGIN;
UPDATE s SET slug = 'parked' WHERE id = 1;
UPDATE s SET slug = 'slug 1' WHERE id = 2;
UPDATE s SET slug = 'slug 2' WHERE id = 1;
COMMIT;
-- step
BEGIN;
UPDATE s SET code = NULL WHERE id = 3;
UPDATE s SET code = 'c3' WHERE id = 4;
UPDATE s SET code = 'c4' WHERE id = 3;
COMMIT;
-- step
BEGIN;
UPDATE s SET n = NULL WHERE id = 5;
UPDATE s SET n = 5 WHERE id = 6;
UPDATE s SET n = 6 WHERE id = 5;
COMMIT;
-- step
BEGIN;
UPDATE s SET at = NULL WHERE id = 7;
UPDATE s SET at = '2024-01-08' WHERE id = 8;
UPDATE s SET at = '2024-01-09' WHERE id = 7;
COMMIT;
