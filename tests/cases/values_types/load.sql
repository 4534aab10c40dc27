-- step: every type in the stream
INSERT INTO s SELECT (r).* FROM (SELECT r #= hstore('id', ((r).id + 10)::text) AS r FROM s AS r) AS x;
-- step
UPDATE s SET i2 = coalesce(i2, 0) / 2, t = t || '!', ia = array_append(ia, 7), comp = ROW(id, 'new'), h = coalesce(h, '') || hstore('k', id::text);
-- step: nothing else changes, large values stay out of line
UPDATE s SET b = NOT coalesce(b, false), f8 = '-0', iv = '1 day', e = 'ok';
-- step
DELETE FROM s WHERE id > 12;
UPDATE s SET id = id + 100;
