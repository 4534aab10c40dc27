-- Keys that are arrays: of several lengths and dimensions, with bounds of their own, with NULL inside.
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, b text);
CREATE TABLE ints (id int[] PRIMARY KEY, v int, big text);
ALTER TABLE ints ALTER big SET STORAGE EXTERNAL;
INSERT INTO ints VALUES ('{1}', 1), ('{1,2}', 2), ('{}', 3), ('{{1,2},{3,4}}', 4), ('[5:6]={1,2}', 5), ('{NULL}', 6);
INSERT INTO ints SELECT ARRAY[n, n + 1, n + 2], n, repeat(md5(n::text), 100) FROM generate_series(10, 40) AS n;
CREATE TABLE texts (tags text[], n int, words text, PRIMARY KEY (tags, n));
INSERT INTO texts SELECT ARRAY['a,"b', NULL, 'c' || n], n, 'one two ' || n FROM generate_series(1, 9) AS n;
CREATE TABLE moods (id mood[] PRIMARY KEY, v int);
INSERT INTO moods VALUES ('{sad}', 1), ('{sad,ok}', 2), ('{}', 3), ('{ok,NULL}', 4);
CREATE TABLE pairs (id pair[] PRIMARY KEY, v numeric);
INSERT INTO pairs VALUES (ARRAY[(1, 'x')::pair], 1), (ARRAY[(1, 'x')::pair, (2, NULL)::pair], 2.00);
CREATE TABLE numbers (id numeric[] PRIMARY KEY, v int);
INSERT INTO numbers VALUES ('{1.0}', 1), ('{2.00,3}', 2);
-- Read, and led to by arrays.
CREATE TABLE kinds (tags int[] PRIMARY KEY, label text);
INSERT INTO kinds VALUES ('{1}', 'one'), ('{1,2}', 'two'), ('{{1,2},{3,4}}', 'square');
CREATE TABLE things (id int PRIMARY KEY, kind int[]);
CREATE INDEX ON things (kind);
INSERT INTO things VALUES (1, '{1}'), (2, '{1,2}'), (3, '{{1,2},{3,4}}'), (4, '{9}'), (5, NULL);
-- The whole old row.
CREATE TABLE whole (id int[] PRIMARY KEY, v int);
ALTER TABLE whole REPLICA IDENTITY FULL;
INSERT INTO whole VALUES ('{1}', 1), ('{2,3}', 2);
