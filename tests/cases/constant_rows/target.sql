-- Nothing but the key: a row that comes again has nothing to overwrite.
CREATE TABLE t (id int PRIMARY KEY);
CREATE TABLE labelled (id bigint PRIMARY KEY, kind text, nothing text, version numeric(4, 1) DEFAULT 7);
