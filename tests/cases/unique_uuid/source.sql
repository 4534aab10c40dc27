CREATE TABLE s (id int PRIMARY KEY, token uuid UNIQUE, slug varchar(12) UNIQUE);
INSERT INTO s SELECT n, md5(n::text)::uuid, 'slug ' || n FROM generate_series(1, 6) AS n;
