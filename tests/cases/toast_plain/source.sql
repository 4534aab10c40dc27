CREATE TABLE s (id int PRIMARY KEY, small int, big bytea, txt text, doc jsonb, gone text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL, ALTER txt SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL, ALTER gone SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, n, decode(repeat(md5(n::text), 600), 'hex'), repeat(md5(n::text), 290),
    jsonb_build_object('a', repeat('x', 9000), 'n', n), repeat('g', 9000) FROM generate_series(1, 12) AS n;
