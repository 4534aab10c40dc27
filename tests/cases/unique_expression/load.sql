-- step: no exchange
UPDATE s SET live = NOT live;
-- step: one gives way to the other
BEGIN;
UPDATE s SET live = false WHERE id = 3;
UPDATE s SET email = 'USER3', live = true WHERE id = 4;
COMMIT;
-- step
BEGIN;
UPDATE s SET live = true, email = 'one' WHERE id = 1;
UPDATE s SET live = true, email = 'two' WHERE id = 2;
COMMIT;
-- step: an exchange
BEGIN;
UPDATE s SET email = 'parked' WHERE id = 1;
UPDATE s SET email = 'ONE' WHERE id = 2;
UPDATE s SET email = 'TWO' WHERE id = 1;
COMMIT;
