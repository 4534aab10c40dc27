CREATE TABLE t (id int PRIMARY KEY, small int, big bytea, txt text, doc jsonb);
