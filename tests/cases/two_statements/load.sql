-- step
UPDATE a SET v = v || '!' WHERE id < 4;
UPDATE b SET v = NULL WHERE id > 4;
-- step
DELETE FROM a WHERE id IN (1, 2);
UPDATE b SET id = id + 100 WHERE id IN (1, 2);
UPDATE a SET doc = doc - 'x' WHERE id = 3;
UPDATE a SET v = NULL WHERE id = 4;
-- step: one of the sources is emptied
TRUNCATE a;
-- step
INSERT INTO a SELECT n, 'new ' || n, '{"z": 1}' FROM generate_series(3, 6) AS n;
-- step: the other one, and filled
BEGIN;
TRUNCATE b;
INSERT INTO b VALUES (1, 'one');
COMMIT;
