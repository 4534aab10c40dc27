-- step
UPDATE s SET v = v || '!' WHERE id < 4;
-- step: one that the mapping does not read
ALTER TABLE s DROP COLUMN unused;
-- step
UPDATE s SET v = v || '?', n = -n WHERE id < 6;
DELETE FROM s WHERE id = 12;
-- step: between two updates of one transaction
BEGIN;
UPDATE s SET n = 100 WHERE id = 1;
ALTER TABLE s ADD COLUMN unused int;
UPDATE s SET n = 200, unused = 1 WHERE id = 2;
ALTER TABLE s DROP COLUMN unused;
UPDATE s SET n = 300 WHERE id = 3;
UPDATE s SET n = n + 1 WHERE id IN (1, 2, 3);
COMMIT;
-- step: rewritten as a whole
ALTER TABLE s ADD COLUMN filled timestamptz DEFAULT clock_timestamp();
UPDATE s SET n = 0 WHERE id = 4;
-- step
VACUUM FULL s;
-- step
UPDATE s SET n = 1 WHERE id = 5;
