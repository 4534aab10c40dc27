CREATE TABLE t (id int, key text, value text, status text, at timestamptz, PRIMARY KEY (id, key));
