-- step: in one statement
UPDATE s SET slot = slot + 1;
-- step
UPDATE s SET slot = 52 - slot, v = v || '!';
-- step: in pairs
BEGIN;
UPDATE s SET slot = slot + 1 WHERE slot % 2 = 0;
UPDATE s SET slot = slot - 1 WHERE slot % 2 = 1 AND id % 2 = 0;
UPDATE s SET slot = id;
COMMIT;
