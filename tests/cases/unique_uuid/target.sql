CREATE TABLE t (id int PRIMARY KEY, token uuid UNIQUE, slug varchar(80) UNIQUE);
