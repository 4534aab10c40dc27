-- step: two rows exchange
BEGIN;
UPDATE s SET email = 'parked' WHERE id = 1;
UPDATE s SET email = 'user1@example.com' WHERE id = 2;
UPDATE s SET email = 'user2@example.com' WHERE id = 1;
COMMIT;
-- step: a value passes to a new row
BEGIN;
DELETE FROM s WHERE id = 3;
INSERT INTO s VALUES (33, 'user3@example.com', 'new');
COMMIT;
-- step: a ring of three
BEGIN;
UPDATE s SET email = 'parked' WHERE id = 4;
UPDATE s SET email = 'user4@example.com' WHERE id = 5;
UPDATE s SET email = 'user5@example.com' WHERE id = 6;
UPDATE s SET email = 'user6@example.com', v = 'ring' WHERE id = 4;
COMMIT;
-- step: two transactions
BEGIN;
UPDATE s SET email = 'parked' WHERE id = 7;
UPDATE s SET email = 'user7@example.com' WHERE id = 8;
COMMIT;
BEGIN;
UPDATE s SET email = 'user8@example.com' WHERE id = 7;
COMMIT;
-- step: with the key
BEGIN;
UPDATE s SET email = NULL, id = 109 WHERE id = 9;
UPDATE s SET email = 'user9@example.com' WHERE id = 10;
UPDATE s SET email = 'user10@example.com' WHERE id = 109;
COMMIT;
-- step: one takes over, the other gets none
BEGIN;
UPDATE s SET email = NULL WHERE id = 11;
UPDATE s SET email = 'user11@example.com' WHERE id = 12;
COMMIT;
