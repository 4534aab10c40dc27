-- step
UPDATE notes SET person = 3 WHERE person = 4;
-- step
UPDATE notes SET text = '' WHERE id % 2 = 0;
-- step
DELETE FROM notes WHERE person = 5;
-- step
BEGIN;
UPDATE notes SET person = NULL WHERE id < 20;
UPDATE people SET id = 11 WHERE id = 10;
SAVEPOINT a;
UPDATE notes SET person = 11 WHERE id > 40;
ROLLBACK TO a;
COMMIT;
-- step
UPDATE notes SET person = (person + 1) % 12;
-- step
TRUNCATE notes;
