-- step: all rows
UPDATE s SET id = id + 1000;
-- step: twice in one transaction, on top of an insert of the same transaction
BEGIN;
INSERT INTO s SELECT n, 'new ' || n, NULL FROM generate_series(1, 10) AS n;
UPDATE s SET id = id + 10000;
UPDATE s SET id = id - 9000;
COMMIT;
-- step: onto each other's places
BEGIN;
UPDATE s SET id = -id;
UPDATE s SET id = 3051 + id WHERE id BETWEEN -2040 AND -2001;
UPDATE s SET v = v || '!' WHERE id > 0;
COMMIT;
-- step: away and back
BEGIN;
UPDATE s SET id = id + 1000000;
UPDATE s SET id = id - 1000000;
COMMIT;
-- step: a chain through freed keys
BEGIN;
DELETE FROM s WHERE id = (SELECT min(id) FROM s);
INSERT INTO s VALUES (1, 'one'), (2, 'two'), (3, 'three');
UPDATE s SET id = 4 WHERE id = 3;
UPDATE s SET id = 3 WHERE id = 2;
UPDATE s SET id = 2 WHERE id = 1;
INSERT INTO s VALUES (1, 'new one');
UPDATE s SET id = 5 WHERE id = 4;
DELETE FROM s WHERE id = 3;
COMMIT;
