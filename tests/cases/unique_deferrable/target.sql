CREATE TABLE t (id int PRIMARY KEY, slot int UNIQUE DEFERRABLE, v text);
CREATE TABLE plain (id int PRIMARY KEY, slot int UNIQUE);
