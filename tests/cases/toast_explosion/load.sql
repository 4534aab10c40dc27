-- step: the document stays
UPDATE s SET status = 'changed', at = '2024-02-02';
-- step: the document grows, then it stays, in one transaction
BEGIN;
UPDATE s SET doc = doc || '{"more": 1}' WHERE id IN (1, 6, 7, 8);
UPDATE s SET status = 'twice' WHERE id IN (1, 6, 8);
COMMIT;
-- step: it stays, then it shrinks
BEGIN;
UPDATE s SET status = 'before' WHERE id = 2;
UPDATE s SET doc = doc - md5('7') - md5('8') WHERE id = 2;
COMMIT;
-- step: the key moves, the document stays
UPDATE s SET id = id + 100 WHERE id IN (3, 8);
-- step: the key and the status
UPDATE s SET id = id + 100, status = 'moved' WHERE id IN (4, 6);
-- step: to nothing
UPDATE s SET doc = '{}' WHERE id = 1;
UPDATE s SET doc = NULL WHERE id = 2;
UPDATE s SET status = 'empty' WHERE id IN (1, 2);
