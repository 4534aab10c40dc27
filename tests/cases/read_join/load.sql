-- step
UPDATE kinds SET price = price + 1 WHERE id IN (1, 3);
-- step
UPDATE items SET kind = 2 WHERE id % 5 = 0;
-- step
DELETE FROM kinds WHERE id = 2;
-- step
INSERT INTO kinds VALUES (6, 'six', 6), (2, 'two again', 0.5);
-- step: keys move
UPDATE kinds SET id = 100 WHERE id = 4;
-- step
BEGIN;
UPDATE items SET kind = 100, pieces = 0 WHERE id < 10;
UPDATE kinds SET label = 'hundred' WHERE id = 100;
DELETE FROM items WHERE id = 9;
UPDATE items SET id = 900 WHERE id = 8;
COMMIT;
-- step
TRUNCATE kinds;
-- step
INSERT INTO kinds SELECT n, 'new ' || n, n FROM generate_series(1, 7) AS n;
-- step
TRUNCATE items;
INSERT INTO items SELECT n, n % 7, 1 FROM generate_series(1, 20) AS n;
UPDATE kinds SET label = label || '!';
