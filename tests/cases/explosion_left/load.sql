-- step
UPDATE s SET doc = '{}' WHERE id = 1;
UPDATE s SET doc = '{"x": 1}' WHERE id = 2;
-- step
UPDATE s SET v = v || '!';
UPDATE s SET doc = NULL;
-- step
UPDATE s SET doc = '{"y": null}', id = id + 10;
