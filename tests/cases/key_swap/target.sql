CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE parts (id int, key text, value text, PRIMARY KEY (id, key));
