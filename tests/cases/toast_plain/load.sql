-- step: only what is small
UPDATE s SET small = small + 100;
-- step: small and then large in one transaction
BEGIN;
UPDATE s SET small = small + 1 WHERE id <= 4;
UPDATE s SET big = '\x00' WHERE id <= 2;
UPDATE s SET txt = repeat('new', 3000) WHERE id IN (2, 3);
COMMIT;
-- step: large and then small in one transaction
BEGIN;
UPDATE s SET big = decode(repeat('ab', 9000), 'hex') WHERE id <= 4;
UPDATE s SET small = -1 WHERE id <= 4;
UPDATE s SET txt = NULL WHERE id = 4;
UPDATE s SET small = -2 WHERE id = 4;
COMMIT;
-- step: to NULL, and small beside it
UPDATE s SET big = NULL, small = 7 WHERE id = 5;
UPDATE s SET small = 8 WHERE id = 5;
-- step: from NULL
UPDATE s SET big = decode(repeat('cd', 9000), 'hex') WHERE id = 5;
UPDATE s SET small = 9 WHERE id = 5;
-- step: a new row that changes at once
BEGIN;
INSERT INTO s SELECT 100, 0, decode(repeat('ee', 9000), 'hex'), repeat('t', 9000), '{}', NULL;
UPDATE s SET small = 1 WHERE id = 100;
UPDATE s SET gone = repeat('h', 9000) WHERE id = 100;
COMMIT;
-- step: gone and come
BEGIN;
DELETE FROM s WHERE id = 6;
INSERT INTO s SELECT 6, 0, NULL, repeat('again', 2000), NULL, NULL;
UPDATE s SET small = 66 WHERE id = 6;
COMMIT;
-- step: changed and then deleted
BEGIN;
UPDATE s SET small = 0 WHERE id = 7;
DELETE FROM s WHERE id = 7;
COMMIT;
