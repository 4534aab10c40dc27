CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE t (
    id int PRIMARY KEY, i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric, m money, b boolean,
    t text, vc varchar(20), c char(5), name name, bin bytea, u uuid,
    d date, tm time, tmz timetz, ts timestamp, tsz timestamptz, iv interval,
    j json, jb jsonb, jp jsonpath, x xml,
    ia int[], ta text[], na numeric[], tsa timestamptz[], ja jsonb[],
    ir int4range, nr numrange, dr daterange, tr tstzrange, mr int8multirange,
    ip inet, net cidr, mac macaddr, mac8 macaddr8, bits bit(3), vbits varbit,
    pt point, ln line, ls lseg, bx box, pa path, po polygon, ci circle,
    tv tsvector, lsn pg_lsn, o oid, snap pg_snapshot,
    e mood, dom positive, comp pair, cit citext, h hstore, lt ltree);
CREATE TABLE queries (id int PRIMARY KEY, tq tsquery);
