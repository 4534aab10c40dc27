-- step: insert, delete, insert
BEGIN;
INSERT INTO s VALUES (100, 'one', '{"a": 1}');
DELETE FROM s WHERE id = 100;
INSERT INTO s VALUES (100, 'two', '{"b": 2}');
COMMIT;
-- step: delete, insert, update
BEGIN;
DELETE FROM s WHERE id = 1;
INSERT INTO s VALUES (1, 'new', '{"c": 1}');
UPDATE s SET v = 'newer', doc = doc || '{"d": 1}' WHERE id = 1;
COMMIT;
-- step: insert, delete
BEGIN;
INSERT INTO s VALUES (101, 'gone', '{"a": 1}');
UPDATE s SET doc = '{"b": 1}' WHERE id = 101;
DELETE FROM s WHERE id = 101;
COMMIT;
-- step: over and over
DO $$ BEGIN
    FOR n IN 1..20 LOOP
        DELETE FROM s WHERE id = 2;
        INSERT INTO s VALUES (2, 'round ' || n, jsonb_build_object('r' || n, n));
        UPDATE s SET v = v || '!' WHERE id IN (2, 3);
    END LOOP;
END $$;
-- step: the same over several transactions
DELETE FROM s WHERE id = 4;
INSERT INTO s VALUES (4, 'again', '{"again": 1}');
DELETE FROM s WHERE id = 4;
INSERT INTO s VALUES (4, 'last', NULL);
-- step: all rows, there and back
DELETE FROM s;
INSERT INTO s SELECT n, 'back ' || n, jsonb_build_object('a', -n) FROM generate_series(1, 12) AS n;
