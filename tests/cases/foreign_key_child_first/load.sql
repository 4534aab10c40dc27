-- step: both tables are empty at first
INSERT INTO parents SELECT n, 'parent ' || n FROM generate_series(1, 10) AS n;
INSERT INTO children SELECT n, 1 + n % 10, 'child ' || n FROM generate_series(1, 30) AS n;
-- step
BEGIN;
INSERT INTO parents VALUES (11, 'new');
INSERT INTO children VALUES (31, 11, 'new');
COMMIT;
-- step
BEGIN;
UPDATE children SET parent = 2 WHERE parent = 1;
DELETE FROM parents WHERE id = 1;
COMMIT;
