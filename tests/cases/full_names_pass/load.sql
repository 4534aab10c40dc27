-- step: all move on by one
UPDATE s SET name = 'name ' || 1 + id % 12;
-- step: and back, with another change
UPDATE s SET name = 'name ' || id, n = n + 100;
-- step: a row goes, and another takes its name before
BEGIN;
UPDATE s SET name = 'name 1' WHERE id = 2;
DELETE FROM s WHERE id = 1;
COMMIT;
