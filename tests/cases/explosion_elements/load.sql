-- step: longer
UPDATE s SET list = list || '["more"]', tags = tags || ARRAY['more'], numbers = ARRAY[1, 2, 3, 4, 5, 6];
-- step: shorter, and in another order
UPDATE s SET list = '["b", "a"]', tags = ARRAY['y', 'x'], numbers = ARRAY[9] WHERE id = 1;
-- step: empty and NULL
UPDATE s SET list = '[]', tags = '{}', numbers = '{}' WHERE id = 1;
UPDATE s SET list = NULL, tags = NULL, numbers = NULL WHERE id = 2;
UPDATE s SET list = '["c"]', tags = ARRAY['c'], numbers = ARRAY[0] WHERE id = 3;
-- step
UPDATE s SET id = id + 10;
DELETE FROM s WHERE id = 14;
