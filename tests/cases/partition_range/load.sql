-- step: rows move to other partitions
UPDATE s SET at = at + 31 WHERE id < 6;
-- step: there and back in one transaction
BEGIN;
UPDATE s SET at = at + 100 WHERE id < 6;
UPDATE s SET v = 'touched' WHERE id < 6;
UPDATE s SET at = at - 100 WHERE id < 6;
COMMIT;
-- step: with the key
UPDATE s SET id = id + 100, at = '2024-01-01' WHERE id > 15;
-- step: within a partition
UPDATE s SET v = v || '!' WHERE at < '2024-02-01';
-- step: the large value changes with it
UPDATE s SET at = '2024-02-02', big = 'short' WHERE id = 7;
UPDATE s SET at = '2024-05-05', v = 'late' WHERE id = 8;
DELETE FROM s WHERE id IN (1, 101);
