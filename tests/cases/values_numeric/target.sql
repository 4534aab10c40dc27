CREATE TABLE t (id int PRIMARY KEY, a numeric, b numeric(12, 3), c real, d double precision, e smallint, f bigint, g money, v int);
CREATE TABLE wider (id int PRIMARY KEY, b numeric, c double precision, d numeric, e int, f numeric);
CREATE TABLE texts (id int PRIMARY KEY, a text, b text, c text, d text, f text);
