-- step
INSERT INTO s SELECT id + 10, ms, p, ps, n, d, r, rs FROM s;
-- step
UPDATE s SET ms = '{ok}', p = ROW(id, 'sad'), n = ROW(ROW(id, 'ok'), '{}'), rs = '{}';
-- step
UPDATE s SET id = id + 100;
