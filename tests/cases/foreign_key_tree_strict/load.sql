-- step: the table is empty at first
INSERT INTO s VALUES (1, NULL, 'root'), (2, 1, 'a'), (3, 1, 'b'), (4, 2, 'c'), (5, 4, 'd'), (6, NULL, 'other'), (7, 6, 'e');
-- step: a branch goes
DELETE FROM s WHERE id = 2;
-- step: a new one comes
INSERT INTO s VALUES (20, 1, 'a');
INSERT INTO s VALUES (21, 20, 'b');
-- step: the parent goes, its child moves to another before
BEGIN;
UPDATE s SET parent = 1 WHERE id = 7;
DELETE FROM s WHERE id = 6;
COMMIT;
-- step: the parent's key changes, and its children follow
UPDATE s SET id = 200 WHERE id = 20;
