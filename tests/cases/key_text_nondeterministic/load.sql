-- step: the same key in other letters
UPDATE s SET id = 'alpha', v = 10 WHERE id = 'ALPHA';
-- step
UPDATE s SET v = 20 WHERE id = 'BETA';
DELETE FROM s WHERE id = 'gamma';
INSERT INTO s VALUES ('GAMMA', 30);
-- step
UPDATE s SET id = upper(id);
