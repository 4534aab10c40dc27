CREATE TABLE new_parents (id int PRIMARY KEY, v text);
CREATE TABLE new_children (id int PRIMARY KEY, parent int NOT NULL, v text);
