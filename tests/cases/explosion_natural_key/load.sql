-- step: one key passes
BEGIN;
UPDATE s SET doc = doc - 'a' WHERE id = 1;
UPDATE s SET doc = doc || '{"a": "from 1"}' WHERE id = 2;
COMMIT;
-- step: all keys change places
BEGIN;
UPDATE s SET doc = '{"c": 30, "d": 40, "a": 10}' WHERE id = 1;
UPDATE s SET doc = '{"b": 20}' WHERE id = 2;
COMMIT;
-- step: in the other order, and through a row that goes
BEGIN;
UPDATE s SET doc = '{"b": 21, "a": 11}' WHERE id = 3;
UPDATE s SET doc = '{"c": 31}' WHERE id = 1;
DELETE FROM s WHERE id = 2;
INSERT INTO s VALUES (2, '{"d": 41}');
COMMIT;
-- step
UPDATE s SET id = id + 10;
