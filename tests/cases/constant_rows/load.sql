-- step
INSERT INTO s VALUES (10), (11);
DELETE FROM s WHERE id < 3;
-- step
UPDATE s SET id = id;
UPDATE s SET id = id + 100;
