-- step
BEGIN;
UPDATE s SET email = 'parked' WHERE id = 1;
UPDATE s SET email = 'user1' WHERE id = 2;
UPDATE s SET email = 'user2' WHERE id = 1;
COMMIT;
-- step: one of them whole
BEGIN;
UPDATE s SET email = 'parked' WHERE id = 3;
UPDATE s SET email = 'user3', big = 'short' WHERE id = 4;
UPDATE s SET email = 'user4' WHERE id = 3;
COMMIT;
