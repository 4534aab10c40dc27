-- step
UPDATE s SET v = v + 1;
-- step
UPDATE s SET id = id || id WHERE id <> '';
-- step
UPDATE s SET id = 'was empty' WHERE id = '';
INSERT INTO s VALUES ('', 0);
-- step
DELETE FROM s WHERE id IN ('', '🦀🦀', '''''', '\\');
INSERT INTO s VALUES ('''', 5), ('NULL', 6);
