-- step: nothing that the label reads
UPDATE s SET small = small + 1;
-- step: the key
UPDATE s SET id = id + 100 WHERE id <= 4;
-- step: away and back
BEGIN;
UPDATE s SET id = -id WHERE id > 4;
UPDATE s SET id = -id, small = 0 WHERE id < 0;
COMMIT;
