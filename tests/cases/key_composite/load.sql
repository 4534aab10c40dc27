-- step
UPDATE s SET v = 'changed' WHERE a = 1;
-- step: one part of the key moves
UPDATE s SET a = a + 10 WHERE b = '';
-- step: all parts move
UPDATE s SET a = a + 100, b = b || b, c = md5(c::text)::uuid;
-- step
DELETE FROM s WHERE b IN ('""', '');
INSERT INTO s VALUES ('new', '00000000-0000-0000-0000-000000000000', 0, '');
