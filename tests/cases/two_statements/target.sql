CREATE TABLE t (kind text, id int, v text, PRIMARY KEY (kind, id));
CREATE TABLE parts (id int, kind text, key text, value text, PRIMARY KEY (id, kind, key));
