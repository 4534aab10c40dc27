-- step: rows change sides
UPDATE s SET status = 'done' WHERE id < 5;
-- step: all of them, and some back
BEGIN;
UPDATE s SET status = CASE status WHEN 'open' THEN 'done' ELSE 'open' END;
UPDATE s SET status = NULL, v = 'none' WHERE id IN (1, 2, 3);
UPDATE s SET status = 'open' WHERE id = 2;
COMMIT;
-- step: with the key, with the large value
UPDATE s SET id = id + 100, status = 'open' WHERE id > 8;
UPDATE s SET big = 'short', status = 'done' WHERE id IN (4, 5);
-- step: keys pass from side to side
BEGIN;
DELETE FROM s WHERE id = 1;
UPDATE s SET id = 1 WHERE id = 2;
COMMIT;
DELETE FROM s WHERE status = 'done';
