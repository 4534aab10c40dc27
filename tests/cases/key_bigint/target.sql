CREATE TABLE t (id bigint PRIMARY KEY, v varchar(40));
