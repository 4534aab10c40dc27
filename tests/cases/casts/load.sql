-- step
UPDATE s SET a = a + 1, b = -b, c = c || '!', d = d + interval '1 hour', g = -g;
-- step
UPDATE s SET a = NULL, b = NULL, c = NULL, d = NULL, e = NULL, f = NULL, g = NULL WHERE id < 4;
UPDATE s SET id = id + 100 WHERE id > 10;
DELETE FROM s WHERE id = 5;
