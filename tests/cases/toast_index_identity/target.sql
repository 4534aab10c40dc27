CREATE TABLE t (code text PRIMARY KEY, id int, small int, big text);
