-- step
UPDATE s SET n = n + 1 WHERE id < 5;
UPDATE s SET name = 'renamed ' || id WHERE id < 3;
-- step: a name passes from one row to the other
BEGIN;
UPDATE s SET name = 'parked' WHERE id = 5;
UPDATE s SET name = 'name 5' WHERE id = 6;
UPDATE s SET name = 'name 6' WHERE id = 5;
COMMIT;
-- step: in a ring
BEGIN;
UPDATE s SET name = 'parked' WHERE id = 7;
UPDATE s SET name = 'name 7' WHERE id = 8;
UPDATE s SET name = 'name 8' WHERE id = 9;
UPDATE s SET name = 'name 9' WHERE id = 7;
COMMIT;
-- step: only the key changes
UPDATE s SET id = id + 1000 WHERE id > 8;
-- step: out of the condition and in
UPDATE s SET n = -n WHERE id < 4;
UPDATE s SET n = -n, name = name || '!' WHERE id < 3;
-- step: parts come and go
UPDATE s SET doc = doc || '{"z": 1}' WHERE id = 1;
UPDATE s SET doc = doc - 'k2' WHERE id = 2;
UPDATE s SET doc = '{}' WHERE id = 4;
-- step
DELETE FROM s WHERE id IN (1, 5, 1010);
INSERT INTO s VALUES (1, 'name 6', 1, '{"z": 2}');
