CREATE TABLE s (id int PRIMARY KEY, v text, doc jsonb);
INSERT INTO s VALUES (1, 'a', '{"a": 1, "b": 2}'), (2, 'b', '{}'), (3, 'c', NULL);
