-- step: more rows than a batch holds
INSERT INTO s SELECT n, 'row ' || n, n FROM generate_series(11, 12000) AS n;
-- step
UPDATE s SET v = v || '!';
-- step: all keys move; what one row leaves, another takes in a later part
BEGIN;
UPDATE s SET id = -id;
UPDATE s SET id = id + 12001, v = 'moved';
COMMIT;
-- step: gone and come in one transaction
BEGIN;
DELETE FROM s WHERE id > 100;
INSERT INTO s SELECT n, 'again', n FROM generate_series(20001, 27000) AS n;
DELETE FROM s WHERE id % 2 = 0;
COMMIT;
