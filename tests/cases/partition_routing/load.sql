-- step: archived
UPDATE s SET status = 'archived', archived_at = '2024-02-20' WHERE id IN (1, 2);
-- step: and back, and to another month
UPDATE s SET status = 'open' WHERE id IN (1, 3);
UPDATE s SET archived_at = archived_at + 31 WHERE status = 'archived';
-- step: another user, and archived, in one transaction
BEGIN;
UPDATE s SET user_id = user_id + 1;
UPDATE s SET status = 'archived', archived_at = '2024-01-31' WHERE id = 4;
UPDATE s SET status = NULL WHERE id = 4;
UPDATE s SET status = 'archived' WHERE id = 5;
COMMIT;
-- step: archived without a date
UPDATE s SET archived_at = NULL WHERE id = 5;
UPDATE s SET archived_at = '2024-03-01' WHERE id = 5;
DELETE FROM s WHERE id IN (6, 7);
