-- step: one row
UPDATE s SET id = 101 WHERE id = 1;
-- step: with another change
UPDATE s SET id = 102, small = -2 WHERE id = 2;
-- step: twice in one transaction
BEGIN;
UPDATE s SET id = 203 WHERE id = 3;
UPDATE s SET id = 303, other = 'short' WHERE id = 203;
UPDATE s SET small = 0 WHERE id = 303;
COMMIT;
-- step: all of them
UPDATE s SET id = id + 1000;
-- step: to a key that has become free
BEGIN;
DELETE FROM s WHERE id = 1004;
UPDATE s SET id = 1004 WHERE id = 1005;
COMMIT;
-- step: two rows change places
BEGIN;
UPDATE s SET id = -1 WHERE id = 1006;
UPDATE s SET id = 1006 WHERE id = 1007;
UPDATE s SET id = 1007 WHERE id = -1;
COMMIT;
-- step: changed first, then moved
BEGIN;
UPDATE s SET small = 8, big = repeat('changed', 1500) WHERE id = 1008;
UPDATE s SET id = 2008 WHERE id = 1008;
COMMIT;
-- step: moved and gone
BEGIN;
UPDATE s SET id = 2009 WHERE id = 1009;
DELETE FROM s WHERE id = 2009;
INSERT INTO s VALUES (1009, 0, 'new', NULL);
COMMIT;
