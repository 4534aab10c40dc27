CREATE TABLE t (id int PRIMARY KEY, small int, big text, other text);
CREATE TABLE narrow (id int PRIMARY KEY, small int);
