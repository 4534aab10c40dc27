CREATE TABLE t (id int, at date, v text, PRIMARY KEY (id, at));
