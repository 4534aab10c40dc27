-- A row and its parts, from one table; the stream does not carry a large value of the row that stays.
CREATE TABLE s (id int PRIMARY KEY, v text, note text, doc jsonb);
ALTER TABLE s ALTER note SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, 'row ' || n, repeat(md5(n::text), 100), jsonb_build_object('a', n, 'b', n)
FROM generate_series(1, 40) AS n;
