-- step
UPDATE s SET user_id = md5((id % 7)::text)::uuid;
-- step
BEGIN;
UPDATE s SET user_id = md5('x')::uuid WHERE id < 10;
UPDATE s SET v = 'x' WHERE id < 5;
UPDATE s SET user_id = md5((id % 3)::text)::uuid WHERE id < 10;
COMMIT;
-- step: rows exchange their users
BEGIN;
UPDATE s SET id = -1 WHERE id = 1;
UPDATE s SET id = 1 WHERE id = 2;
UPDATE s SET id = 2 WHERE id = -1;
COMMIT;
DELETE FROM s WHERE id > 15;
