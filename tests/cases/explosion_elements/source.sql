CREATE TABLE s (id int PRIMARY KEY, list jsonb, tags text[], numbers int[]);
INSERT INTO s VALUES (1, '["a", "b", 3, null]', ARRAY['x', 'y', NULL], ARRAY[[1, 2], [3, NULL]]), (2, '[]', '{}', '{}'), (3, NULL, NULL, NULL), (4, '[[1], {"a": 1}]', ARRAY['z'], ARRAY[7]);
