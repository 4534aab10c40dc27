-- The row that has to give way is patched only.
CREATE TABLE s (id int PRIMARY KEY, email text UNIQUE, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, 'user' || n, repeat(md5(n::text), 290) FROM generate_series(1, 6) AS n;
