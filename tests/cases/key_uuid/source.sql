CREATE TABLE s (id uuid PRIMARY KEY, v text);
INSERT INTO s SELECT md5(n::text)::uuid, 'row ' || n FROM generate_series(1, 20) AS n;
INSERT INTO s VALUES ('00000000-0000-0000-0000-000000000000', 'nil'), ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'max');
