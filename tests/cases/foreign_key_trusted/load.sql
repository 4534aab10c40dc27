-- step
BEGIN;
INSERT INTO parents VALUES (11, 'new');
INSERT INTO children VALUES (31, 11, 32, 'new'), (32, 11, 31, 'new');
COMMIT;
-- step
BEGIN;
UPDATE children SET parent = 2 WHERE parent = 1;
DELETE FROM parents WHERE id = 1;
COMMIT;
-- step
BEGIN;
UPDATE children SET above = NULL;
DELETE FROM children WHERE id > 20;
DELETE FROM parents WHERE NOT EXISTS (SELECT FROM children WHERE parent = parents.id);
COMMIT;
