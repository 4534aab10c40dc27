CREATE TABLE before_1 (a int); CREATE TABLE before_2 (a int);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE t (id int PRIMARY KEY, moods mood[]);
