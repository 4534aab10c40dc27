-- step: large values stay
UPDATE s SET n = n + 1;
-- step: all is new
UPDATE s SET n = n + 1, big = 'short', bigs = '{x}' WHERE id < 3;
-- step: the generated values change
UPDATE s SET seq = seq + 1000 WHERE id > 6;
UPDATE s SET seq = seq + 1, big = repeat('d', 9000) WHERE id = 1;
-- step: they pass from row to row
BEGIN;
UPDATE s SET seq = -1 WHERE id = 4;
UPDATE s SET seq = 40 WHERE id = 5;
UPDATE s SET seq = 50 WHERE id = 4;
COMMIT;
-- step: so do names
BEGIN;
UPDATE s SET name = 'free' WHERE id = 4;
UPDATE s SET name = 'name 4' WHERE id = 5;
UPDATE s SET name = 'name 5' WHERE id = 4;
COMMIT;
-- step: keys change
UPDATE s SET id = id + 100 WHERE id > 5;
UPDATE s SET id = 200, big = 'short', bigs = NULL WHERE id = 5;
-- step
DELETE FROM s WHERE id IN (1, 200);
INSERT INTO s VALUES (1, 'name 1', 10, 1, 'back', NULL);
