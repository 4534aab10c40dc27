-- step: an exchange
UPDATE s SET name = CASE id WHEN 1 THEN 'name 2' ELSE 'name 1' END WHERE id IN (1, 2);
-- step: a row goes after another has taken its key
BEGIN;
INSERT INTO s VALUES (20, 'NAME 3', 3, 'small');
DELETE FROM s WHERE id = 3;
COMMIT;
-- step: and before
BEGIN;
DELETE FROM s WHERE id = 4;
INSERT INTO s VALUES (21, 'NAME 4', 4, repeat('c', 9000));
COMMIT;
-- step: a key becomes free, and is taken
BEGIN;
UPDATE s SET name = 'free 5' WHERE id = 5;
UPDATE s SET name = 'name 5' WHERE id = 6;
COMMIT;
-- step: it is taken, and becomes free
BEGIN;
UPDATE s SET name = 'NAME 7', big = 'short' WHERE id = 8;
UPDATE s SET name = 'free 7' WHERE id = 7;
COMMIT;
-- step: in a ring
UPDATE s SET name = 'ring ' || id;
UPDATE s SET name = 'ring ' || CASE id WHEN 12 THEN 9 ELSE id + 1 END WHERE id BETWEEN 9 AND 12;
-- step: taken and given back
BEGIN;
UPDATE s SET name = 'Ring 5' WHERE id = 6;
UPDATE s SET n = n + 1 WHERE id = 5;
UPDATE s SET name = 'ring 6' WHERE id = 6;
COMMIT;
-- step: with the row's own key
BEGIN;
UPDATE s SET id = 30, name = 'Ring 2' WHERE id = 1;
DELETE FROM s WHERE id = 2;
COMMIT;
-- step: out of a condition
BEGIN;
UPDATE s SET name = 'ring 8' WHERE id = 5;
UPDATE s SET n = 0, name = 'gone' WHERE id = 8;
COMMIT;
