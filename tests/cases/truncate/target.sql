CREATE TABLE ta (id int PRIMARY KEY, v text);
CREATE TABLE parts (id int, key text, value text, PRIMARY KEY (id, key));
CREATE TABLE tb (id int PRIMARY KEY, v text);
CREATE TABLE tc (id int PRIMARY KEY, v text);
