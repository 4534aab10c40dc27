CREATE TABLE t (id int PRIMARY KEY, small int, big text);
CREATE TABLE parts (id int, key text, value text, small int, PRIMARY KEY (id, key));
CREATE TABLE named (name text PRIMARY KEY, label text);
