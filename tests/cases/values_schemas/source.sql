-- Types of one name in different schemas.
CREATE SCHEMA a;
CREATE TYPE a.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE a."Pair" AS (n int, m a.mood);
CREATE EXTENSION hstore SCHEMA a; CREATE EXTENSION citext SCHEMA a; CREATE EXTENSION seg SCHEMA a;
CREATE TABLE s (id int PRIMARY KEY, m a.mood, ms a.mood[], p a."Pair", h a.hstore, c a.citext, z a.seg, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, 'ok', '{sad,NULL}', (n, 'happy')::a."Pair", a.hstore('k', 'v' || n), 'Text ' || n, n::text::a.seg, repeat('b', 9000) FROM generate_series(1, 9) AS n;
INSERT INTO s VALUES (10);
CREATE TABLE k (m a.mood, c a.citext, v int, PRIMARY KEY (m, c));
INSERT INTO k VALUES ('sad', 'A', 1), ('ok', 'A', 2), ('happy', 'b', 3);
