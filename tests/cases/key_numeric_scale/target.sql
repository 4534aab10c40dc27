CREATE TABLE t (id numeric PRIMARY KEY, v int);
