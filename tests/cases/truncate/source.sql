CREATE TABLE a (id int PRIMARY KEY, v text, doc jsonb);
CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, v text);
CREATE TABLE c (id int PRIMARY KEY, v text);
INSERT INTO a SELECT n, 'a' || n, jsonb_build_object('x', n, 'y', n) FROM generate_series(1, 10) AS n;
INSERT INTO b SELECT n, n, 'b' || n FROM generate_series(1, 10) AS n;
INSERT INTO c SELECT n, 'c' || n FROM generate_series(1, 10) AS n;
