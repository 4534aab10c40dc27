CREATE TABLE t (id int, key text, value text, v text, PRIMARY KEY (id, key));
