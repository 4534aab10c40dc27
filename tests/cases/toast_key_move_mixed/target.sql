CREATE TABLE t (id int PRIMARY KEY, small int, label text);
