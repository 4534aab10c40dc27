-- step
UPDATE s SET m = 'happy', ms = '{ok}', h = a.hstore('x', NULL) WHERE id < 4;
UPDATE s SET p = NULL, c = upper(c::text)::a.citext WHERE id > 6;
UPDATE k SET v = v + 100;
-- step
UPDATE k SET m = 'happy' WHERE v = 101;
UPDATE k SET c = 'a' WHERE v = 102;
DELETE FROM k WHERE v = 103;
DELETE FROM s WHERE id = 5;
UPDATE s SET id = id + 100 WHERE id = 6;
