CREATE TYPE other AS ENUM ('x');
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, m mood);
CREATE TYPE nested AS (p pair, l mood[]);
CREATE DOMAIN moods AS mood[];
CREATE TYPE ages AS RANGE (subtype = float8);
CREATE TABLE t (id int PRIMARY KEY, ms mood[], p pair, ps pair[], n nested, d moods, r ages, rs ages[]);
