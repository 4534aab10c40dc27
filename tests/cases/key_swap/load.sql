-- step: two rows
BEGIN;
UPDATE s SET id = 0 WHERE id = 1;
UPDATE s SET id = 1 WHERE id = 2;
UPDATE s SET id = 2 WHERE id = 0;
COMMIT;
-- step: and back, with a change
BEGIN;
UPDATE s SET id = 0 WHERE id = 1;
UPDATE s SET id = 1, v = 'swapped' WHERE id = 2;
UPDATE s SET id = 2, doc = '{"new": 1}' WHERE id = 0;
COMMIT;
-- step: all pairs
BEGIN;
UPDATE s SET id = -id;
UPDATE s SET id = CASE WHEN id % 2 = 0 THEN -id - 1 ELSE -id + 1 END;
COMMIT;
-- step: two swaps in two transactions
BEGIN;
UPDATE s SET id = 0 WHERE id = 3;
UPDATE s SET id = 3 WHERE id = 4;
UPDATE s SET id = 4 WHERE id = 0;
COMMIT;
BEGIN;
UPDATE s SET id = 0 WHERE id = 4;
UPDATE s SET id = 4 WHERE id = 5;
UPDATE s SET id = 5 WHERE id = 0;
COMMIT;
