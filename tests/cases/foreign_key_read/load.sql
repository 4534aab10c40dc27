-- step: new rows
INSERT INTO s SELECT n, 'name ' || n, n, repeat('b', 9000) FROM generate_series(10, 12) AS n;
-- step: rows go
DELETE FROM s WHERE id = 1;
-- step: out of the condition and back
UPDATE s SET n = -n WHERE id < 4;
UPDATE s SET n = 5 WHERE id = 2;
-- step: with their keys
UPDATE s SET id = id + 100 WHERE id > 7;
-- step: all of it
UPDATE s SET n = n + 1, name = 'other ' || n;
-- step: in one transaction
BEGIN;
INSERT INTO s VALUES (20, 'name 20', 20, 'small');
UPDATE s SET id = 21 WHERE id = 20;
DELETE FROM s WHERE id = 5;
INSERT INTO s VALUES (5, 'name 5', 5, 'again');
COMMIT;
-- step
DELETE FROM s;
