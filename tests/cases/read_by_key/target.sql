CREATE TABLE t (id int PRIMARY KEY, name text, weekday text, tags int, doubled int, size int);
CREATE TABLE parts (id int, at bigint, part text, PRIMARY KEY (id, at));
CREATE TABLE picked (id int PRIMARY KEY, row jsonb);
