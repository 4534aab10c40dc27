-- One source, four targets of different shapes; each has its own reason to be written or not.
CREATE TABLE s (id int PRIMARY KEY, name text, qty int, tags text[], doc jsonb, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, 'name ' || n, n, ARRAY['t' || n, 'all'], jsonb_build_object('a', n), repeat(md5(n::text), 290) FROM generate_series(1, 9) AS n;
