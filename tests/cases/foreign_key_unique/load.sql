-- step: two guests exchange their seats
BEGIN;
UPDATE guests SET seat = NULL WHERE id = 1;
UPDATE guests SET seat = 1 WHERE id = 2;
UPDATE guests SET seat = 2 WHERE id = 1;
COMMIT;
-- step: a seat goes, its guest takes that of one who leaves
BEGIN;
DELETE FROM guests WHERE id = 3;
UPDATE guests SET seat = 3 WHERE id = 4;
DELETE FROM seats WHERE id = 4;
COMMIT;
