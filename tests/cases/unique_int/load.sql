-- step: first and last
BEGIN;
UPDATE s SET place = 1000 WHERE id = 1;
UPDATE s SET place = 1 WHERE id = 12;
UPDATE s SET place = 12 WHERE id = 1;
COMMIT;
-- step: all move up by one
BEGIN;
UPDATE s SET place = place + 1000;
UPDATE s SET place = place - 999;
COMMIT;
-- step: two columns
BEGIN;
UPDATE s SET room = NULL WHERE id = 1;
UPDATE s SET room = 0, bed = 1 WHERE id = 2;
UPDATE s SET room = 0, bed = 2 WHERE id = 1;
COMMIT;
-- step: both constraints at once
BEGIN;
UPDATE s SET place = place + 1000, room = room + 1000 WHERE id IN (5, 6);
UPDATE s SET place = 7, room = 2, bed = 0 WHERE id = 5;
UPDATE s SET place = 6, room = 1, bed = 2 WHERE id = 6;
COMMIT;
