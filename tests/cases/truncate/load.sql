-- step: alone
TRUNCATE c;
-- step: several
TRUNCATE a, b;
-- step: filled in the same transaction
BEGIN;
INSERT INTO a VALUES (1, 'first', '{"x": 1}'), (2, 'second', '{"y": 1}');
INSERT INTO c VALUES (1, 'first');
COMMIT;
BEGIN;
TRUNCATE c;
INSERT INTO c SELECT n, 'after ' || n FROM generate_series(1, 10) AS n;
UPDATE c SET v = 'changed' WHERE id = 3;
UPDATE c SET id = 33 WHERE id = 4;
DELETE FROM c WHERE id = 5;
COMMIT;
-- step: insert, truncate, insert
BEGIN;
INSERT INTO c VALUES (100, 'before');
UPDATE c SET v = 'before' WHERE id = 1;
TRUNCATE c;
INSERT INTO c VALUES (1, 'after'), (100, 'after');
COMMIT;
-- step: twice
BEGIN;
TRUNCATE c;
INSERT INTO c VALUES (7, 'between');
TRUNCATE c;
INSERT INTO c VALUES (8, 'after');
COMMIT;
-- step: with those that refer to it
INSERT INTO b VALUES (1, 1, 'one');
TRUNCATE a CASCADE;
-- step: rolled back
BEGIN;
TRUNCATE c;
ROLLBACK;
BEGIN;
SAVEPOINT before;
TRUNCATE c;
ROLLBACK TO before;
INSERT INTO c VALUES (9, 'kept');
COMMIT;
-- step: a large table between two truncations
INSERT INTO a SELECT n, 'a' || n, jsonb_build_object('x', n, 'y', n) FROM generate_series(1, 3000) AS n;
TRUNCATE a RESTART IDENTITY CASCADE;
INSERT INTO a VALUES (1, 'last', '{"x": 1}');
