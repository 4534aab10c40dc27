CREATE TABLE t (id int PRIMARY KEY, tags text[] NOT NULL UNIQUE, at int[] UNIQUE);
