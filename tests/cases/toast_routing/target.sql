CREATE TABLE open (id int PRIMARY KEY, status text, big text);
CREATE TABLE closed (id int PRIMARY KEY, big text);
CREATE TABLE long (id int PRIMARY KEY, status text);
