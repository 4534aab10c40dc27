CREATE SCHEMA b; CREATE SCHEMA a;
CREATE TYPE b.mood AS ENUM ('happy', 'ok', 'sad', 'more');
-- One of the name of the source's is there, too.
CREATE TYPE a.mood AS ENUM ('sad');
CREATE TYPE b."Pair" AS (n int, m b.mood);
CREATE EXTENSION seg SCHEMA b; CREATE EXTENSION citext SCHEMA b; CREATE EXTENSION hstore SCHEMA b;
CREATE TABLE t (id int PRIMARY KEY, m b.mood, ms b.mood[], p b."Pair", h b.hstore, c b.citext, z b.seg, big text);
CREATE TABLE t_read (id bigint PRIMARY KEY, m b.mood, said text);
CREATE TABLE t_keys (c b.citext, m b.mood, v int, PRIMARY KEY (m, c));
