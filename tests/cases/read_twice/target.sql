CREATE TABLE t (id int PRIMARY KEY, author text, reviewer text);
