-- step: a value beside the key
UPDATE s SET v = v + 1;
-- step: the key's digits
UPDATE s SET id = 1.00, v = 10 WHERE id = 1;
-- step: away and back with other digits
DELETE FROM s WHERE id = 2;
INSERT INTO s VALUES (2.000, 20);
