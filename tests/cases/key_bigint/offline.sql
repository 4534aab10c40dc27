-- step
UPDATE s SET id = -id WHERE id > 0;
