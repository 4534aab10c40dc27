-- Parts have a key of their own, which may pass from one document to another.
CREATE TABLE s (id int PRIMARY KEY, doc jsonb);
INSERT INTO s VALUES (1, '{"a": 1, "b": 2}'), (2, '{"c": 3, "d": 4}'), (3, '{}'), (4, NULL);
