CREATE TABLE t (code text PRIMARY KEY, v int, big text);
