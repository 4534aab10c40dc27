-- step
UPDATE s SET doc = doc || '{"c": 1}', v = v || '!' WHERE id > 20;
-- step
UPDATE s SET doc = doc - 'a';
-- step
UPDATE s SET id = 100 - id, doc = doc || '{"d": 1}' WHERE id > 30;
-- step
UPDATE s SET note = 'short', doc = '{}' WHERE id % 5 = 0;
-- step
UPDATE s SET doc = '{"e": 1}' WHERE id % 3 = 0;
DELETE FROM s WHERE id % 4 = 0;
