CREATE TABLE t (a int, b text, c uuid, v text, PRIMARY KEY (a, b, c));
