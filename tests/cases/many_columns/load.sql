-- step
UPDATE s SET c300 = 7, c301 = 'x' WHERE id < 4;
INSERT INTO s (id, c600) VALUES (100, -1);
-- step
UPDATE s SET id = id + 1000;
DELETE FROM s WHERE id = 1100;
