CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, m mood);
CREATE TYPE nested AS (p pair, l mood[]);
CREATE DOMAIN moods AS mood[];
CREATE TYPE ages AS RANGE (subtype = float8);
CREATE TABLE s (id int PRIMARY KEY, ms mood[], p pair, ps pair[], n nested, d moods, r ages, rs ages[]);
INSERT INTO s VALUES (1);
INSERT INTO s VALUES (2, '{sad,NULL,ok}', ROW(1, 'ok'), ARRAY[ROW(1, 'sad')::pair, NULL], ROW(ROW(2, NULL), '{ok}'), '{ok}', '[1,2)', '{"[1,2)",empty}');
