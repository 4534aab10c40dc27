CREATE TABLE t (id int PRIMARY KEY, small int, big text, label text);
