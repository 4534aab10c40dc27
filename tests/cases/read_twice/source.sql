CREATE TABLE people (id int PRIMARY KEY, name text);
CREATE TABLE papers (id int PRIMARY KEY, author int, reviewer int);
INSERT INTO people SELECT n, 'name ' || n FROM generate_series(1, 9) AS n;
INSERT INTO papers SELECT n, n % 9 + 1, (n + 4) % 9 + 1 FROM generate_series(1, 30) AS n;
