-- step
UPDATE s SET v = v + 1;
-- step
UPDATE s SET code = code || '!' WHERE v > 5;
DELETE FROM s WHERE v = 3;
