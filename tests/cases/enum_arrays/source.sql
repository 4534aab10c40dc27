CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE s (id int PRIMARY KEY, moods mood[]);
INSERT INTO s VALUES (1, '{sad,happy}'), (2, '{}'), (3, NULL), (4, '{NULL,ok}');
