-- step
INSERT INTO s VALUES (30, 'name-1', '2020-01-01 BC', ARRAY['a'], 'y', 'sad');
-- step
UPDATE s SET name = 'name-3-4-5' WHERE id = 2;
-- step: large values are not in the stream
UPDATE s SET at = at + interval '1 day' WHERE id BETWEEN 3 AND 6;
-- step: keys move
UPDATE s SET id = id + 100 WHERE id BETWEEN 5 AND 7;
-- step: keys change places
BEGIN;
UPDATE s SET id = -1 WHERE id = 1;
UPDATE s SET id = 1 WHERE id = 2;
UPDATE s SET id = 2 WHERE id = -1;
COMMIT;
-- step
DELETE FROM s WHERE id IN (3, 20);
-- step: there and gone, gone and there
BEGIN;
INSERT INTO s VALUES (40, 'name-1');
DELETE FROM s WHERE id = 40;
DELETE FROM s WHERE id = 8;
INSERT INTO s VALUES (8, 'name-5', now(), NULL, repeat('z', 9000), NULL);
COMMIT;
-- step
UPDATE s SET name = 'other' WHERE id = 8;
-- step
UPDATE s SET name = name || '-x', tags = array_append(tags, 'more');
-- step
TRUNCATE s;
-- step
INSERT INTO s SELECT n, 'name-' || n % 7, now(), NULL, repeat('z', 3000 * (n % 2)), 'ok' FROM generate_series(1, 40) AS n;
