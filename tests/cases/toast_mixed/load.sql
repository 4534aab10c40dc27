-- step: a part of the label
UPDATE s SET note = 'changed' WHERE id <= 4;
-- step: nothing of the label
UPDATE s SET n = n + 1;
-- step: only the unchanged one of both
UPDATE s SET huge = repeat('j', 9000) WHERE id IN (3, 4, 5);
-- step: several times
BEGIN;
UPDATE s SET note = 'a' WHERE id = 6;
UPDATE s SET huge = repeat('k', 9000) WHERE id = 6;
UPDATE s SET n = 0 WHERE id = 6;
COMMIT;
UPDATE s SET note = 'b' WHERE id = 6;
-- step: read, and gone
BEGIN;
UPDATE s SET note = 'c' WHERE id = 7;
COMMIT;
DELETE FROM s WHERE id = 7;
-- step: read, and moved
UPDATE s SET note = 'd' WHERE id = 8;
UPDATE s SET id = 108 WHERE id = 8;
-- step: moved with a change that has to be read, then a change that has not
BEGIN;
UPDATE s SET id = 109, huge = repeat('l', 9000) WHERE id = 9;
UPDATE s SET n = 99 WHERE id = 109;
COMMIT;
-- step: read, and the table is emptied
UPDATE s SET note = 'e';
TRUNCATE s;
INSERT INTO s SELECT n, 'note ' || n, n, repeat(md5(n::text), 290), repeat('h', 9000) FROM generate_series(5, 8) AS n;
UPDATE s SET note = 'f';
