-- step
UPDATE s SET small = small + 1;
-- step
BEGIN;
UPDATE s SET small = 0 WHERE id <= 4;
UPDATE s SET big = 'short' WHERE id IN (1, 2);
UPDATE s SET small = 1 WHERE id IN (1, 3);
COMMIT;
-- step
UPDATE s SET id = id + 100 WHERE id IN (1, 4);
UPDATE s SET id = id + 100, small = -1 WHERE id IN (101, 5);
-- step
UPDATE s SET name = name || '!' WHERE id > 4;
DELETE FROM s WHERE name = 'name 2';
-- step
BEGIN;
UPDATE s SET doc = doc - md5('1') WHERE id = 6;
UPDATE s SET small = 66 WHERE id = 6;
UPDATE s SET doc = NULL WHERE id = 7;
UPDATE s SET small = 77 WHERE id = 7;
COMMIT;
