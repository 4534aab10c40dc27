-- step: a column that the mapping does not read
ALTER TABLE s ADD COLUMN extra text DEFAULT 'default';
-- step
UPDATE s SET v = v || '!', extra = repeat('x', 9000) WHERE id < 4;
INSERT INTO s VALUES (10, 'ten', 'given');
-- step: between two updates of one transaction
BEGIN;
UPDATE s SET v = 'before' WHERE id = 1;
ALTER TABLE s ADD COLUMN another int;
UPDATE s SET v = 'after', another = 7 WHERE id = 2;
UPDATE s SET id = 103 WHERE id = 3;
COMMIT;
-- step: the primary key is made anew
BEGIN;
UPDATE s SET v = 'old key' WHERE id = 4;
ALTER TABLE s DROP CONSTRAINT s_pkey;
ALTER TABLE s ADD PRIMARY KEY (id);
UPDATE s SET v = 'new key' WHERE id = 5;
COMMIT;
-- step: the replica identity changes
ALTER TABLE s REPLICA IDENTITY FULL;
UPDATE s SET v = 'full' WHERE id = 6;
UPDATE s SET id = 107 WHERE id = 7;
ALTER TABLE s REPLICA IDENTITY DEFAULT;
DELETE FROM s WHERE id = 8;
