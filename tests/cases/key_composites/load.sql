-- step
UPDATE s SET p = (1, 2, 'changed')::point3 WHERE id < 4;
UPDATE s SET h = (id + 50, 'sad')::held, ps = ps || p WHERE id BETWEEN 3 AND 6;
UPDATE s SET p = NULL WHERE id = 7;
UPDATE k SET words = words || ' three' WHERE n < 5;
UPDATE d SET v = v + 1;
UPDATE things SET kind = (2, 'ok')::pair WHERE id = 3;
-- step: fewer rows
UPDATE k SET words = 'one' WHERE n < 7;
DELETE FROM s WHERE id = 8;
DELETE FROM k WHERE n = 9;
DELETE FROM d WHERE (id).a = 5;
-- step: other keys, other unique values
BEGIN;
UPDATE k SET n = -1 WHERE n = 1;
UPDATE k SET n = 1 WHERE n = 2;
UPDATE k SET n = 2 WHERE n = -1;
COMMIT;
UPDATE k SET id = ((id).a + 100, 'ok')::pair WHERE n > 3;
UPDATE d SET id = ((id).a + 100, NULL)::held;
UPDATE s SET id = id + 100;
-- step
INSERT INTO k VALUES ((30, 'sad')::pair, 99, 'again and again');
INSERT INTO s SELECT 1000 + n, (n, n, n)::point3, NULL, NULL, NULL FROM generate_series(1, 20) AS n;
TRUNCATE d;
