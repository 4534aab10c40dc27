-- Columns and keys of row types, domains over them, and arrays of them.
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, m mood);
CREATE TYPE point3 AS (x float8, y numeric, z text);
CREATE DOMAIN held AS pair CHECK (VALUE IS NULL OR (VALUE).a > 0);
CREATE TABLE s (id int PRIMARY KEY, p point3, h held, ps point3[], big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s SELECT n, (n, n / 3.0, 'z' || n)::point3, (n, 'ok')::held, ARRAY[(n, 1, NULL)::point3],
    repeat(md5(n::text), 100) FROM generate_series(1, 9) AS n;
INSERT INTO s VALUES (10, NULL, NULL, NULL, NULL), (11, (NULL, NULL, NULL)::point3, (1, NULL)::held, '{}', '');
CREATE TABLE k (id pair PRIMARY KEY, n int, words text);
INSERT INTO k SELECT (n, CASE WHEN n % 2 = 0 THEN 'ok' ELSE 'sad' END)::pair, n, 'one two' FROM generate_series(1, 9) AS n;
CREATE TABLE d (id held PRIMARY KEY, v numeric);
INSERT INTO d SELECT (n, 'ok')::held, n / 7.0 FROM generate_series(1, 5) AS n;
CREATE TABLE things (id int PRIMARY KEY, kind pair);
INSERT INTO things SELECT n, (n % 4, 'sad')::pair FROM generate_series(1, 9) AS n;
