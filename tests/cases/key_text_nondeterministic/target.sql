CREATE TABLE t (id text PRIMARY KEY, v int);
