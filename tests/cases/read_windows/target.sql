CREATE TABLE latest (id int PRIMARY KEY, name text, metric text, value int);
CREATE TABLE running (model int, at int, total bigint, PRIMARY KEY (model, at));
CREATE TABLE ranked (id int, place bigint, score int, PRIMARY KEY (id, place));
CREATE TABLE places (id int, score int, place bigint, PRIMARY KEY (id, place));
