CREATE TABLE t (key text PRIMARY KEY, value text, id int);
CREATE INDEX ON t (id);
