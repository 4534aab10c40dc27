-- step: the same values again
UPDATE s SET v = 1;
-- step: what is equal and not the same
UPDATE s SET a = 1.0 WHERE id = 7;
UPDATE s SET c = '-0', d = '-0', a = 0 WHERE id = 8;
-- step
UPDATE s SET a = -a, b = -b, c = -c, d = -d, f = f / 2;
-- step
UPDATE s SET d = 1.0 / 3, c = 1.0 / 3 WHERE id < 4;
UPDATE s SET d = 123456789012345680, c = 16777217 WHERE id = 4;
