-- step
BEGIN;
UPDATE s SET token = NULL WHERE id = 1;
UPDATE s SET token = md5('1')::uuid WHERE id = 2;
UPDATE s SET token = md5('2')::uuid WHERE id = 1;
COMMIT;
-- step
BEGIN;
UPDATE s SET slug = 'parked' WHERE id = 3;
UPDATE s SET slug = 'slug 3' WHERE id = 4;
UPDATE s SET slug = 'slug 4' WHERE id = 3;
COMMIT;
-- step: both
BEGIN;
UPDATE s SET slug = 'parked', token = NULL WHERE id = 5;
UPDATE s SET slug = 'slug 5', token = md5('5')::uuid WHERE id = 6;
UPDATE s SET slug = 'slug 6', token = md5('6')::uuid WHERE id = 5;
COMMIT;
