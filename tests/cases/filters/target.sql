CREATE TABLE chosen (id int PRIMARY KEY, a int, b text);
CREATE TABLE rest (id int PRIMARY KEY, a int, b text);
CREATE TABLE flagged (id int PRIMARY KEY, label text);
