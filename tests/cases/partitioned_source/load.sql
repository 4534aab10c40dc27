-- step
UPDATE s SET v = v || '!';
-- step: a row moves to another partition
UPDATE s SET at = at + 100 WHERE id < 5;
DELETE FROM s WHERE id = 20;
-- step: a partition of its own
INSERT INTO s_new VALUES ('direct', '2024-06-01', 100);
UPDATE s_old SET v = 'old' WHERE id = 6;
