CREATE TABLE s (id int PRIMARY KEY, slug varchar(12) UNIQUE, code char(4) UNIQUE, n smallint UNIQUE, at date UNIQUE);
INSERT INTO s SELECT n, 'slug ' || n, 'c' || n, n, '2024-01-01'::date + n FROM generate_series(1, 12) AS n;
