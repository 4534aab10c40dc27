-- step
UPDATE s SET v = v || '!' WHERE id > 0;
-- step
UPDATE s SET id = id + 1 WHERE id < 9223372036854775807;
-- step
DELETE FROM s WHERE id < 0;
INSERT INTO s VALUES ('new', -9223372036854775808);
