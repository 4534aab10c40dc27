CREATE TABLE pages (id int PRIMARY KEY, name text, size bigint, notes int[]);
