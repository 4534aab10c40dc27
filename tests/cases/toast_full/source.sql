CREATE TABLE s (id int PRIMARY KEY, name text, small int, big text, doc jsonb);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL;
ALTER TABLE s REPLICA IDENTITY FULL;
INSERT INTO s SELECT n, 'name ' || n, n, repeat(md5(n::text), 290), (SELECT jsonb_object_agg(md5(k::text), k) FROM generate_series(1, 300) AS k)
    FROM generate_series(1, 8) AS n;
