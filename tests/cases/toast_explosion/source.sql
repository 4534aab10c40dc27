CREATE TABLE s (id int PRIMARY KEY, status text, at timestamptz, doc jsonb, other text);
ALTER TABLE s ALTER doc SET STORAGE EXTERNAL, ALTER other SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, 'new', '2024-01-01', (SELECT jsonb_object_agg(md5(k::text), k) FROM generate_series(1, 300) AS k), repeat('o', 9000) FROM generate_series(1, 5) AS n;
INSERT INTO s VALUES (6, 'new', '2024-01-01', '{}', NULL), (7, 'new', '2024-01-01', NULL, NULL), (8, 'new', '2024-01-01', '{"a": 1}', repeat('o', 9000));
