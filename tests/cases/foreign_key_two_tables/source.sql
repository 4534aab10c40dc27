CREATE TABLE parents (id int PRIMARY KEY, v text);
CREATE TABLE children (id int PRIMARY KEY, parent int NOT NULL REFERENCES parents, v text);
INSERT INTO parents SELECT n, 'parent ' || n FROM generate_series(1, 10) AS n;
INSERT INTO children SELECT n, 1 + n % 10, 'child ' || n FROM generate_series(1, 30) AS n;
