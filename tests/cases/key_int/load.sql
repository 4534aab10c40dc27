-- step: each kind of change
INSERT INTO s VALUES (3, 'three'), (100, 'hundred');
UPDATE s SET v = upper(v) WHERE id IN (-2147483648, 3, 2147483647);
DELETE FROM s WHERE id IN (-1, 100);
-- step: keys move, also to one that was there
UPDATE s SET id = 11 WHERE id = 10;
DELETE FROM s WHERE id = 9;
UPDATE s SET id = 9 WHERE id = 11;
-- step: nothing changes
UPDATE s SET v = v;
-- step: everything goes
DELETE FROM s;
INSERT INTO s VALUES (-2147483648, 'again');
