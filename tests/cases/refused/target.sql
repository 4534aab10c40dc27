CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE dated (id int PRIMARY KEY, at timestamptz);
CREATE TABLE short (id int PRIMARY KEY, v text);
