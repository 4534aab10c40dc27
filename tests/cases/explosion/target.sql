CREATE TABLE t (id int, key text, value jsonb, n int, PRIMARY KEY (id, key));
CREATE TABLE texts (id int, key text, value text, PRIMARY KEY (id, key));
CREATE TABLE keys (id int, key text, PRIMARY KEY (id, key));
