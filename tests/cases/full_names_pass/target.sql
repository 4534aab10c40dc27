CREATE TABLE owned (name text PRIMARY KEY, id int, n int);
CREATE INDEX ON owned (id);
