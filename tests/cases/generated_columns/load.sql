-- step
UPDATE s SET a = a + 1, v = v || '?';
-- step
UPDATE s SET id = id + 100 WHERE id < 5;
INSERT INTO s (id, a, v) VALUES (1, 1, 'new');
DELETE FROM s WHERE id = 9;
