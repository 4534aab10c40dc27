CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN code AS varchar(8) CHECK (VALUE <> 'never');
CREATE TABLE t_bytea (id bytea PRIMARY KEY, v int);
CREATE TABLE t_char (id char(5), flag boolean, n smallint, v int, PRIMARY KEY (id, flag, n));
CREATE TABLE t_enum (id mood, c code, v int, PRIMARY KEY (id, c));
CREATE TABLE t_net (id inet, o oid, v int, PRIMARY KEY (id, o));
