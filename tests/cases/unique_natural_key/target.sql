CREATE TABLE t (name text PRIMARY KEY, id int NOT NULL UNIQUE, v text);
CREATE TABLE loose (name text PRIMARY KEY, id int, v text);
CREATE INDEX ON loose (id);
