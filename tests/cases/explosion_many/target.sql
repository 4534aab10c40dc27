CREATE TABLE t (id int, key text, value numeric, at timestamptz, PRIMARY KEY (id, key));
