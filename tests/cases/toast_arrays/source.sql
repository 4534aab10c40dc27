CREATE TABLE s (id int PRIMARY KEY, small int, tags text[], numbers int[], big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL, ALTER tags SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, n, ARRAY['a', NULL, 'b "c"'], ARRAY[n, NULL], repeat(md5(n::text), 290) FROM generate_series(1, 6) AS n;
UPDATE s SET tags = (SELECT array_agg(md5(k::text)) FROM generate_series(1, 300) AS k) WHERE id > 3;
