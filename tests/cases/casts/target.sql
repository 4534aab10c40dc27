-- The assignment converts, as in any INSERT.
CREATE TABLE t (id int PRIMARY KEY, a smallint, b int, c varchar(20), d date, e json, f text, g numeric);
CREATE TABLE more (id numeric PRIMARY KEY, a double precision, b numeric(6, 1), c char(12), d timestamptz, e text, f text, g double precision);
