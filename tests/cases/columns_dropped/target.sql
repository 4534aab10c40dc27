CREATE TABLE t (gone int, id int PRIMARY KEY, v text, gone_too int, n int);
ALTER TABLE t DROP COLUMN gone, DROP COLUMN gone_too;
