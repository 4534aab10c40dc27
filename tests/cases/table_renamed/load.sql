-- step: the same table, under another name for a moment
BEGIN;
ALTER TABLE s RENAME TO other;
UPDATE other SET v = 'renamed' WHERE id < 4;
ALTER TABLE other RENAME TO s;
UPDATE s SET v = v || '!' WHERE id = 5;
COMMIT;
-- step: in another schema
CREATE SCHEMA elsewhere;
ALTER TABLE s SET SCHEMA elsewhere;
UPDATE elsewhere.s SET v = 'elsewhere' WHERE id = 6;
ALTER TABLE elsewhere.s SET SCHEMA public;
UPDATE s SET v = 'home' WHERE id = 7;
