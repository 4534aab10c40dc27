-- step
UPDATE s SET q = '', size = '7 .. 9' WHERE id = 1;
UPDATE s SET acl = 'postgres=rw/postgres' WHERE id = 2;
UPDATE s SET ints = '5' WHERE id = 3;
UPDATE s SET q = 'z', d = NULL WHERE id = 4;
INSERT INTO s VALUES (5, '0', '0-201-53082-1', '1', '1', NULL, '', 'new'), (6, NULL, NULL, NULL, NULL, NULL, '', NULL);
UPDATE queries SET qs = qs || ''::tsquery, v = v || v;
UPDATE books SET title = 'one' WHERE n = 1;
UPDATE books SET n = n + 100;
UPDATE sizes SET v = v + 1;
-- step
DELETE FROM s WHERE id IN (5, 6);
UPDATE s SET id = id + 100;
UPDATE books SET isbn = '0-306-40615-2' WHERE n = 101;
UPDATE copies SET book = '0-306-40615-2' WHERE id = 2;
UPDATE sizes SET size = '1.00 .. 2' WHERE v = 11;
DELETE FROM sizes WHERE part = 2;
DELETE FROM books WHERE n = 102;
-- step
INSERT INTO books VALUES ('0-201-53082-1', 'again', 4);
INSERT INTO sizes VALUES (3, '0 .. 1', 1);
TRUNCATE queries;
