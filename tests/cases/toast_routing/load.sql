-- step: open is closed
UPDATE s SET status = 'closed' WHERE status = 'open' AND id < 7;
-- step: closed is open, and there and back
BEGIN;
UPDATE s SET status = 'open' WHERE status = 'closed';
UPDATE s SET status = 'closed' WHERE id % 2 = 0;
UPDATE s SET status = 'open' WHERE id % 4 = 0;
COMMIT;
-- step: to NULL
UPDATE s SET status = NULL WHERE id > 6;
-- step: it becomes short, and large again
UPDATE s SET big = 'short' WHERE id IN (1, 2, 3);
UPDATE s SET status = 'open' WHERE id IN (1, 2, 3, 9);
UPDATE s SET big = repeat('large', 2000) WHERE id IN (1, 2);
