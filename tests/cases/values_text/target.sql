CREATE TABLE t (id int PRIMARY KEY, t text, c char(6), b bytea, j json, jb jsonb, x xml, u uuid, bits varbit, n name, net cidr, mac macaddr, p point, r int4range, ts tsvector, v int);
CREATE TABLE texts (id int PRIMARY KEY, c text, jb text, u text);
CREATE TABLE narrow (id int PRIMARY KEY, c varchar(6));
