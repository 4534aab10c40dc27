CREATE TABLE t (id int PRIMARY KEY, email text, live boolean);
CREATE UNIQUE INDEX ON t (lower(email)) WHERE live;
