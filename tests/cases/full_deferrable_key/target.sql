CREATE TABLE t (alt int PRIMARY KEY, id int, v text);
