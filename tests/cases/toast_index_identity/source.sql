-- The replica identity is another unique index than the primary key.
CREATE TABLE s (id int PRIMARY KEY, code text NOT NULL, small int, big text);
CREATE UNIQUE INDEX s_code ON s (code);
ALTER TABLE s REPLICA IDENTITY USING INDEX s_code;
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, 'code ' || n, n, repeat(md5(n::text), 290) FROM generate_series(1, 8) AS n;
