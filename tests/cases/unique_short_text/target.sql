CREATE TABLE short (id int PRIMARY KEY, slug varchar(12) UNIQUE);
CREATE TABLE fixed (id int PRIMARY KEY, code char(4) UNIQUE);
CREATE TABLE small (id int PRIMARY KEY, n smallint UNIQUE);
CREATE TABLE days (id int PRIMARY KEY, at date UNIQUE);
