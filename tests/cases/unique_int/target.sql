CREATE TABLE t (id int PRIMARY KEY, place int NOT NULL UNIQUE, room bigint, bed int, UNIQUE (room, bed));
