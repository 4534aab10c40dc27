CREATE TABLE elements (id int, at bigint, value jsonb, PRIMARY KEY (id, at));
CREATE TABLE texts (id int, at bigint, value text, PRIMARY KEY (id, at));
CREATE TABLE tags (id int, at bigint, tag text, PRIMARY KEY (id, at));
CREATE TABLE numbers (id int, at bigint, number int, PRIMARY KEY (at, id));
