CREATE TABLE s (v text, c uuid, a int, b text, PRIMARY KEY (b, a, c));
INSERT INTO s SELECT 'v', md5((n % 2)::text)::uuid, n % 3, (ARRAY['', 'a''b', '"', 'ü', '{,}', 'NULL'])[1 + n % 6] FROM generate_series(0, 35) AS n ON CONFLICT DO NOTHING;
