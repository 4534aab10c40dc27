-- step: aborted
BEGIN;
DELETE FROM s;
INSERT INTO s VALUES (1, 'never');
ROLLBACK;
-- step: savepoints
BEGIN;
UPDATE s SET v = 'a' WHERE id = 1;
SAVEPOINT one;
UPDATE s SET v = 'b' WHERE id = 1;
INSERT INTO s VALUES (100, 'never');
SAVEPOINT two;
DELETE FROM s WHERE id = 2;
ROLLBACK TO two;
UPDATE s SET v = 'c' WHERE id = 2;
ROLLBACK TO one;
UPDATE s SET v = 'd' WHERE id = 3;
SAVEPOINT three;
UPDATE s SET id = 300 WHERE id = 3;
RELEASE three;
COMMIT;
-- step: everything was rolled back but one
BEGIN;
SAVEPOINT one;
UPDATE s SET v = 'never ' || id;
ROLLBACK TO one;
INSERT INTO s VALUES (101, 'kept');
COMMIT;
-- step: errors that were caught
DO $$ BEGIN
    FOR n IN 1..9 LOOP
        BEGIN
            UPDATE s SET v = 'taken' WHERE id = n;
            UPDATE s SET v = 'a' WHERE id = n;
        EXCEPTION WHEN unique_violation THEN
            UPDATE s SET v = v || '?' WHERE id = n;
        END;
    END LOOP;
END $$;
-- step: prepared, and rolled back or committed
BEGIN;
UPDATE s SET v = 'prepared' WHERE id = 1;
PREPARE TRANSACTION '@SITE@_no';
-- step
ROLLBACK PREPARED '@SITE@_no';
