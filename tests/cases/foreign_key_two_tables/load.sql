-- step: new parent, new child
BEGIN;
INSERT INTO parents VALUES (11, 'new');
INSERT INTO children VALUES (31, 11, 'new');
COMMIT;
-- step: a parent goes, its children go to another before
BEGIN;
UPDATE children SET parent = 2 WHERE parent = 1;
DELETE FROM parents WHERE id = 1;
COMMIT;
-- step: children and parent go
BEGIN;
DELETE FROM children WHERE parent = 3;
DELETE FROM parents WHERE id = 3;
COMMIT;
-- step: children move to a parent that comes, and the old one goes
BEGIN;
INSERT INTO parents VALUES (40, 'forty');
UPDATE children SET parent = 40 WHERE parent = 4;
DELETE FROM parents WHERE id = 4;
COMMIT;
-- step: parent and child are replaced by others
BEGIN;
DELETE FROM children WHERE parent = 5;
DELETE FROM parents WHERE id = 5;
INSERT INTO parents VALUES (5, 'five again');
INSERT INTO children VALUES (50, 5, 'again');
COMMIT;
-- step: both are emptied and filled
BEGIN;
TRUNCATE children, parents;
INSERT INTO parents VALUES (1, 'one');
INSERT INTO children VALUES (1, 1, 'one');
COMMIT;
