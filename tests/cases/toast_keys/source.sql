-- Keys so long that they stand out of line: an UPDATE that leaves them alone does not put them into the new
-- row image, but into the old one.
CREATE FUNCTION long(seed text, chunks int) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT string_agg(md5(seed || n), '' ORDER BY n) FROM generate_series(1, chunks) AS n $$;

CREATE TABLE pages (url text PRIMARY KEY, title text, hits int, body text);
ALTER TABLE pages ALTER url SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL;
ALTER TABLE pages SET (toast_tuple_target = 128);
INSERT INTO pages SELECT long('p' || n, 60), 'title ' || n, n, long('b' || n, 100) FROM generate_series(1, 9) AS n;

-- One part out of line, the other not.
CREATE TABLE parts (id int, url text, v int, body text, PRIMARY KEY (id, url));
ALTER TABLE parts ALTER url SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL;
ALTER TABLE parts SET (toast_tuple_target = 128);
INSERT INTO parts SELECT n, long('q' || n, 60), n, long('c' || n, 100) FROM generate_series(1, 9) AS n;

-- The whole old row.
CREATE TABLE whole (url text PRIMARY KEY, v int, body text);
ALTER TABLE whole ALTER url SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL;
ALTER TABLE whole SET (toast_tuple_target = 128);
ALTER TABLE whole REPLICA IDENTITY FULL;
INSERT INTO whole SELECT long('w' || n, 60), n, long('d' || n, 100) FROM generate_series(1, 9) AS n;

-- The key is not the primary key.
CREATE TABLE other (id int PRIMARY KEY, url text NOT NULL UNIQUE, v int);
ALTER TABLE other ALTER url SET STORAGE EXTERNAL;
ALTER TABLE other SET (toast_tuple_target = 128);
ALTER TABLE other REPLICA IDENTITY USING INDEX other_url_key;
INSERT INTO other SELECT n, long('o' || n, 60), n FROM generate_series(1, 9) AS n;

-- A table that another statement reads, by such a key.
CREATE TABLE links (id int PRIMARY KEY, url text, note text);
CREATE INDEX ON links (url);
INSERT INTO links SELECT n, long('p' || n, 60), 'note' FROM generate_series(1, 12) AS n;
