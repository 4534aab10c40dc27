-- step
UPDATE s SET doc = doc - 'a', v = v || '!';
-- step
UPDATE s SET id = id + 100;
-- step
DELETE FROM s WHERE id < 104;
INSERT INTO s VALUES (1, 'new', '{"x": 1}');
-- step
BEGIN;
DELETE FROM s WHERE id = 104;
INSERT INTO s VALUES (104, 'again', '{"y": 1}');
TRUNCATE s;
INSERT INTO s VALUES (1, 'last', '{"z": 1}');
COMMIT;
