-- step: from low to high
UPDATE s SET id = id + 1001 WHERE id = 100;
-- step: from high to low
UPDATE s SET id = id - 599 WHERE id = 600;
-- step: within
UPDATE s SET id = id + 5, small = 0 WHERE id IN (200, 700);
-- step: all of them
BEGIN;
UPDATE s SET id = -id;
UPDATE s SET id = id + 1300;
COMMIT;
