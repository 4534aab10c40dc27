CREATE TABLE s (id int PRIMARY KEY, doc jsonb, at timestamptz);
INSERT INTO s VALUES (1, '{"a": 1}', now());
