-- step
UPDATE s SET id = id + 1;
-- step
UPDATE s SET id = 11 - id, v = v || '!';
