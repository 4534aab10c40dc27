-- step: all values move on by one row
BEGIN;
UPDATE s SET slot = -slot, name = 'parked ' || id;
UPDATE s SET slot = 1 + id % 500, name = 'name ' || 1 + id % 500;
COMMIT;
-- step: twice, in two transactions
BEGIN;
UPDATE s SET slot = -slot, name = NULL;
UPDATE s SET slot = 1 + (id + 1) % 500, name = 'name ' || 1 + (id + 1) % 500;
COMMIT;
BEGIN;
UPDATE s SET slot = NULL, name = NULL;
UPDATE s SET slot = 501 - id, name = 'name ' || 501 - id;
COMMIT;
