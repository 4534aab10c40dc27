CREATE TABLE low (id int PRIMARY KEY, small int, big text);
CREATE TABLE high (id int PRIMARY KEY, small int, big text);
