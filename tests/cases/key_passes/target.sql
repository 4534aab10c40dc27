CREATE TABLE owned (name text PRIMARY KEY, id int, n int);
CREATE INDEX ON owned (id);
CREATE TABLE whole (name text PRIMARY KEY, id int UNIQUE, big text);
CREATE TABLE lists (name text PRIMARY KEY, id int, ns int[]);
CREATE INDEX ON lists (id);
CREATE TABLE read (name text PRIMARY KEY, id int, n bigint);
CREATE INDEX ON read (id);
CREATE TABLE other (name varchar(40) PRIMARY KEY, id bigint, big text);
CREATE INDEX ON other (id);
