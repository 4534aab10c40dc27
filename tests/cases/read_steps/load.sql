-- step
UPDATE makers SET name = name || '!' WHERE id = 2;
-- step
UPDATE products SET maker = 3 WHERE id IN (1, 2);
UPDATE makers SET name = 'three' WHERE id = 3;
-- step
BEGIN;
UPDATE items SET product = 5 WHERE order_id = 4;
UPDATE products SET name = 'five' WHERE id = 5;
DELETE FROM items WHERE order_id = 7;
DELETE FROM makers WHERE id = 1;
COMMIT;
-- step
INSERT INTO products VALUES (7, 'seven', 1);
-- step
INSERT INTO makers VALUES (1, 'one again');
-- step
UPDATE products SET id = 20 WHERE id = 5;
-- step
UPDATE items SET product = 20 WHERE product = 5 AND order_id % 2 = 0;
DELETE FROM orders WHERE id = 4;
-- step
TRUNCATE makers;
-- step
INSERT INTO makers SELECT n, 'new ' || n FROM generate_series(1, 3) AS n;
