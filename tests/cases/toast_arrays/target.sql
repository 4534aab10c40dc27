CREATE TABLE t (id int PRIMARY KEY, small int, tags text[], numbers int[], big text);
