-- step: values change places
BEGIN;
UPDATE s SET tags = '{x}', at = NULL WHERE id = 1;
UPDATE s SET tags = '{t1}', at = '{1,1}' WHERE id = 2;
UPDATE s SET tags = '{t2}', at = '{2,2}' WHERE id = 1;
COMMIT;
-- step: a value moves to a new row, and along a chain
BEGIN;
DELETE FROM s WHERE id = 3;
INSERT INTO s VALUES (30, '{t3}', '{3,3}');
UPDATE s SET at = '{}' WHERE id = 6;
UPDATE s SET at = '{6,6}' WHERE id = 5;
UPDATE s SET at = '{5,5}' WHERE id = 4;
COMMIT;
