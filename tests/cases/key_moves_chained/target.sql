CREATE TABLE t (id bigint PRIMARY KEY, v text, parent bigint);
CREATE TABLE lower_half (id bigint PRIMARY KEY, v text);
