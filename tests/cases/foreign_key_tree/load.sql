-- step: the table is empty at first: what a copy does to references is another case
INSERT INTO s VALUES (1, NULL, 'root'), (2, 1, 'a'), (3, 1, 'b'), (4, 2, 'c'), (5, 4, 'd');
INSERT INTO s SELECT n, n - 1, 'chain' FROM generate_series(6, 12) AS n;
-- step: leaf first
BEGIN;
INSERT INTO s VALUES (103, 102, 'leaf');
INSERT INTO s VALUES (102, 101, 'branch');
INSERT INTO s VALUES (101, NULL, 'root');
COMMIT;
-- step: root first
BEGIN;
DELETE FROM s WHERE id = 101;
DELETE FROM s WHERE id = 102;
DELETE FROM s WHERE id = 103;
COMMIT;
-- step: the tree is turned over
BEGIN;
UPDATE s SET parent = NULL WHERE id = 5;
UPDATE s SET parent = 5 WHERE id = 4;
UPDATE s SET parent = 4 WHERE id = 2;
COMMIT;
-- step: a parent gets a new key, its children with it
BEGIN;
UPDATE s SET id = 1000 WHERE id = 1;
UPDATE s SET parent = 1000 WHERE parent = 1;
COMMIT;
-- step: a parent is replaced
BEGIN;
DELETE FROM s WHERE id = 6;
INSERT INTO s VALUES (6, NULL, 'new');
COMMIT;
