CREATE TABLE t (id int PRIMARY KEY, slot int UNIQUE);
